//! What `portlane check` says of the configurations in `examples`: of the good ones, and of one bad one for each mistake.
//!
//! The expected texts are in `tests/expected/bad/NAME.txt` and `tests/expected/NAME.txt`. `PORTLANE_WRITE_EXPECTED=1`
//! writes them anew: read the difference as whoever made the mistake.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `portlane check` where the package is, so that messages have no machine's paths in them.
fn check(config: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portlane"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["check", "--config"]).arg(config);
    command.output().expect("the binary runs")
}

/// The TOML files of a folder, as paths from where the package is.
fn configs(folder: &str) -> Vec<PathBuf> {
    let found = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("the folder exists");
    let names = found.map(|entry| Path::new(folder).join(entry.expect("it can be listed").file_name()));
    let mut configs: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    configs.sort();
    configs
}

/// Where the message that a bad configuration gets is kept.
fn message_for(config: &Path) -> PathBuf {
    let name = config.file_name().expect("a configuration is a file");
    Path::new("tests/expected/bad").join(name).with_extension("txt")
}

/// Compares with the text in a file, or writes it.
fn expect(path: &Path, text: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("PORTLANE_WRITE_EXPECTED").is_some() {
        fs::write(&path, text).expect("the expected text can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if text == expected { Ok(()) } else { Err(format!("expected by {}:\n{expected}\ngot:\n{text}", path.display())) }
}

#[test]
fn every_mistake_is_refused_with_its_message() {
    let configs = configs("examples/bad");
    assert!(configs.len() > 130, "examples/bad has one file for each mistake");
    let mut wrong = Vec::new();
    for config in configs {
        let Output { status, stdout, stderr } = check(&config);
        let stderr = String::from_utf8(stderr).unwrap();
        if status.code() != Some(2) || !stdout.is_empty() {
            wrong.push(format!("{}: {status}, {} bytes on standard output", config.display(), stdout.len()));
        }
        wrong.extend(expect(&message_for(&config), &stderr).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_names_the_file_and_is_one_error() {
    for config in configs("examples/bad") {
        let stderr = String::from_utf8(check(&config).stderr).unwrap();
        assert!(stderr.starts_with("error: ") && stderr.matches("error: ").count() == 1, "{stderr}");
        assert!(stderr.contains(config.to_str().unwrap()), "{stderr}");
    }
}

#[test]
fn good_configurations_are_explained() {
    for config in configs("examples") {
        let Output { status, stdout, stderr } = check(&config);
        assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""), "{}", config.display());
        let explained = String::from_utf8(stdout).unwrap();
        assert!(!explained.contains("warning: "), "{}: {explained}", config.display());
    }
}

#[test]
fn explanations_show_every_value_as_it_was_understood() {
    for name in
        ["three", "tbf", "link", "tree", "nic", "attached", "workers", "meters", "inventory", "flows", "netstat"]
    {
        let explained =
            String::from_utf8(check(&Path::new("examples").join(name).with_extension("toml")).stdout).unwrap();
        let expected = Path::new("tests/expected").join(name).with_extension("txt");
        expect(&expected, &explained).unwrap_or_else(|difference| panic!("{difference}"));
    }
}

#[test]
fn a_missing_file_and_a_folder_are_refused() {
    for (path, why) in [("examples/absent.toml", "No such file or directory"), ("examples", "Is a directory")] {
        let Output { status, stdout, stderr } = check(Path::new(path));
        assert_eq!((status.code(), stdout.as_slice()), (Some(2), &b""[..]));
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(stderr.starts_with(&format!("error: {path} cannot be read: {why}")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1);
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portlane"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["check", "--config", "examples/three.toml"]).stdout(full);
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(stderr, "error: standard output cannot be written: No space left on device (os error 28)\n");
}

/// What `check` warns of: it is allowed, but probably not meant.
fn warnings(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("odd.toml");
    fs::write(&config, text).unwrap();
    let Output { status, stdout, stderr } = check(&config);
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    let explained = String::from_utf8(stdout).unwrap();
    explained.lines().filter_map(|line| line.strip_prefix("warning: ")).map(str::to_owned).collect()
}

const WEB: &str = "[[container]]\nid = \"web\"\nports = [\"80\"]\n";

#[test]
fn a_burst_that_is_too_short_is_warned_of() {
    let of = |rate: &str| warnings(&format!("{WEB}ingress = {{ {rate} }}\n"));
    assert_eq!(
        of("rate = \"1gbit\""),
        ["web ingress: burst 1600b is spent in 12 us at rate 1gbit; a thread that wakes later than that loses rate: \
          at least burst = \"125000b\" is a millisecond"]
    );
    assert_eq!(
        of("rate = \"1mbit\", ceil = \"100mbit\""),
        ["web ingress: cburst 1600b is spent in 128 us at ceil 100mbit; a thread that wakes later than that loses \
          rate: at least cburst = \"12500b\" is a millisecond"]
    );
    assert_eq!(of("rate = \"1mbit\", ceil = \"none\""), [""; 0]);
    assert_eq!(of("rate = \"1gbit\", burst = \"128kb\""), [""; 0]);
}

#[test]
fn a_limit_that_drops_every_full_packet_is_warned_of() {
    let tbf = "kind = \"tbf\", rate = \"1mbit\", burst = \"2kb\"";
    let of = |limit: &str| warnings(&format!("{WEB}egress = {{ {tbf}, limit = \"{limit}\" }}\n"));
    assert_eq!(of("1513b"), ["web egress: limit 1513b is less than a full packet of 1514b, so each is dropped"]);
    assert_eq!(of("1514b"), [""; 0]);
    assert_eq!(
        of("3kb\", peakrate = \"2mbit\", mtu = \"1500b"),
        ["web egress: mtu 1500b is less than a full packet of 1514b, so each is dropped"]
    );
}

#[test]
fn a_node_that_promises_more_than_it_has_is_warned_of() {
    let container =
        |id: &str, port: u16, keys: &str| format!("[[container]]\nid = \"{id}\"\nports = [\"{port}\"]\n{keys}\n");
    let of = |link: &str, group: &str, web: &str, mail: &str| {
        let group = format!("[[group]]\nid = \"tenant\"\negress = {{ {group} }}\n");
        let web = container("web", 80, &format!("group = \"tenant\"\negress = {{ {web} }}"));
        let mail = container("mail", 25, &format!("egress = {{ {mail} }}"));
        warnings(&format!("[link]\n{link}\n{group}{web}{mail}"))
    };
    let warning = |who: &str, promised: &str, percent: &str| {
        format!(
            "egress: {who} is over-subscribed: its children are promised {promised} together, so each gets {percent} % \
             of its rate when all want theirs"
        )
    };
    let [link, four, ten] = ["rate = \"10mbit\"", "rate = \"4mbit\"", "rate = \"10mbit\""];
    let tbf = "kind = \"tbf\", rate = \"10mbit\", burst = \"32kb\", latency = \"50ms\"";
    assert_eq!(of(link, "", four, ten), [warning("link 10mbit", "14mbit", "71")], "a group without a rate hands on");
    assert_eq!(of(link, "", tbf, four), [warning("link 10mbit", "14mbit", "71")]);
    assert_eq!(of(link, four, ten, "rate = \"6mbit\""), [warning("group tenant 4mbit", "10mbit", "40")]);
    assert_eq!(of(link, "", four, "rate = \"6mbit\""), [""; 0], "exactly what there is");
    assert_eq!(of("", "", four, ten), [""; 0], "a link without a rate");
    let (little, much) = ("rate = \"1kbit\"", "rate = \"9223372036854775807bit\", burst = \"256mb\"");
    let warned = of(little, "", much, much);
    let last = warned.last().map(String::as_str);
    let all = "9223372036854775807bit";
    assert_eq!(last, Some(warning("link 1kbit", all, "less than 1").as_str()));
}

#[test]
fn a_ceil_of_the_link_is_warned_of() {
    let of = |ceil: &str| warnings(&format!("[link]\nrate = \"10mbit\"\nceil = \"{ceil}\"\ncburst = \"64kb\"\n{WEB}"));
    let warning = "link: ceil 20mbit is above rate 10mbit, but there is nothing above it to borrow from";
    assert_eq!(of("20mbit"), [warning]);
    assert_eq!(of("10mbit"), [""; 0]);
}

#[test]
fn a_target_that_is_not_below_the_interval_is_warned_of_where_it_stands() {
    let warning = |who: &str| {
        format!("{who}: target 100ms is not below interval 100ms; a target is about a twentieth of the interval")
    };
    let slow = "queue = { target = \"100ms\" }\n";
    assert_eq!(warnings(&format!("{WEB}{slow}")), [warning("web")]);
    assert_eq!(warnings(&format!("[defaults]\n{slow}{WEB}")), [warning("defaults")]);
    assert_eq!(warnings(&format!("{WEB}queue = {{ target = \"99ms\" }}\n")), [""; 0]);
}

#[test]
fn an_address_that_is_not_the_hosts_is_warned_of() {
    let host = "[host]\naddresses = [\"10.0.0.1\"]\n";
    let addresses = "addresses = [\"10.0.0.1\", \"10.0.0.2\"]\n";
    let warning = |who: &str| {
        format!(
            "{who}: 10.0.0.2 is not one of [host] addresses; where those tell the direction, as in a replay, \
             its traffic is unmatched"
        )
    };
    assert_eq!(warnings(&format!("{host}{WEB}{addresses}")), [warning("web")]);
    assert_eq!(warnings(&format!("{host}[defaults]\n{addresses}{WEB}")), [warning("defaults")]);
    assert_eq!(warnings(&format!("{WEB}{addresses}")), [""; 0], "ports tell the direction");
}

/// Two lanes of a container, and two of what nobody owns.
#[test]
fn more_queue_than_there_are_frames_is_warned_of_where_traffic_is_live() {
    let wire = "[wire]\nnetwork = \"eth0\"\ncontainer = \"veth\"\n";
    let queue = |limit: u32| format!("[defaults]\nqueue = {{ kind = \"codel\", limit = {limit} }}\n{WEB}");
    let warning = "the limits of all queues without fq_codel add up to 8196 packets, and live at least 8192 can wait; \
                   when more do, the longest queue may lose its oldest (no_frame): lower the limits of queues";
    assert_eq!(warnings(&format!("{}{wire}", queue(2_049))), [warning]);
    assert_eq!(warnings(&format!("{}{wire}", queue(2_048))), [""; 0]);
    assert_eq!(warnings(&queue(2_049)), [""; 0]);
    assert_eq!(warnings(&format!("{WEB}{wire}")), [""; 0], "the defaults are not warned of");
}

/// What `check` says of a container's `key`, merged from `[defaults]` and its own.
fn merged(key: &str, default: &str, own: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("merged.toml");
    fs::write(&config, format!("[defaults]\n{key} = {{ {default} }}\n{WEB}{key} = {{ {own} }}\n")).unwrap();
    let Output { status, stdout, stderr } = check(&config);
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    let explained = String::from_utf8(stdout).unwrap();
    let indented = format!("  {key} ");
    explained.lines().find_map(|line| line.strip_prefix(&indented)).map(|text| text.trim().to_owned())
}

#[test]
fn limiters_merge_key_by_key() {
    let egress = |default: &str, own: &str| merged("egress", default, own).expect("each direction has a line");
    let htb = |burst: &str, ceil: &str| {
        format!("htb rate 50mbit (50,000,000 bit/s, 6,250,000 B/s), burst {burst}, ceil {ceil}")
    };
    let eighty = |cburst: &str| format!("80mbit (80,000,000 bit/s, 10,000,000 B/s), cburst {cburst}");
    let [rate, tbf] = ["rate = \"50mbit\"", "kind = \"tbf\", rate = \"50mbit\", burst = \"64kb\", latency = \"50ms\""];

    assert_eq!(egress("burst = \"64kb\"", ""), "not limited", "a default's burst limits nobody");
    assert_eq!(egress("burst = \"64kb\"", rate), htb("64kb (65,536 B)", "the same"));
    assert_eq!(egress(tbf, "rate = \"none\""), "not limited", "none lifts all of a default");
    let kind = "kind = \"htb\", burst = \"32kb\"";
    assert_eq!(egress(tbf, kind), htb("32kb (32,768 B)", "the same"), "what is a TBF's is not inherited by an HTB");
    assert!(egress(tbf, "limit = \"128kb\"").ends_with(", limit 128kb (131,072 B)"), "the own bound replaces another");

    let ceil = "ceil = \"80mbit\"";
    assert_eq!(egress(rate, ceil), htb("1600b", &eighty("1600b")), "tc's bursts");
    assert_eq!(egress(ceil, rate), htb("1600b", &eighty("1600b")));
    assert_eq!(egress("ceil = \"80mbit\", cburst = \"64kb\"", rate), htb("1600b", &eighty("64kb (65,536 B)")));
    assert_eq!(egress("rate = \"60mbit\", ceil = \"80mbit\"", rate), htb("1600b", &eighty("1600b")));
    let lifted = egress("ceil = \"80mbit\", cburst = \"64kb\"", "rate = \"50mbit\", ceil = \"none\"");
    assert_eq!(lifted, htb("1600b", "none"), "a ceil takes its burst along");
    let own_tbf =
        egress("rate = \"50mbit\", ceil = \"80mbit\"", "kind = \"tbf\", burst = \"64kb\", latency = \"50ms\"");
    assert!(own_tbf.starts_with("tbf rate 50mbit"), "a TBF inherits no ceil: {own_tbf}");
    assert_eq!(egress("ceil = \"80mbit\"", "rate = \"none\""), "not limited");
}

#[test]
fn the_group_of_defaults_is_lifted_by_the_link() {
    let explained = |group: &str| {
        let config = format!(
            "[defaults]\ngroup = \"all\"\n[[group]]\nid = \"all\"\n[[container]]\nid = \"web\"\nports = [\"80\"]\n{group}"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("group.toml");
        fs::write(&path, config).unwrap();
        String::from_utf8(check(&path).stdout).unwrap()
    };
    assert!(explained("").contains("\n  container web\n"), "in the group");
    assert!(explained("group = \"link\"").contains("\ncontainer web\n"), "under the link");
}

#[test]
fn queues_merge_key_by_key() {
    let queue = |default: &str, own: &str| merged("queue", default, own);
    let fifo = |limit: &str| Some(format!("fifo, limit {limit} packets"));
    let codel = |limit: &str, target: &str, ecn: &str| {
        Some(format!("codel, limit {limit} packets, target {target}, interval 100ms, ecn {ecn}"))
    };
    assert_eq!(queue("flows = 16", ""), None, "what is as for all lanes is said once");
    assert_eq!(queue("flows = 16", "kind = \"codel\""), codel("1,000", "5ms", "off"), "each kind has tc's defaults");
    assert_eq!(queue("target = \"2ms\", ecn = true", "kind = \"codel\""), codel("1,000", "2ms", "on"));
    assert_eq!(queue("target = \"2ms\", limit = 50", "kind = \"fifo\""), fifo("50"));
    let threshold = queue("ce_threshold = \"1ms\"", "ecn = false, ce_threshold = \"2ms\"").unwrap();
    assert!(threshold.contains(", ecn off, ce threshold 2ms, "), "{threshold}");
    let lifted = queue("ce_threshold = \"1ms\"", "ce_threshold = \"none\"").unwrap();
    assert!(lifted.contains(", ecn on, memory limit 32mb "), "{lifted}");
}
