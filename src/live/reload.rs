//! What cannot change while a run goes on.

use crate::config::{Idle, Plan};

/// Refuses a plan that the run cannot follow, and says what to do.
pub(super) fn check(old: &Plan, new: &Plan) -> Result<(), String> {
    let polls = |plan: &Plan| plan.running.idle == Idle::BusyPoll;
    let fixed = [
        ("[wire]", old.wire != new.wire),
        ("[nic]", old.nic != new.nic),
        ("[[worker]]", old.workers != new.workers),
        ("io", old.running.io != new.running.io),
        ("[http] listen", old.listen != new.listen),
        ("[http] rate_window or rate_interval", old.rates != new.rates),
        ("[control] socket", old.socket != new.socket),
        ("idle, to or from \"busy-poll\",", polls(old) != polls(new)),
        ("[meters] intervals, host, output or post", old.meters.tells_otherwise(&new.meters)),
        ("[flows]", old.flows != new.flows),
        ("[netstat]", (old.netstat, old.reads_namespaces) != (new.netstat, new.reads_namespaces)),
        ("offloads", old.running.offloads != new.running.offloads),
    ];
    match fixed.into_iter().find(|&(_, changes)| changes) {
        Some((what, _)) => {
            Err(format!("{what} cannot change while portlane runs: restart it, or leave that as it was"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::config::{self, Plan};

    fn plan(head: &str, tail: &str) -> Plan {
        config::parse(&format!("{head}\n[[container]]\nid = \"web\"\nports = [\"80\"]\n{tail}"), "test").unwrap()
    }

    #[test]
    fn what_is_open_stays_open() {
        let old = plan("", "");
        for (head, tail, named) in [
            ("", "[wire]\nnetwork = \"a\"\ncontainer = \"b\"\n", "[wire] "),
            ("", "[nic]\ninterface = \"a\"\ncontainer = \"b\"\n", "[nic] "),
            ("", "[http]\nlisten = \"127.0.0.1:1\"\n", "[http] listen "),
            ("", "[http]\nrate_window = \"60s\"\n", "[http] rate_window or rate_interval "),
            ("", "[control]\nsocket = \"/tmp/other\"\n", "[control] socket "),
            ("io = \"copy\"", "", "io "),
            ("idle = \"busy-poll\"", "", "idle, to or from \"busy-poll\", "),
            ("offloads = \"keep\"", "", "offloads "),
        ] {
            let refused = check(&old, &plan(head, tail)).unwrap_err();
            assert!(refused.starts_with(named), "{refused}");
        }
        assert_eq!(
            check(
                &old,
                &plan("idle = \"busy\"\ndrain = \"3s\"\nchecksums = \"complete\"", "egress = { rate = \"1mbit\" }\n")
            ),
            Ok(())
        );
        let wire = "[wire]\nnetwork = \"a\"\ncontainer = \"b\"\n";
        let worker = |core| plan("", &format!("{wire}[[worker]]\ncore = {core}\nqueues = [\"a:0\", \"b:0\"]\n"));
        assert!(check(&worker(0), &worker(1)).unwrap_err().starts_with("[[worker]] "));
    }
}
