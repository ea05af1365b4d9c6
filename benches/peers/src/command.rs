//! Other programs: run to their end, or kept running until they are no longer needed.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

/// Runs a program to its end, and returns what it printed.
pub(crate) fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String, Failure> {
    let program = program.as_ref();
    let output =
        Command::new(program).args(arguments).output().map_err(|cause| format!("{}: {cause}", program.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} {}: {}", program.display(), arguments.join(" "), said.trim()).into())
}

/// Runs a line of words, as `ip link add ...`.
pub(crate) fn line(words: &str) -> Result<String, Failure> {
    let mut words = words.split_whitespace();
    let program = words.next().ok_or("an empty line")?;
    run(program, &words.collect::<Vec<_>>())
}

/// Runs a program with `input` as its standard input.
pub(crate) fn feed(program: &str, arguments: &[&str], input: &str) -> Result<(), Failure> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(input.as_bytes())?;
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("{program} {}: {status}", arguments.join(" ")).into()) }
}

/// A program that runs until this value is dropped; what it prints goes to a file.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts it. Its standard input stays open and silent until it is to end.
    pub(crate) fn start(
        program: impl AsRef<OsStr>,
        arguments: &[impl AsRef<OsStr>],
        log: &Path,
    ) -> Result<Self, Failure> {
        let program = program.as_ref();
        let log = std::fs::File::create(log)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|cause| format!("{}: {cause}", program.display()))?;
        Ok(Self { child })
    }

    /// An error if it has ended by itself.
    pub(crate) fn still_running(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("ended by itself: {status}").into()),
        }
    }
}

impl Drop for Running {
    /// Asks it to end, by the end of its input and by SIGTERM, and kills it if it does not.
    fn drop(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        drop(self.child.stdin.take());
        // A process that has ended cannot be asked, and need not be.
        let _ = run("kill", &["-TERM", &self.child.id().to_string()]);
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
