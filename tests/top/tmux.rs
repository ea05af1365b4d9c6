//! A terminal that can be looked at.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long something may take to appear on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of tmux with one window, which ends with this.
pub(crate) struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Runs a command in a window of 140 by 30 characters.
    pub(crate) fn start(name: &str, command: &str) -> Self {
        let tmux = Self { socket: std::env::temp_dir().join(format!("portlane-{name}-{}.tmux", std::process::id())) };
        // Nothing of whoever runs this: no configuration, no shell of theirs.
        let script = format!("echo before; {command}; echo ended with $?; exec sleep 60");
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", "140", "-y", "30", "sh", "-c", &script]);
        tmux
    }

    fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
        let output = command.args(["-u", "-S"]).arg(&self.socket).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Presses a key, or writes some words.
    pub(crate) fn press(&self, keys: &str) {
        self.run(&["send-keys", keys]);
    }

    /// The screen, once all of these are on it.
    pub(crate) fn shows(&self, words: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.run(&["capture-pane", "-p"]);
            if words.iter().all(|words| screen.contains(words)) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "{words:?} are not all in\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The process id of what the window's shell runs.
    pub(crate) fn child(&self) -> String {
        let shell = self.run(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.trim().to_owned()
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").arg(self.child()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
        let _ = std::fs::remove_file(&self.socket);
    }
}
