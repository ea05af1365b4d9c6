//! Damage: random bytes rarely get past a first check, so most input is something whole with a few edits.

/// Edits of one script, at most.
const EDITS: usize = 6;

/// `whole` after the edits that `script` asks for: its first byte says how many, each takes four bytes more.
///
/// An edit is a kind, a place as a fraction of the length in 1/65,536, and a value.
pub(crate) fn damaged(whole: &[u8], script: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let Some((&count, edits)) = script.split_first() else { return bytes };
    for edit in edits.chunks_exact(4).take(usize::from(count) % (EDITS + 1)) {
        let at = place(bytes.len(), [edit[1], edit[2]]);
        apply(&mut bytes, edit[0], at, edit[3]);
    }
    bytes
}

/// A position below `len`, or 0 if there is none.
pub(crate) fn place(len: usize, fraction: [u8; 2]) -> usize {
    len * usize::from(u16::from_be_bytes(fraction)) / 65_536
}

fn apply(bytes: &mut Vec<u8>, kind: u8, at: usize, value: u8) {
    let end = bytes.len().min(at + usize::from(value));
    match kind % 8 {
        0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = value),
        2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (value % 8)),
        3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = byte.wrapping_add(value)),
        4 => bytes.insert(at, value),
        5 => drop(bytes.drain(at..end)),
        6 => bytes.extend_from_within(at..end),
        _ => bytes.truncate(at),
    }
}
