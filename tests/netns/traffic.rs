//! Traffic of the kernel's own stack: transfers over TCP, questions and floods over UDP.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use portlane::netns::Namespace;
use portlane_classify::Direction;
use socket2::SockRef;

use crate::bench::{Bench, SERVER};

/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(20);

/// A congestion control that fills queues, whatever the machine's default: every kernel has it.
const LOSS_BASED: &[u8] = b"reno";

/// Bytes that no lost, doubled or moved piece leaves as they are: xorshift (Marsaglia 2003).
pub(crate) fn payload(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Sends `payload` over a TCP connection to a port of the server, or from it; all of it must arrive as it was sent.
/// Returns how long that took.
pub(crate) fn transfer(bench: &Bench, port: u16, direction: Direction, payload: &[u8]) -> Duration {
    transfer_with(bench, &bench.server, port, direction, payload)
}

/// The same where somebody else has the server's address.
pub(crate) fn transfer_with(
    bench: &Bench,
    server: &Namespace,
    port: u16,
    direction: Direction,
    payload: &[u8],
) -> Duration {
    let [client, server] = connected(&bench.client, server, (SERVER, port));
    match direction {
        Direction::Ingress => send_all(client, server, payload),
        Direction::Egress => send_all(server, client, payload),
    }
}

/// The same from one namespace to another, over a connection that the former opens to the address.
pub(crate) fn transfer_between(
    from: &Namespace,
    to: &Namespace,
    address: impl Into<SocketAddr>,
    payload: &[u8],
) -> Duration {
    let [from, to] = connected(from, to, address);
    send_all(from, to, payload)
}

/// Both ends of a connection.
fn connected(client: &Namespace, server: &Namespace, address: impl Into<SocketAddr>) -> [TcpStream; 2] {
    let address = address.into();
    let listener = server.within(|| TcpListener::bind(address)).unwrap().unwrap();
    let client = client.within(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap().unwrap();
    [client, listener.accept().unwrap().0]
}

fn send_all(mut from: TcpStream, mut to: TcpStream, payload: &[u8]) -> Duration {
    from.set_write_timeout(Some(PATIENCE)).unwrap();
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    SockRef::from(&from).set_tcp_congestion(LOSS_BASED).unwrap();
    let started = Instant::now();
    let mut received = Vec::with_capacity(payload.len());
    thread::scope(|scope| {
        scope.spawn(|| {
            from.write_all(payload).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
        });
        to.read_to_end(&mut received).unwrap();
    });
    let elapsed = started.elapsed();
    assert!(received == payload, "{} bytes arrived, not those {} that were sent", received.len(), payload.len());
    elapsed
}

/// A UDP socket in a namespace, which waits for `patience` at most, and keeps what comes while its reader is off its core.
pub(crate) fn udp(namespace: &Namespace, address: impl Into<IpAddr>, port: u16, patience: Duration) -> UdpSocket {
    let address = address.into();
    let socket = namespace.within(|| UdpSocket::bind((address, port))).unwrap().unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    setsockopt(&socket, RcvBufForce, &(8 << 20)).unwrap();
    socket
}

/// A server that answers each datagram with itself, and a client that asks it.
pub(crate) struct Echo {
    client: UdpSocket,
    server: UdpSocket,
}

impl Echo {
    pub(crate) fn new(bench: &Bench, port: u16) -> Self {
        Self::between(&bench.client, &bench.server, (SERVER, port))
    }

    /// A server in any namespace that has the address.
    pub(crate) fn between(client: &Namespace, server: &Namespace, (address, port): (impl Into<IpAddr>, u16)) -> Self {
        let address = address.into();
        let any = if address.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let client = udp(client, any, 0, PATIENCE);
        client.connect((address, port)).unwrap();
        Self { client, server: udp(server, address, port, PATIENCE) }
    }

    /// Asks once; the answer must come.
    pub(crate) fn ask(&self, question: &[u8]) {
        let mut buffer = [0; 8_192];
        self.client.send(question).unwrap();
        let (len, client) = self.server.recv_from(&mut buffer).unwrap();
        self.server.send_to(&buffer[..len], client).unwrap();
        let len = self.client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], question);
    }
}

/// Datagrams in a stream that heeds nothing, until dropped.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Flood {
    /// Sends `per_ms` datagrams of `len` bytes each millisecond.
    pub(crate) fn start(from: &Namespace, to: (Ipv4Addr, u16), len: usize, per_ms: u32) -> Self {
        let socket = udp(from, Ipv4Addr::UNSPECIFIED, 0, PATIENCE);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let datagram = payload(len);
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                // Nobody may be there to hear it.
                sent += (0..per_ms).map(|_| u64::from(socket.send_to(&datagram, to).is_ok())).sum::<u64>();
                thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it, and returns how many datagrams were sent.
    pub(crate) fn stop(mut self) -> u64 {
        self.end()
    }

    fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |thread| thread.join().unwrap())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.end();
    }
}
