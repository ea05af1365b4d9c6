//! Cores by their numbers: whether a worker can have one.

use std::fs;

use core_affinity::CoreId;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::failure::Failure;

/// Numbers of cores as the kernel writes them: `0-3,8`.
#[derive(Debug)]
struct Cores {
    written: String,
    ranges: Vec<(usize, usize)>,
}

impl Cores {
    /// A list under `/sys/devices/system/cpu`; none where the kernel does not say.
    fn read(list: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/sys/devices/system/cpu/{list}")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let ranges = text.trim().split(',').map(range).collect::<Option<_>>()?;
        Some(Self { written: text.trim().to_owned(), ranges })
    }

    fn contains(&self, core: usize) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&core))
    }
}

/// The cores of workers, each of which exists, is online, and is among those `allowed`.
///
/// # Errors
///
/// Refused if one is not.
pub(super) fn check(wanted: impl Iterator<Item = usize>, allowed: &[CoreId]) -> Result<Vec<CoreId>, Failure> {
    let mut wanted = wanted.map(|core| among(core, allowed, "[[worker]] core"));
    wanted.try_fold(Vec::new(), |mut cores, core| {
        cores.push(core.map_err(Failure::refused)?);
        Ok(cores)
    })
}

/// A core that is none of the `workers`', which `key` names.
///
/// # Errors
///
/// Refused if it does not exist, is not online, is a worker's, or not among those that portlane may run on.
pub fn one(core: usize, workers: &[Option<usize>], key: &str) -> Result<CoreId, Failure> {
    if workers.contains(&Some(core)) {
        return Err(Failure::refused(format!("core {core} is a worker's: name another in {key}, or leave it out")));
    }
    among(core, &core_affinity::get_core_ids().unwrap_or_default(), key).map_err(Failure::refused)
}

fn among(core: usize, allowed: &[CoreId], key: &str) -> Result<CoreId, String> {
    let [present, online] = ["present", "online"].map(Cores::read);
    check_one(core, present.as_ref(), online.as_ref(), allowed, key)
}

fn check_one(
    core: usize,
    present: Option<&Cores>,
    online: Option<&Cores>,
    allowed: &[CoreId],
    key: &str,
) -> Result<CoreId, String> {
    let lacks = |cores: Option<&Cores>| cores.filter(|cores| !cores.contains(core)).map(|cores| cores.written.clone());
    if let Some(present) = lacks(present) {
        return Err(format!("there is no core {core}: this machine has {present}; name one of those in {key}"));
    }
    if let Some(online) = lacks(online) {
        return Err(format!(
            "core {core} is offline: `echo 1 > /sys/devices/system/cpu/cpu{core}/online` brings it up, or name one of \
             {online} in {key}"
        ));
    }
    allowed.iter().copied().find(|allowed| allowed.id == core).ok_or_else(|| {
        let allowed: Vec<_> = allowed.iter().map(|core| core.id.to_string()).collect();
        format!(
            "core {core} is not among those that portlane may run on ({}): name one of those in {key}, or let \
             it have more (taskset, cpusets; AllowedCPUs= and CPUAffinity= of a systemd unit)",
            allowed.join(", ")
        )
    })
}

/// Has a thread run on other cores than those of workers, if there are others: what it does is not to be paid for by packets.
pub fn keep_off(cores: &[Option<usize>], thread: Pid) {
    let Ok(mut allowed) = sched_getaffinity(thread) else { return };
    let left = |allowed: &CpuSet| (0..CpuSet::count()).any(|core| allowed.is_set(core).unwrap_or(false));
    for core in cores.iter().flatten() {
        // A core beyond those that can be told is none of its own.
        let _ = allowed.unset(*core);
    }
    if left(&allowed) {
        // Where that is refused it runs where it did.
        let _ = sched_setaffinity(thread, &allowed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_cannot_be_had_is_refused_with_the_reason() {
        let [present, online] = ["0-3,8\n", "0-2"].map(|text| Cores::parse(text).unwrap());
        let allowed = [0, 1].map(|id| CoreId { id });
        let key = "[[worker]] core";
        let one = |core| check_one(core, Some(&present), Some(&online), &allowed, key).map(|core| core.id);
        assert_eq!(one(1), Ok(1));
        assert_eq!(
            one(4).unwrap_err(),
            "there is no core 4: this machine has 0-3,8; name one of those in [[worker]] core"
        );
        assert!(one(8).unwrap_err().starts_with("core 8 is offline: `echo 1 > /sys/devices/system/cpu/cpu8/online`"));
        assert!(one(2).unwrap_err().starts_with("core 2 is not among those that portlane may run on (0, 1): "));
    }

    #[test]
    fn what_the_kernel_does_not_say_is_not_asked_for() {
        let allowed = [CoreId { id: 5 }];
        let key = "[[worker]] core";
        assert_eq!(check_one(5, None, None, &allowed, key), Ok(allowed[0]));
        assert!(check_one(4, None, None, &allowed, key).unwrap_err().contains("may run on (5)"));
        assert!(Cores::parse("").is_none() && Cores::parse("0-x").is_none());
    }
}
