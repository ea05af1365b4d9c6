//! Which cores the threads of a run may have.

use std::fs;

use nix::sched::sched_getaffinity;
use nix::unistd::Pid;

use crate::bench::{Bench, FREE_CONTAINER};
use crate::portlane::{Portlane, eventually};

/// The cores that this process may run on, and with it the portlanes that it starts.
pub(crate) fn cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Those that serve numbers and changes leave the worker its core from the beginning: they have all others.
pub(crate) fn keep_off() {
    let bench = Bench::new();
    let cores = cores();
    for at in [0, cores.len() - 1] {
        let core = cores[at];
        let worker = format!("[[worker]]\ncore = {core}\nqueues = [\"network:0\", \"container:0\"]\n");
        let portlane = bench.start(&format!("{FREE_CONTAINER}{worker}"));
        let others = [&cores[..at], &cores[at + 1..]].concat();
        for name in ["portlane-http", "portlane-watch"] {
            assert_eq!(allowed(&portlane, name), others, "{name}, with a worker on core {core}");
        }
    }
}

/// Nor does who answers containers for their neighbours take anything from the worker.
pub(crate) fn keep_off_on_a_shared_card() {
    let bench = Bench::shared();
    let core = cores()[0];
    let worker = format!("[[worker]]\ncore = {core}\nqueues = [\"network:0\", \"container:0\"]\n");
    let portlane = bench.start_shared(&format!("{FREE_CONTAINER}{worker}"), "\"all\"");
    let others = &cores()[1..];
    // As much of its name as the kernel keeps (`TASK_COMM_LEN`).
    let name = "portlane-neighb";
    eventually(|| allowed(&portlane, name) == others, || format!("{:?}", allowed(&portlane, name)));
}

/// The cores that the thread of this name may run on.
fn allowed(portlane: &Portlane, name: &str) -> Vec<usize> {
    let threads = fs::read_dir(format!("/proc/{}/task", portlane.id())).unwrap().map(|entry| entry.unwrap());
    let mut named = threads.filter(|thread| fs::read_to_string(thread.path().join("comm")).unwrap().trim() == name);
    let thread = named.next().unwrap_or_else(|| panic!("there is no thread {name}"));
    let id = thread.file_name().to_str().unwrap().parse().unwrap();
    let allowed = sched_getaffinity(Pid::from_raw(id)).unwrap();
    cores().into_iter().filter(|&core| allowed.is_set(core).unwrap()).collect()
}
