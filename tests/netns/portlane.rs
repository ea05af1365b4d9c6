//! The program under test as a child process: started, watched, ended.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use portlane::netns::Namespace;
use portlane_stats::snapshot::Snapshot;
use tempfile::NamedTempFile;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_portlane");

/// How long starting or ending may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running portlane. Killed when dropped.
pub(crate) struct Portlane {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

/// How a portlane ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Portlane {
    /// Starts `portlane run` in a namespace, by way of `wrapper`.
    pub(crate) fn launch(namespace: &Namespace, wrapper: &[&str], config: &Path) -> Self {
        let config = config.to_str().unwrap();
        Self::command(namespace, &[wrapper, &[PROGRAM, "run", "--config", config]].concat())
    }

    /// Starts any command in a namespace.
    pub(crate) fn command(namespace: &Namespace, words: &[&str]) -> Self {
        let [stdout, stderr] = [(); 2].map(|()| NamedTempFile::new().unwrap());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command.stdout(stdout.reopen().unwrap()).stderr(stderr.reopen().unwrap());
        let child = namespace.within(|| command.spawn()).unwrap().unwrap();
        Self { child, stdout, stderr }
    }

    /// Waits until both interfaces are open, which is when their modes are printed.
    pub(crate) fn wait_until_open(&self) {
        self.wait_until_open_for(PATIENCE);
    }

    /// The same where there is more to do.
    pub(crate) fn wait_until_open_for(&self, patience: Duration) {
        let modes = || self.stdout().lines().filter(|line| line.contains(": ")).count();
        let otherwise = || format!("it is not open: {}{}", self.stdout(), text(&self.stderr));
        within(patience, || modes() >= 2, otherwise);
    }

    pub(crate) fn stdout(&self) -> String {
        text(&self.stdout)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stderr(&self) -> String {
        text(&self.stderr)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        signal::kill(id, signal).unwrap();
    }

    /// Waits for it to end of its own accord, within `PATIENCE` and `longer`.
    pub(crate) fn ended_within(mut self, longer: Duration) -> Ended {
        let deadline = Instant::now() + PATIENCE + longer;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}{}", self.stdout(), text(&self.stderr));
            thread::sleep(Duration::from_millis(10));
        };
        Ended { code: status.code(), stdout: self.stdout(), stderr: text(&self.stderr) }
    }

    pub(crate) fn ended(self) -> Ended {
        self.ended_within(Duration::ZERO)
    }
}

impl Drop for Portlane {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// It was refused before anything was touched: exit code 2, nothing printed, one error with these words in it.
    pub(crate) fn assert_refused(&self, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        assert!(self.stderr.starts_with("error: ") && self.stderr.matches("error: ").count() == 1, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {}", self.stderr);
        }
    }
}

/// Waits until something is so.
pub(crate) fn eventually(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    within(PATIENCE, is_so, otherwise);
}

fn within(patience: Duration, is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + patience;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        thread::sleep(Duration::from_millis(2));
    }
}

fn text(file: &NamedTempFile) -> String {
    fs::read_to_string(file).unwrap()
}

/// Runs `portlane stats` on a socket.
pub(crate) fn ask(socket: &Path, format: &str) -> Output {
    Command::new(PROGRAM).args(["stats", "--format", format, "--socket"]).arg(socket).output().unwrap()
}

/// What `portlane stats` says; its books balance.
pub(crate) fn stats(socket: &Path) -> Snapshot {
    let output = ask(socket, "json");
    assert!(output.status.success(), "{output:?}");
    let snapshot: Snapshot = serde_json::from_slice(&output.stdout).unwrap();
    snapshot.check().unwrap();
    snapshot
}
