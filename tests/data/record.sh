#!/bin/sh
# Records mixed.pcapng: real traffic of real programs, between a client and a host of three containers, each in a network
# namespace of its own. Needs root and the programs named below; changes nothing outside its two namespaces and removes
# both, however it ends. Usage: record.sh [OUT.pcapng]
set -eu

cd "$(dirname "$0")"
out=${1:-mixed.pcapng}
for program in ip ethtool tcpdump editcap iperf3 python3 curl dnsmasq dig ping; do
    command -v "$program" >/dev/null || { echo "record.sh: $program is missing" >&2; exit 2; }
done

# At the end of the pid: names that cannot collide, and that fit an interface's 15 bytes.
client=plc$$ host=plh$$
work=$(mktemp -d)

finish() {
    trap - EXIT INT TERM HUP
    set +e
    for namespace in "$client" "$host"; do
        ip netns pids "$namespace" 2>/dev/null | xargs -r kill 2>/dev/null
        ip netns delete "$namespace" 2>/dev/null
    done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

on_client() { ip netns exec "$client" "$@"; }
on_host() { ip netns exec "$host" "$@"; }

# Two ends of one cable. Frames are captured as the receiver sees them, so the senders must finish checksums and cut
# segments themselves, as frames on a real cable are.
ip netns add "$client"
ip netns add "$host"
ip link add "$client" netns "$client" type veth peer name "$host" netns "$host"
for end in "$client" "$host"; do
    ip netns exec "$end" ethtool -K "$end" tx off tso off gso off gro off >/dev/null
    # Queues fill under loss-based control, whatever the machine's default (a namespace may always take reno; iperf3
    # asks for cubic itself). Ports of clients stay clear of the containers'.
    ip netns exec "$end" sysctl -qw net.ipv4.tcp_congestion_control=reno net.ipv4.ip_local_port_range="50000 60999" \
        "net.ipv6.conf.$end.accept_dad=0"
done
on_host ip address add 10.77.0.1/24 dev "$host"
on_host ip address add fd77::1/64 dev "$host"
on_client ip address add 10.77.0.2/24 dev "$client"
on_client ip address add fd77::2/64 dev "$client"
for end in "$client" "$host"; do
    ip -n "$end" link set lo up
    ip -n "$end" link set "$end" up
done
# Each container serves throughput tests, files and names from its own ports; the host itself serves names on port 53
# and files on port 8080.
mkdir "$work/files"
head -c 50000 /dev/urandom >"$work/files/middling"
head -c 900 /dev/urandom >"$work/files/small"
serve() { # first port of the container
    on_host iperf3 --server --port $(($1 + 100)) >/dev/null 2>&1 &
    on_host python3 -m http.server --bind 10.77.0.1 --directory "$work/files" $(($1 + 200)) >/dev/null 2>&1 &
    serve_names $(($1 + 300))
}
serve_names() { # port
    on_host dnsmasq --no-daemon --conf-file=/dev/null --no-hosts --no-resolv --bind-interfaces --interface="$host" \
        --port="$1" --address=/example.com/192.0.2.7 --address=/example.com/2001:db8::7 >/dev/null 2>&1 &
}
serve 31744
serve 32768
serve 33792
serve_names 53
on_host python3 -m http.server --bind 10.77.0.1 --directory "$work/files" 8080 >/dev/null 2>&1 &
sleep 2

# 128 bytes hold all headers and the start of a DNS answer; the original lengths stay in the file.
ip netns exec "$host" tcpdump --interface="$host" --snapshot-length=128 --time-stamp-precision=nano --buffer-size=8192 \
    -Z root -w "$work/raw.pcap" 2>/dev/null &
tcpdump=$!
sleep 1

fetch() { on_client curl --silent --show-error --max-time 20 --output /dev/null "$1"; }
ask() { on_client dig +time=2 +tries=1 "$@" >/dev/null; }

visit() { # first port of the container, offered rate
    test=$(($1 + 100)) web=http://10.77.0.1:$(($1 + 200)) names=$(($1 + 300))
    for _ in 1 2 3 4; do
        ask @10.77.0.1 -p "$names" www.example.com A
        ask @10.77.0.1 -p "$names" www.example.com AAAA
        fetch "$web/small"
    done
    ask @10.77.0.1 -p "$names" +tcp www.example.com A
    on_client iperf3 --client 10.77.0.1 --port "$test" --congestion cubic --bytes 400K --bitrate "$2" >/dev/null
    on_client iperf3 --client 10.77.0.1 --port "$test" --congestion cubic --bytes 400K --bitrate "$2" --reverse >/dev/null
    on_client iperf3 --client 10.77.0.1 --port "$test" --udp --length 1200 --bytes 150K --bitrate "$2" >/dev/null
    fetch "$web/middling"
    fetch "$web/middling" & fetch "$web/middling" & wait
}
visit 31744 6M &
fast=$!
visit 32768 4M &
slow=$!
visit 33792 3M &
free=$!

# What no container owns: the host's own services, ICMP, and a port that nobody listens on.
on_client ping -q -c 10 -i 0.2 10.77.0.1 >/dev/null
on_client ping -q -c 5 -i 0.2 -s 1200 fd77::1 >/dev/null
for address in 10.77.0.1 fd77::1; do
    ask @"$address" www.example.com A
    ask @"$address" www.example.com AAAA
    ask @"$address" +tcp www.example.com A
done
fetch http://10.77.0.1:8080/middling
ask @10.77.0.1 -p 5353 www.example.com A || true
wait "$fast" "$slow" "$free"

sleep 1
kill -INT "$tcpdump"
wait "$tcpdump"
editcap -F pcapng "$work/raw.pcap" "$out"
capinfos -c -s -u "$out"
