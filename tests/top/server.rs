//! What answers on a control socket as a running portlane does.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use portlane_stats::snapshot::Snapshot;

/// A socket that is there as long as this.
pub(crate) struct Server {
    path: PathBuf,
}

impl Server {
    /// Answers with this snapshot, in which the first container sends 1,000 packets of 1,000 bytes a second.
    pub(crate) fn start(mut snapshot: Snapshot) -> Self {
        let path = std::env::temp_dir().join(format!("portlane-top-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let begun = Instant::now();
        let mut counted_ms = 0;
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let now_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
                let (elapsed_ms, lane) = (now_ms - counted_ms, &mut snapshot.containers[0].egress);
                lane.sent_packets += elapsed_ms;
                lane.sent_bytes += elapsed_ms * 1_000;
                snapshot.duration_ns += elapsed_ms * 1_000_000;
                counted_ms = now_ms;
                // Whoever left while this was written asks again.
                let _ = answer(connection.unwrap(), &snapshot);
            }
        });
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    /// Nobody finds it any more.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn answer(mut connection: UnixStream, snapshot: &Snapshot) -> std::io::Result<()> {
    let mut request = [0; 4_096];
    let length = connection.read(&mut request)?;
    assert!(request[..length].starts_with(b"GET /stats.json "));
    let body = serde_json::to_vec(snapshot)?;
    write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len())?;
    connection.write_all(&body)
}
