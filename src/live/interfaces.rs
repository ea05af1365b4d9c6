//! What the kernel counts at the interfaces of attached containers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use portlane_stats::live::{InterfaceReport, Passed};

use crate::attach::names;

/// The kernel's table of the interfaces in one network namespace: that of the thread which opened it, whoever reads it.
#[derive(Debug, Clone)]
pub(super) struct Table(Arc<File>);

impl Table {
    pub(super) fn open() -> io::Result<Self> {
        File::open("/proc/thread-self/net/dev").map(|file| Self(Arc::new(file)))
    }

    /// By the host's end of each container's pair, as seen from the other one.
    pub(super) fn of_containers(&self) -> io::Result<BTreeMap<String, InterfaceReport>> {
        let (mut table, mut buffer) = (Vec::new(), [0; 1 << 14]);
        loop {
            match self.0.read_at(&mut buffer, table.len() as u64) {
                Ok(0) => return Ok(containers(&String::from_utf8_lossy(&table))),
                Ok(len) => table.extend_from_slice(&buffer[..len]),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
    }
}

/// `proc_net_dev` of proc(5): the same eight columns for both directions, of which the first four are bytes, packets, errors and
/// drops. What the host's end sends the container receives.
fn containers(table: &str) -> BTreeMap<String, InterfaceReport> {
    let line = |line: &str| {
        let (name, columns) = line.trim_start().split_once(':')?;
        let columns: Vec<u64> = columns.split_ascii_whitespace().map_while(|column| column.parse().ok()).collect();
        let of = |first: usize| match columns.get(first..first + 4)? {
            &[bytes, packets, errors, dropped] => Some(Passed { packets, bytes, errors, dropped }),
            _ => None,
        };
        names::is_containers(name).then_some((name.to_owned(), InterfaceReport { rx: of(8)?, tx: of(0)? }))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_sends_the_container_receives() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
                     face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                     lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n\
                     plc-web: 4000      40    3    2    0     0          0         0     7000      70    5    6    0     0       0          0\n\
                     plc-odd: 4000\n";
        let passed = |packets, bytes, errors, dropped| Passed { packets, bytes, errors, dropped };
        let web = InterfaceReport { rx: passed(70, 7_000, 5, 6), tx: passed(40, 4_000, 3, 2) };
        assert_eq!(containers(table), [("plc-web".to_owned(), web)].into());
    }
}
