//! `portlane top` in a real terminal: tmux runs it and tells what is on the screen. Reported as ignored without tmux.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod server;
mod tmux;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::server::Server;
use crate::tmux::Tmux;

const PORTLANE: &str = env!("CARGO_BIN_EXE_portlane");

fn main() -> ExitCode {
    let has_tmux = Command::new("tmux").arg("-V").output().is_ok();
    let trial = |name: &str, test: fn()| {
        let run = move || -> Result<(), Failed> {
            test();
            Ok(())
        };
        Trial::test(name, run)
    };
    let trials = vec![
        trial("recorded_numbers_are_shown", recorded).with_ignored_flag(!has_tmux),
        trial("a_running_portlane_is_watched", watched).with_ignored_flag(!has_tmux),
        trial("a_signal_restores_the_terminal", signalled).with_ignored_flag(!has_tmux),
        trial("a_terminal_that_is_closed_ends_it", closed).with_ignored_flag(!has_tmux),
        trial("what_cannot_be_shown_is_refused", refused),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The numbers of a replayed capture, in a file of this name.
fn replayed(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.json", std::process::id()));
    let mut replay = Command::new(PORTLANE);
    replay.current_dir(root).args(["replay", "tests/data/mixed.pcapng", "--config", "examples/replay.toml", "--stats"]);
    assert!(replay.arg(&file).status().unwrap().success());
    file
}

fn recorded() {
    let file = replayed("top-recorded");
    let tmux = Tmux::start("recorded", &format!("{PORTLANE} top --stats {}", file.display()));
    tmux.shows(&["3 containers", "received 4750 = sent", "container", "limited by", "free", "4Mbit", "█"]);
    tmux.press("/");
    tmux.press("slow");
    tmux.press("Enter");
    let screen = tmux.shows(&["2 lanes", "slow"]);
    assert!(!screen.contains("unmatched"), "{screen}");
    tmux.press("Enter");
    tmux.shows(&["slow, ingress", "fq_codel of 10240 packets", "p99.9", "Esc back"]);
    tmux.press("q");
    let screen = tmux.shows(&["before", "ended with 0"]);
    assert!(!screen.contains("fq_codel"), "{screen}");
    std::fs::remove_file(file).unwrap();
}

fn watched() {
    let file = replayed("top-watched");
    let server = Server::start(serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap());
    let tmux = Tmux::start("watched", &format!("{PORTLANE} top --socket {}", server.path().display()));
    // Every second 1,000 packets of 1,000 bytes more.
    tmux.shows(&["rates of 1", "8.00Mbit"]);
    tmux.press("f");
    tmux.shows(&["FROZEN"]);
    tmux.press("f");
    drop(server);
    tmux.shows(&["no portlane listens on"]);
    tmux.press("C-c");
    tmux.shows(&["before", "ended with 0"]);
    std::fs::remove_file(file).unwrap();
}

fn signalled() {
    let file = replayed("top-signalled");
    let tmux = Tmux::start("signalled", &format!("{PORTLANE} top --stats {}", file.display()));
    tmux.shows(&["3 containers"]);
    tmux.terminate();
    tmux.shows(&["before", "ended with 0"]);
    std::fs::remove_file(file).unwrap();
}

fn closed() {
    let file = replayed("top-closed");
    let tmux = Tmux::start("closed", &format!("{PORTLANE} top --stats {}", file.display()));
    tmux.shows(&["3 containers"]);
    let process = format!("/proc/{}/stat", tmux.child());
    drop(tmux);
    let begun = Instant::now();
    while std::fs::read_to_string(&process).is_ok_and(|state| state.contains("(portlane)")) {
        assert!(begun.elapsed() < Duration::from_secs(30), "it runs on without a terminal");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::remove_file(file).unwrap();
}

fn refused() {
    let output = Command::new(PORTLANE).args(["top", "--stats", "/dev/null"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("standard output is no terminal"), "{error}");
    let output = Command::new(PORTLANE).args(["top", "--interval", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
