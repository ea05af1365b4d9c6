//! The ports that the host's kernel chooses from for the host's own programs: none of them may be a container's, or what the network
//! answers to such a program is the container's.

use std::fs;

use portlane_classify::PortRange;

/// Of IPv4 and IPv6.
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// What it does not choose of them.
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// What the kernel chooses from (`inet_get_local_port_range`, `inet_is_local_reserved_port`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalPorts {
    range: PortRange,
    reserved: Vec<PortRange>,
}

impl LocalPorts {
    /// Of the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// It cannot be read: says what.
    pub(super) fn read() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|cause| format!("{path} cannot be read: {cause}"));
        Self::parse(&read(RANGE)?, &read(RESERVED)?)
    }

    fn parse(range: &str, reserved: &str) -> Result<Self, String> {
        let odd = |path: &str, text: &str| format!("{path} says {:?}, which is no range of ports", text.trim());
        let number = |word: &str| word.parse().ok();
        let words: Option<Vec<u16>> = range.split_ascii_whitespace().map(number).collect();
        let range = match words.as_deref() {
            Some(&[first, last]) => PortRange::new(first, last).map_err(|_| odd(RANGE, range))?,
            _ => return Err(odd(RANGE, range)),
        };
        let ranges = reserved.trim().split(',').filter(|text| !text.is_empty());
        let reserved = ranges.map(|text| text.parse().map_err(|_| odd(RESERVED, text))).collect::<Result<_, _>>()?;
        Ok(Self { range, reserved })
    }

    /// The first ports of a range that the host's programs may get, too.
    fn shared_with(&self, ports: PortRange) -> Option<PortRange> {
        let shared = self.range.shared_with(ports)?;
        let mut first = shared.first();
        loop {
            let reserved = |range: &&PortRange| range.contains(first);
            match self.reserved.iter().find(reserved) {
                Some(range) if range.last() >= shared.last() => return None,
                Some(range) => first = range.last() + 1,
                None => break,
            }
        }
        let next = self.reserved.iter().map(|range| range.first()).filter(|&next| next > first).min();
        PortRange::new(first, next.map_or(shared.last(), |next| shared.last().min(next - 1))).ok()
    }

    /// Refuses ports (`of` says whose) that the host's programs may get, too.
    ///
    /// # Errors
    ///
    /// Names both ranges, and what would be right.
    pub(super) fn check(&self, of: &str, ports: PortRange) -> Result<(), String> {
        let Some(shared) = self.shared_with(ports) else { return Ok(()) };
        let both: Vec<_> = self.reserved.iter().copied().chain([ports]).map(|range| range.to_string()).collect();
        let moved = self.without(ports).map_or_else(String::new, |rest| {
            format!("`sysctl -w net.ipv4.ip_local_port_range=\"{} {}\"`, or ", rest.first(), rest.last())
        });
        Err(format!(
            "{of} {ports} and the host's own net.ipv4.ip_local_port_range {} have {shared} in common: answers to programs of the \
             host would be containers'. Keep them apart: {moved}`sysctl -w net.ipv4.ip_local_reserved_ports={}`",
            self.range,
            both.join(",")
        ))
    }

    /// The larger part of the range that is left without `ports`.
    fn without(&self, ports: PortRange) -> Option<PortRange> {
        let below = ports.first().checked_sub(1).and_then(|last| PortRange::new(self.range.first(), last).ok());
        let above = ports.last().checked_add(1).and_then(|first| PortRange::new(first, self.range.last()).ok());
        below.into_iter().chain(above).max_by_key(|part| part.last() - part.first())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    fn parsed(local: &str, reserved: &str) -> LocalPorts {
        LocalPorts::parse(local, reserved).unwrap()
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        let of_linux = parsed("32768\t60999\n", "\n");
        assert_eq!(of_linux, LocalPorts { range: range("32768-60999"), reserved: Vec::new() });
        let reserved = parsed("1024\t65535\n", "8080,31000-31999\n").reserved;
        assert_eq!(reserved, [range("8080"), range("31000-31999")]);
        for odd in ["", "32768", "60999 32768", "0 100", "1 2 3", "x y", "1 65536"] {
            let why = LocalPorts::parse(odd, "").unwrap_err();
            assert!(why.contains(RANGE) && why.contains(odd), "{why}");
        }
        assert!(LocalPorts::parse("1 2", "7-3").unwrap_err().contains(RESERVED));
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        let linux = parsed("32768\t60999\n", "\n");
        let why = linux.check("ephemeral_ports", range("32768-57343")).unwrap_err();
        for part in [
            "ephemeral_ports 32768-57343 and the host's own net.ipv4.ip_local_port_range 32768-60999 have 32768-57343",
            "net.ipv4.ip_local_port_range=\"57344 60999\"",
            "net.ipv4.ip_local_reserved_ports=32768-57343`",
        ] {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert_eq!(linux.check("ports", range("31000-32767")), Ok(()));
        assert_eq!(linux.check("ports", range("61000-65535")), Ok(()));
        let why = linux.check("ports", range("1024-65535")).unwrap_err();
        assert!(!why.contains("ip_local_port_range="), "nothing would be left: {why}");
        let why = parsed("32768 60999", "40000").check("ports", range("39999-40001")).unwrap_err();
        assert!(why.contains("have 39999 in common") && why.contains("ports=40000,39999-40001"), "{why}");
        assert_eq!(parsed("32768 60999", "30000-40000").check("ports", range("39999-40000")), Ok(()));
    }

    proptest! {
        /// Whatever there is instead is refused, and named.
        #[test]
        fn anything_is_read_or_refused(range in "[0-9 \\t\\n-]{0,16}|.{0,16}", reserved in "[0-9,-]{0,24}|.{0,16}") {
            if let Err(why) = LocalPorts::parse(&range, &reserved) {
                prop_assert!(why.contains(RANGE) || why.contains(RESERVED), "{why}");
            }
        }

        /// What is said to be in common is what a port by port look finds first, up to the next that is not.
        #[test]
        fn shared_ports_are_those_that_both_have(
            local in (1..2_000_u16, 0..2_000_u16),
            ports in (1..2_000_u16, 0..2_000_u16),
            reserved in prop::collection::vec((1..4_000_u16, 0..300_u16), 0..12),
        ) {
            let range = |(first, more): (u16, u16)| PortRange::new(first, first + more).unwrap();
            let reserved: Vec<_> = reserved.into_iter().map(range).collect();
            let local = LocalPorts { range: range(local), reserved };
            let ports = range(ports);
            let is_shared = |port: &u16| {
                let reserved = local.reserved.iter().any(|range| range.contains(*port));
                ports.contains(*port) && local.range.contains(*port) && !reserved
            };
            let first = (1..=u16::MAX).find(is_shared);
            let last = first.and_then(|first| (first..=u16::MAX).take_while(is_shared).last());
            let expected = first.zip(last).map(|(first, last)| PortRange::new(first, last).unwrap());
            prop_assert_eq!(local.shared_with(ports), expected);
            prop_assert_eq!(local.check("ports", ports).is_ok(), expected.is_none());
        }
    }
}
