use clap::Parser;

use super::*;
use crate::args::{Arguments, Command};

const POOLS: &str = "--resources=cpus:10;ports:[31000-32000];ephemeral_ports:[32768-57344]";

/// What the command prints, or why it refuses.
fn imported(flags: &[&str]) -> Result<String, String> {
    let words = ["portlane", "import-mesos"].iter().chain(flags);
    let arguments = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
    let Command::ImportMesos(flags) = arguments.command else { panic!("another command") };
    import(&flags)
}

fn with_pools(flags: &[&str]) -> Result<String, String> {
    imported(&[&[POOLS], flags].concat())
}

fn refused(flags: &[&str]) -> String {
    with_pools(flags).expect_err("refused")
}

/// A direction of one container in the printed configuration.
fn line<'a>(text: &'a str, direction: &str) -> Vec<&'a str> {
    let begins = format!("{direction} = ");
    text.lines().filter_map(|line| line.strip_prefix(&begins)).collect()
}

#[test]
fn the_flags_of_the_documentation() {
    let text = with_pools(&[
        "--ephemeral_ports_per_container=1024",
        "--egress_rate_limit_per_container=37500KB",
        "--egress_unique_flow_per_container",
    ])
    .unwrap();
    assert!(text.contains("#     37500KB/s = 38,400,000 B/s = 307.2 mbit\n"), "{text}");
    assert!(text.contains("\n[defaults]\negress = { rate = \"307200kbit\" }\n"), "{text}");
    assert!(text.contains("\n[[container]]\nid = \"container-1\"\nports = [\"32768-33791\"]\n"), "{text}");
    assert_eq!(text.matches("[[container]]").count(), 24);
    assert!(text.contains("# --egress_unique_flow_per_container=true\n#     so it is: "), "{text}");
    let plan = config::parse(&text, "test").unwrap();
    assert_eq!(plan.containers.len(), 24);
    let portlane_shaper::Limiter::Htb(shape) = plan.containers[0].lanes[1].limiter else { panic!("limited") };
    assert_eq!(shape.rate.bytes_per_second(), 38_400_000);
}

