//! What `portlane check` says of the configurations in `examples`: of the good ones, and of one bad one for each mistake.
//!
//! The expected texts are in `tests/expected/bad/NAME.txt` and `tests/expected/NAME.txt`. `PORTLANE_WRITE_EXPECTED=1`
//! writes them anew: read the difference as whoever made the mistake.

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
    assert!(configs.len() > 75, "examples/bad has one file for each mistake");
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
    for name in ["three", "tbf", "link"] {
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

/// What is allowed, but probably not meant.
#[test]
fn a_burst_that_is_too_short_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("short.toml");
    let container = |rate: &str| format!("[[container]]\nid = \"web\"\nports = [\"80\"]\ningress = {{ {rate} }}\n");
    let warning = |rate: &str| {
        fs::write(&config, container(rate)).unwrap();
        let Output { status, stdout, .. } = check(&config);
        assert_eq!(status.code(), Some(0));
        let explained = String::from_utf8(stdout).unwrap();
        explained.lines().find_map(|line| line.strip_prefix("warning: ")).map(str::to_owned)
    };
    assert_eq!(
        warning("rate = \"1gbit\"").as_deref(),
        Some(
            "web ingress: burst 1600b is spent in 12 us at 1gbit; a thread that wakes later than that loses rate: \
             at least burst = \"125000b\" is a millisecond"
        )
    );
    assert_eq!(
        warning("rate = \"1mbit\", burst = \"1000b\"").as_deref(),
        Some("web ingress: burst 1000b is less than a full packet of 1514b")
    );
    assert_eq!(warning("rate = \"1gbit\", burst = \"128kb\""), None);
}

/// How the keys of a container and of `[defaults]` merge, seen in what `check` says of a container's egress.
#[test]
fn tables_merge_key_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("merged.toml");
    let egress = |default: &str, own: &str| {
        let text = format!("[defaults]\n{default}\n[[container]]\nid = \"web\"\nports = [\"80\"]\n{own}\n");
        fs::write(&config, text).unwrap();
        let Output { status, stdout, stderr } = check(&config);
        assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
        let explained = String::from_utf8(stdout).unwrap();
        let line = explained.lines().find_map(|line| line.trim_start().strip_prefix("egress"));
        line.expect("each direction has a line").trim().to_owned()
    };
    let htb = |rate: &str, burst: &str| format!("htb rate {rate} (50,000,000 bit/s, 6,250,000 B/s), burst {burst}");
    let tbf = "egress = { kind = \"tbf\", rate = \"50mbit\", burst = \"64kb\", latency = \"50ms\" }";

    let burst_alone = "egress = { burst = \"64kb\" }";
    assert_eq!(egress(burst_alone, ""), "not limited", "a default's burst limits nobody");
    assert_eq!(egress(burst_alone, "egress = { rate = \"50mbit\" }"), htb("50mbit", "64kb (65,536 B)"));
    assert_eq!(egress(tbf, "egress = { rate = \"none\" }"), "not limited", "none lifts all of a default");
    let kind = "egress = { kind = \"htb\", burst = \"32kb\" }";
    assert_eq!(egress(tbf, kind), htb("50mbit", "32kb (32,768 B)"), "what is a TBF's is not inherited by an HTB");
    let bound = "egress = { limit = \"128kb\" }";
    assert!(egress(tbf, bound).ends_with(", limit 128kb (131,072 B)"), "the own bound replaces the default's");
}
