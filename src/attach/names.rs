//! Names of the interfaces that portlane makes. They follow from what they are for, so that what a crash has left is found again.

/// The longest name of a network interface (`IFNAMSIZ` without its final zero).
const LONGEST: usize = 15;

/// Ends of pairs whose other end is a container's `eth0`.
const CONTAINER: &str = "plc-";

/// The end of the gate that portlane's socket is on.
const GATE: &str = "plg-";

/// The end of the gate that frames for containers leave by.
const DELIVERY: &str = "pld-";

/// The line's end of the pair of what stays on the host, and the host's.
const WITHIN: &str = "pll-";
const HOST: &str = "plh-";

/// The interface of the host that a container's `eth0` is joined to.
///
/// ```
/// use portlane::attach::names;
///
/// assert_eq!(names::container("web"), "plc-web");
/// assert_eq!(names::container("7f3a0e1c-web-frontend").len(), 15);
/// ```
#[must_use]
pub fn container(id: &str) -> String {
    name(CONTAINER, id)
}

/// The interface of the host that all frames of containers on `uplink` come by, and all for them are sent to.
#[must_use]
pub fn gate(uplink: &str) -> String {
    name(GATE, uplink)
}

/// The other end of the [`gate`].
#[must_use]
pub fn delivery(uplink: &str) -> String {
    name(DELIVERY, uplink)
}

/// The interface that all frames come by that stay on the host: to be shaped, and back from there.
#[must_use]
pub fn within(uplink: &str) -> String {
    name(WITHIN, uplink)
}

/// The other end of [`within`], by which the host speaks with its containers.
#[must_use]
pub fn host(uplink: &str) -> String {
    name(HOST, uplink)
}

/// Whether a name is as [`container`] makes them.
#[cfg(feature = "af-xdp")]
#[must_use]
pub fn is_containers(name: &str) -> bool {
    name.starts_with(CONTAINER)
}

/// The text itself where it can be (part of) a name, or else `~` and a hash of it. No text that can be a name begins with `~`.
fn name(prefix: &str, text: &str) -> String {
    let fits = prefix.len() + text.len() <= LONGEST && !text.is_empty();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if fits && text.bytes().all(is_plain) { format!("{prefix}{text}") } else { format!("{prefix}~{}", digits(text)) }
}

/// 50 bits of a hash in ten digits: among 10,000 containers, two have the same once in 20 million times, and then it is told.
fn digits(text: &str) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let hash = fnv1a(text.as_bytes());
    (0..10).map(|place| char::from(DIGITS[usize::from((hash >> (5 * place)).to_le_bytes()[0] & 31)])).collect()
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo): the same on every machine, and in every version.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_stay() {
        assert_eq!(container("web"), "plc-web");
        assert_eq!(container("eleven_byte"), "plc-eleven_byte");
        assert_eq!(container("twelve-bytes"), "plc-~e4c020ac8j");
        assert_eq!([gate("eth0"), delivery("eth0")], ["plg-eth0", "pld-eth0"]);
        assert_eq!([within("eth0"), host("eth0")], ["pll-eth0", "plh-eth0"]);
    }

    #[test]
    fn what_cannot_be_in_a_name_is_hashed() {
        let odd = ["", "a b", "a/b", "a:b", "~0123456789", "ä", "a\0b"];
        let names = odd.map(container);
        for name in &names {
            assert!(name.len() == LONGEST && name.starts_with("plc-~"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:".contains(&byte)), "{name}");
        }
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), odd.len());
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