#[test]
fn blocks_are_aligned_and_handed_out_lowest_first() {
    let blocks = |pool: &str, size: &str| {
        let resources = format!("--resources=ephemeral_ports:[{pool}]");
        let text = imported(&[&resources, &format!("--ephemeral_ports_per_container={size}")]).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("ports = ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(blocks("32768-57344", "512").len(), 48);
    assert_eq!(blocks("30001-30999", "16").len(), 61);
    assert_eq!(blocks("30001-30999", "256"), ["[\"30208-30463\"]", "[\"30464-30719\"]", "[\"30720-30975\"]"]);
    assert_eq!(blocks("30001-30999", "512"), ["[\"30208-30719\"]"]);
    assert_eq!(blocks("32768-65535", "32768"), ["[\"32768-65535\"]"], "to the last port");
}

#[test]
fn named_containers_get_their_ports_and_the_next_block() {
    let text = with_pools(&["--container=web=ports:[31000-31499]", "--container=db=ports:[31500-32000]"]).unwrap();
    assert!(text.contains("id = \"web\"\nports = [\"31000-31499\", \"32768-33791\"]\n"), "{text}");
    assert!(text.contains("id = \"db\"\nports = [\"31500-32000\", \"33792-34815\"]\n"), "{text}");
    let refusal = refused(&["--container=web=ports:[30999-31499]"]);
    assert_eq!(
        refusal,
        "container web: Some non-ephemeral ports specified in {[30999,31500)} are not managed by the agent"
    );
    assert!(refused(&["--container=a=cpus:1", "--container=a=cpus:1"]).contains("container a is given twice"));
    let overlap = refused(&["--container=a=ports:[31000-31009]", "--container=b=ports:[31005-31020]"]);
    assert!(overlap.contains("31000-31009") && overlap.contains("31005-31020"), "{overlap}");
    let two = ["--container=a=cpus:1", "--container=b=cpus:1"];
    let too_many = imported(
        &[&["--resources=ephemeral_ports:[30001-30999]", "--ephemeral_ports_per_container=512"], &two[..]].concat(),
    );
    assert!(too_many.unwrap_err().starts_with("container b: Failed to allocate ephemeral ports"));
}

/// `ROOT_ScaleEgressWithCPU` and its relatives.
#[test]
fn rates_by_cpu_are_scaled_and_then_clamped() {
    let containers =
        ["--container=a=cpus:1", "--container=b=cpus:3.1", "--container=c=cpus:5", "--container=d=cpus:0.5"];
    for direction in ["egress", "ingress"] {
        let flags = [
            format!("--{direction}_rate_per_cpu=1000B"),
            format!("--minimum_{direction}_rate_limit=2000B"),
            format!("--maximum_{direction}_rate_limit=4000B"),
        ];
        let flags: Vec<_> = flags.iter().map(String::as_str).chain(containers).collect();
        let text = with_pools(&flags).unwrap();
        let rates = ["16kbit", "24kbit", "32kbit", "16kbit"].map(|rate| format!("{{ rate = \"{rate}\" }}"));
        assert_eq!(line(&text, direction), rates);
    }
    let auto = ["--egress_rate_per_cpu=auto", "--network_link_speed=10000B", "--minimum_egress_rate_limit=0B"];
    let text = with_pools(&[&auto[..], &["--container=a=cpus:2"]].concat()).unwrap();
    assert!(text.contains("1,000 B/s = 0.008 mbit for each whole cpu"), "{text}");
    assert_eq!(line(&text, "egress"), ["{ rate = \"16kbit\" }"]);
    let one = with_pools(&auto).unwrap();
    assert!(one.contains("# Limits by cpu are as for one: "), "{one}");
    assert_eq!(line(&one, "egress"), ["{ rate = \"8kbit\" }"]);
}

/// `ROOT_ScaleEgressWithCPULarge`.
#[test]
fn large_rates_do_not_overflow() {
    let text = imported(&[
        "--resources=cpus:64;ephemeral_ports:[32768-57344]",
        "--egress_rate_per_cpu=auto",
        "--network_link_speed=12500000000B",
        "--minimum_egress_rate_limit=625000000B",
        "--maximum_egress_rate_limit=11250000000B",
        "--container=a=cpus:30",
        "--container=b=cpus:64",
    ])
    .unwrap();
    assert_eq!(line(&text, "egress"), ["{ rate = \"46875mbit\" }", "{ rate = \"90gbit\" }"]);
    let beyond = refused(&["--egress_rate_limit_per_container=9999999TB"]);
    assert!(beyond.ends_with("Bytes/s is more than a rate can be"), "{beyond}");
}

#[test]
fn limits_have_a_minimum_unless_one_is_given() {
    let rate = |flags: &[&str]| line(&with_pools(flags).unwrap(), "egress").join("");
    let small = "--egress_rate_limit_per_container=2000B";
    assert_eq!(rate(&[small]), "{ rate = \"1mbit\" }");
    assert_eq!(rate(&[small, "--minimum_egress_rate_limit=0B"]), "{ rate = \"16kbit\" }");
    assert_eq!(rate(&[small, "--maximum_egress_rate_limit=1000B"]), "{ rate = \"8kbit\" }", "the maximum comes last");
    assert_eq!(rate(&["--egress_rate_limit_per_container=0B"]), "", "no limit");
    assert_eq!(rate(&["--minimum_egress_rate_limit=1MB"]), "", "nothing to raise");
    assert!(refused(&[small, "--maximum_egress_rate_limit=0B"]).contains("limit of 0 Bytes/s lets nothing pass"));
}

#[test]
fn a_ceil_counts_above_the_rate_and_a_burst_with_a_ceil() {
    let limit = |flags: &[&str]| {
        line(&with_pools(&[&["--ingress_rate_limit_per_container=1250000B"], flags].concat()).unwrap(), "ingress")
            .join("")
    };
    let (ceil, burst) = ("--ingress_ceil_limit=2500000B", "--ingress_burst=64KB");
    assert_eq!(limit(&[ceil, burst]), "{ rate = \"10mbit\", ceil = \"20mbit\", burst = \"64kb\" }");
    assert_eq!(limit(&[ceil]), "{ rate = \"10mbit\", ceil = \"20mbit\" }");
    assert_eq!(limit(&[burst]), "{ rate = \"10mbit\" }");
    assert_eq!(limit(&["--ingress_ceil_limit=1250000B", burst]), "{ rate = \"10mbit\" }", "not above");
    let huge = refused(&["--ingress_rate_limit_per_container=1MB", "--ingress_ceil_limit=2MB", "--ingress_burst=1GB"]);
    assert!(huge.contains("ingress_burst 1073741824B: portlane takes 1514 to 268,435,456 bytes"), "{huge}");
}

#[test]
fn bad_values_are_refused_in_mesos_words() {
    for (flag, words) in [
        (
            "--egress_rate_limit_per_container=37500",
            "'37500' for '--egress_rate_limit_per_container <BYTES>': Invalid bytes '37500'",
        ),
        ("--egress_rate_limit_per_container=1.5MB", "Fractional bytes '1.5MB'"),
        ("--ingress_burst=10mbit", "Unknown bytes unit 'MBIT'"),
        ("--egress_rate_per_cpu=much", "Bad option for 'egress_rate_per_cpu' flag: "),
        ("--ingress_rate_per_cpu=5", "Bad option for 'ingress_rate_per_cpu' flag: Invalid bytes '5'"),
        (
            "--ingress_rate_per_cpu=auto",
            "Failed to determine per CPU ingress rate limit: Failed to determine link speed of ",
        ),
        ("--egress_flow_classifier_parent=1", "Failed to tokenize string: 1"),
        ("--network_enable_rate_statistics", "Window size and sampling interval for rate statistics are required"),
        ("--network_rate_statistics_window=3s", "Unknown duration unit 's'"),
        (
            "--ephemeral_ports_per_container=1000",
            "The number of ephemeral ports for each container (1000) is not a power of 2",
        ),
        (
            "--ephemeral_ports_per_container=0",
            "The number of ephemeral ports for each container (0) is not a power of 2",
        ),
        ("--ephemeral_ports_per_container=8", "Each container has only 8 ephemeral ports. The minimum required is: 16"),
        (
            "--ephemeral_ports_per_container=32768",
            "Network Isolator is given ephemeral ports of size: 24577, but asked to allocate 32768 ",
        ),
        (
            "--isolation=network/port_mapping,network/cni",
            "Using multiple network isolators simultaneously is disallowed",
        ),
        ("--isolation=cgroups/cpu", "--isolation=cgroups/cpu is without network/port_mapping"),
        (
            "--ip_local_port_range=57344 61000",
            "The specified ephemeral ports {[32768,57345)} intersect with the ephemeral ports used by the host {[57344,61001)}",
        ),
        ("--ip_local_port_range=57345", "Unexpected format from host ip_local_port_range: 57345"),
        ("--ip_local_port_range=x 61000", "Failed to parse the begin of host ip_local_port_range: x"),
        ("--ip_local_port_range=57345 99999", "Failed to parse the end of host ip_local_port_range: 99999"),
        ("--egress_rate=1MB", "unexpected argument '--egress_rate'"),
    ] {
        let refusal = refused(&[flag]);
        assert!(refusal.contains(words), "{flag}: {refusal}");
    }
    for just_right in [
        "--ephemeral_ports_per_container=16",
        "--ip_local_port_range=57345\t61000",
        "--isolation=cgroups/cpu,network/port_mapping,network/ports",
        "--egress_flow_classifier_parent=1:a",
    ] {
        assert!(with_pools(&[just_right]).is_ok(), "{just_right}");
    }
}

#[test]
fn pools_that_meet_are_refused() {
    let refused = |resources: &str| imported(&[&format!("--resources={resources}")]).unwrap_err();
    assert!(refused("ports:[31000-32000]").starts_with("Ephemeral ports are not specified"));
    assert!(imported(&[]).unwrap_err().starts_with("Ephemeral ports are not specified"));
    assert_eq!(
        refused("ports:[31000-32768];ephemeral_ports:[32768-57344]"),
        "The specified ephemeral ports {[32768,57345)} intersect with the specified non-ephemeral ports {[31000,32769)}"
    );
    assert_eq!(
        refused("ephemeral_ports:[1023-5000]"),
        "The specified ephemeral ports {[1023,5001)} intersect with well known ports {[1,1024)}"
    );
    assert!(imported(&["--resources=ports:[31000-32767];ephemeral_ports:[32768-57344]"]).is_ok(), "next to each other");
    assert!(imported(&["--resources=ephemeral_ports:[1024-5000]"]).is_ok());
    assert!(refused("ports:[1-70000];ephemeral_ports:[32768-57344]").contains("Range is out of bounds"));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let both = |direction: &str| {
        refused(&[&format!("--{direction}_rate_limit_per_container=1MB"), &format!("--{direction}_rate_per_cpu=1MB")])
    };
    assert_eq!(both("egress"), "Cannot specify both egress_rate_limit_per_container and egress_rate_per_cpu.");
    assert_eq!(both("ingress"), "Cannot specify both ingress_rate_limit_per_container and ingress_rate_per_cpu");
    let refusal = refused(&["--minimum_egress_rate_limit=2B", "--maximum_egress_rate_limit=1B"]);
    assert!(refusal.starts_with("Minimum egress rate limit cannot be greater than maximum egress rate"), "{refusal}");
    assert!(with_pools(&["--minimum_egress_rate_limit=1B", "--maximum_egress_rate_limit=1B"]).is_ok());
    let speed = "--network_link_speed=1000000B";
    assert_eq!(
        refused(&[speed, "--egress_rate_limit_per_container=1000001B"]),
        "The given egress traffic limit for containers 1000001 Bytes/s is greater than the host link speed 1000000 Bytes/s"
    );
    assert!(with_pools(&[speed, "--egress_rate_limit_per_container=1000000B"]).is_ok());
    let minimum = refused(&[speed, "--minimum_ingress_rate_limit=1000001B"]);
    assert!(minimum.starts_with("The given minimum ingress traffic limit for containers 1000001 "), "{minimum}");
    let no_cpus = imported(&["--resources=ephemeral_ports:[32768-57344]", speed, "--egress_rate_per_cpu=auto"]);
    assert!(
        no_cpus.unwrap_err().starts_with("CPUs resource has to be specified to determine per CPU egress rate limit")
    );
    let window = |window: &str, interval: &str| {
        let [window, interval] = [
            format!("--network_rate_statistics_window={window}"),
            format!("--network_rate_statistics_interval={interval}"),
        ];
        with_pools(&["--network_enable_rate_statistics", &window, &interval])
    };
    assert!(window("1secs", "1secs").unwrap_err().contains("window size should be bigger than the sampling interval"));
    assert!(window("1secs", "19ms").unwrap_err().contains("interval should not be smaller than 20ms: 19ms"));
    let text = window("1secs", "20ms").unwrap();
    assert!(text.ends_with("\n[http]\nrate_window = \"1s\"\nrate_interval = \"20ms\"\n"), "{text}");
    assert!(text.contains(
        "# --network_enable_rate_statistics=true\n#     percentiles of rates over 1secs, sampled every 20ms: "
    ));
    assert_eq!(config::parse(&text, "test").unwrap().rates.unwrap().samples(), 50);
    assert!(window("1days", "20ms").unwrap_err().contains("the most is 3600"));
}

#[test]
fn what_was_given_cannot_leave_its_comment() {
    let text = with_pools(&["--eth0_name=eth0\n[wire]"]).unwrap();
    assert!(text.contains("# --eth0_name=eth0 [wire]\n"), "{text}");
    let odd = with_pools(&["--container=a\"\nb=cpus:1"]).unwrap_err();
    assert!(odd.contains("control character") || odd.contains("id"), "{odd}");
}

#[test]
fn every_flag_that_was_given_is_told_of() {
    let flags = [
        "--eth0_name=eth1",
        "--lo_name=lo",
        "--ingress_isolate_existing_containers=false",
        "--egress_unique_flow_per_container=false",
        "--egress_flow_classifier_parent=root",
        "--network_link_speed=1GB",
        "--network_enable_snmp_statistics",
        "--minimum_ingress_rate_limit=1MB",
        "--maximum_ingress_rate_limit=2MB",
        "--ingress_ceil_limit=3MB",
        "--ingress_burst=4MB",
    ];
    let text = with_pools(&flags).unwrap();
    for flag in flags {
        assert!(text.contains(&format!("# {flag}")), "{flag}: {text}");
    }
}
