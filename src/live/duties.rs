//! Which worker serves which queues, on which core.

use core_affinity::CoreId;
use portlane_rings::{Interface, Options, QueueChoice};

use super::cores;
use crate::config::{Plan, Queues, Worker};
use crate::failure::Failure;
use crate::workers::MAX_WORKERS;

/// Frames of a worker beyond those in its rings: what can wait in its lanes, at least.
const FRAMES_BESIDE_RINGS: u32 = 8_192;

/// What one worker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Duty {
    /// On which core; `None` where cores cannot be chosen.
    pub(super) core: Option<CoreId>,
    /// Queues of the network's interface, and of the containers'.
    pub(super) queues: [Vec<u32>; 2],
}

impl Duty {
    /// Whether it can send to both sides. Only such workers own lanes: packets leave by queues of their lane's owner.
    pub(super) fn serves_both(&self) -> bool {
        self.queues.iter().all(|queues| !queues.is_empty())
    }
}

/// The duties of all workers: those of the plan, or as many as the interface with more queues has of them, and as there are
/// cores.
///
/// # Errors
///
/// Refused if a core or a queue that the plan names is not to be had, or a queue would have no worker.
pub(super) fn assign(plan: &Plan, interfaces: &[Interface; 2]) -> Result<Vec<Duty>, Failure> {
    let chosen = served(plan, interfaces)?;
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if plan.workers.is_empty() {
        return Ok(share(&chosen, &cores));
    }
    plan.workers.iter().try_for_each(|worker| check_queues(worker, interfaces))?;
    for (interface, (side, chosen)) in interfaces.iter().zip(chosen.iter().enumerate()) {
        let is_served = |queue| plan.workers.iter().any(|worker| worker.queues[side].contains(queue));
        if let Some(queue) = chosen.iter().find(|&queue| !is_served(queue)) {
            return Err(unserved(interface, *queue));
        }
    }
    let cores = cores::check(plan.workers.iter().map(|worker| worker.core), &cores)?;
    let duty = |(worker, core): (&Worker, _)| Duty { core: Some(core), queues: worker.queues.clone() };
    Ok(plan.workers.iter().zip(cores).map(duty).collect())
}

/// The duties when it is known what has been bound: of packet sockets one for each interface, whatever queues that has. Then
/// the first worker serves alone.
pub(super) fn of_bound(mut duties: Vec<Duty>, bound: [Vec<u32>; 2]) -> Vec<Duty> {
    let wanted = |side: usize| duties.iter().map(|duty| duty.queues[side].len()).sum::<usize>();
    if [0, 1].iter().any(|&side| bound[side].len() < wanted(side)) {
        duties.truncate(1);
        duties.iter_mut().for_each(|duty| duty.queues.clone_from(&bound));
    }
    duties
}

/// Frames that workers with these duties need, which have equal parts of them. One may have so many `more` queues.
pub(super) fn frames(duties: &[Duty], more: usize, options: &Options) -> u32 {
    let queues = |duty: &Duty| duty.queues.iter().map(Vec::len).sum::<usize>();
    let most = duties.iter().map(queues).max().unwrap_or(0) + more;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let of_each = number(most).saturating_mul(2 * options.ring_size).saturating_add(FRAMES_BESIDE_RINGS);
    number(duties.len()).saturating_mul(of_each)
}

/// The queues that are to be served, of either interface.
fn served(plan: &Plan, interfaces: &[Interface; 2]) -> Result<[Vec<u32>; 2], Failure> {
    let uplink = match plan.nic.as_ref().map(|nic| &nic.queues) {
        Some(Queues::These(queues)) => QueueChoice::These(queues.clone()),
        Some(Queues::All) | None => QueueChoice::All,
    };
    let [network, container] = interfaces;
    let of = |choice: QueueChoice, interface| choice.of(interface).map_err(Failure::refused);
    Ok([of(uplink, network)?, of(QueueChoice::All, container)?])
}

/// Queues in turns to as many workers as there are; the last cores first, since interrupts usually go to the first one.
fn share(chosen: &[Vec<u32>; 2], cores: &[CoreId]) -> Vec<Duty> {
    let most = chosen.iter().map(Vec::len).max().unwrap_or(0);
    let count = most.min(cores.len()).clamp(1, MAX_WORKERS);
    let duty = |worker| Duty {
        core: cores.iter().rev().nth(worker).copied(),
        queues: chosen.each_ref().map(|queues| queues.iter().skip(worker).step_by(count).copied().collect()),
    };
    (0..count).map(duty).collect()
}

fn check_queues(worker: &Worker, interfaces: &[Interface; 2]) -> Result<(), Failure> {
    for (interface, queues) in interfaces.iter().zip(&worker.queues) {
        QueueChoice::These(queues.clone()).of(interface).map_err(Failure::refused)?;
    }
    Ok(())
}

fn unserved(interface: &Interface, queue: u32) -> Failure {
    let (name, queues) = (&interface.name, interface.receive_queues);
    let kind = if interface.combined_queues > 0 { "combined" } else { "rx" };
    Failure::refused(format!(
        "queue {queue} of interface {name} is served by no worker: add \"{name}:{queue}\" to the queues of a [[worker]], or \
         leave the interface fewer than its {queues} with `ethtool -L {name} {kind} {queue}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(duties: &[Duty]) -> Vec<[Vec<u32>; 2]> {
        duties.iter().map(|duty| duty.queues.clone()).collect()
    }

    #[test]
    fn there_are_as_many_workers_as_queues_and_cores() {
        let cores = [0, 1, 2].map(|id| CoreId { id });
        let one = share(&[vec![0], vec![0]], &cores);
        assert_eq!(one, [Duty { core: Some(CoreId { id: 2 }), queues: [vec![0], vec![0]] }]);
        let two = share(&[vec![2, 3], vec![0]], &cores);
        assert_eq!(queues(&two), [[vec![2], vec![0]], [vec![3], vec![]]]);
        assert_eq!([0, 1].map(|worker| two[worker].core.map(|core| core.id)), [Some(2), Some(1)]);
        assert_eq!([0, 1].map(|worker| two[worker].serves_both()), [true, false]);
        let three = share(&[(0..4).collect(), (0..5).collect()], &cores);
        assert_eq!(queues(&three), [[vec![0, 3], vec![0, 3]], [vec![1], vec![1, 4]], [vec![2], vec![2]]]);
        let unknown = share(&[vec![0, 1], vec![0, 1]], &[]);
        assert_eq!(unknown, [Duty { core: None, queues: [vec![0, 1], vec![0, 1]] }]);
    }

    #[test]
    fn where_less_is_bound_the_first_worker_serves_alone() {
        let cores = [0, 1].map(|id| CoreId { id });
        let all = [vec![0, 1], vec![0, 1]];
        let duties = share(&all, &cores);
        assert_eq!(of_bound(duties.clone(), all), duties);
        let alone = of_bound(duties, [vec![0], vec![0]]);
        assert_eq!(alone, [Duty { core: Some(CoreId { id: 1 }), queues: [vec![0], vec![0]] }]);
    }

    #[test]
    fn one_worker_has_its_rings_and_as_many_frames_again() {
        let duty = |counts: &[u32; 2]| Duty { core: None, queues: counts.map(|count| (0..count).collect()) };
        let frames =
            |counts: &[[u32; 2]]| super::frames(&counts.iter().map(duty).collect::<Vec<_>>(), 0, &Options::default());
        assert_eq!(frames(&[[1, 1]]), 16_384);
        assert_eq!(frames(&[[2, 1]]), 20_480);
        assert_eq!(frames(&[[1, 1], [1, 1]]), 32_768);
    }
}
