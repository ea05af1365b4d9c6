//! Containers that come, change and go while portlane runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hyper::Method;
use portlane::control::client;
use serde_json::{Value, json};

use crate::bench::{Bench, FREE, FREE_CONTAINER, SERVER};
use crate::portlane::{PROGRAM, Portlane, eventually};
use crate::traffic::{Echo, Flood};

/// A pool of ports beside the file's container.
const POOL: &str = "ephemeral_ports = \"32768-33791\"\nports_rest = \"3600s\"\n";

/// Starts with a pool, and the state beside the socket.
fn start(bench: &Bench) -> Portlane {
    start_by(bench, &[])
}

fn start_by(bench: &Bench, wrapper: &[&str]) -> Portlane {
    let config = bench.config(FREE_CONTAINER);
    let text = fs::read_to_string(&config).unwrap() + POOL;
    fs::write(&config, text).unwrap();
    let portlane = Portlane::launch(&bench.line, wrapper, &config);
    portlane.wait_until_open();
    portlane
}

fn state(bench: &Bench) -> PathBuf {
    bench.path("containers.toml")
}

fn command(bench: &Bench, words: &[&str]) -> Output {
    Command::new(PROGRAM).args(words).arg("--socket").arg(bench.socket()).output().unwrap()
}

/// What a command says that succeeds.
pub(crate) fn said(bench: &Bench, words: &[&str]) -> String {
    let output = command(bench, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command says that is refused.
pub(crate) fn refused(bench: &Bench, words: &[&str]) -> String {
    let output = command(bench, words);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

pub(crate) fn come_change_and_go() {
    let bench = Bench::new();
    let portlane = start(&bench);
    let echo = Echo::new(&bench, 8_500);
    echo.ask(b"nobody's");
    let unmatched = bench.stats().unmatched.ingress.sent_packets;
    let add = ["container", "add", "web", "--ports", "8500-8599", "--egress-rate", "10mbit"];
    assert_eq!(said(&bench, &add), "web: ports 8500-8599\n");
    echo.ask(b"a container's");
    let stats = bench.stats();
    let [_, web] = &stats.containers[..] else { panic!("{:?}", stats.containers) };
    assert_eq!((web.id.as_str(), web.ingress.sent_packets, web.egress.sent_packets), ("web", 1, 1));
    assert_eq!(stats.unmatched.ingress.sent_packets, unmatched, "they are its own at once");

    assert_eq!(said(&bench, &["container", "add", "a", "--ports", "auto:256"]), "a: ports 32768-33023\n");
    assert_eq!(said(&bench, &["container", "add", "b", "--ports", "auto:512"]), "b: ports 33280-33791\n");
    assert_eq!(
        said(&bench, &["container", "set", "a", "--key", "ingress = { rate = \"1mbit\" }"]),
        "a: ports 32768-33023\n"
    );
    said(&bench, &["container", "remove", "a"]);
    let rested = said(&bench, &["container", "add", "c", "--ports", "auto:256"]);
    assert_eq!(rested, "c: ports 33024-33279\n", "what was given back rests");
    assert!(
        refused(&bench, &["container", "add", "d", "--ports", "auto:256"]).contains("the pool 32768-33791 has no 256")
    );
    let list = said(&bench, &["container", "list"]);
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.contains("web  ports 8500-8599  added at run time") && list.contains("of the file"), "{list}");

    for (words, why) in [
        (&["container", "add", "x", "--ports", "8599-8600"][..], "8599"),
        (&["container", "add", "x", "--ports", "32800"], "are of the pool"),
        (&["container", "add", "x", "--ports", "auto:100"], "power of two"),
        (&["container", "add", "x", "--ports", "9000", "--group", "none"], "no group is named \"none\""),
        (&["container", "add", "x", "--ports", "9000", "--key", "colour = \"red\""], "unknown field `colour`"),
        (&["container", "add", "free", "--ports", "9000"], "is in the configuration file"),
        (&["container", "set", "nobody", "--egress-rate", "1mbit"], "no container \"nobody\""),
        (&["container", "remove", "nobody"], "no container \"nobody\""),
        (&["container", "remove", "free"], "is in the configuration file"),
    ] {
        let told = refused(&bench, words);
        assert!(told.contains(why), "{words:?}: {told}");
    }
    assert_eq!(said(&bench, &["container", "list"]), list, "what is refused changes nothing");
    assert_eq!(said(&bench, &["reload"]), "containers: 0 added, 0 changed, 0 removed\n");
    assert!(said(&bench, &["drain"]).contains("then it ends"));
    let ended = portlane.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    // They are there again, each with its ports.
    let portlane = start(&bench);
    assert_eq!(said(&bench, &["container", "list"]), list);
    drop(portlane);
    // What cannot be any more is left out, and what is in the file now is the file's.
    let text = fs::read_to_string(state(&bench)).unwrap() + "\n[[container]]\nid = \"late\"\nports = [\"8590\"]\n";
    fs::write(state(&bench), text + "\n[[container]]\nid = \"free\"\nports = [\"1\"]\n").unwrap();
    let portlane = start(&bench);
    assert_eq!(said(&bench, &["container", "list"]), list);
    let told = portlane.stderr();
    assert!(told.contains("\"late\", added at run time, is left out") && told.contains("the file's counts"), "{told}");
    drop(portlane);
    fs::write(state(&bench), "not toml").unwrap();
    let portlane = start(&bench);
    assert!(portlane.stderr().contains("containers.toml.unreadable"), "{}", portlane.stderr());
    assert_eq!(said(&bench, &["container", "list"]).lines().count(), 1);
}

/// What cannot be written down is not done.
pub(crate) fn unwritable_state() {
    let bench = Bench::new();
    let _portlane = start(&bench);
    // A folder in its place: no file can be renamed to it.
    fs::create_dir(state(&bench)).unwrap();
    let told = refused(&bench, &["container", "add", "web", "--ports", "9000"]);
    assert!(told.contains("nothing has changed"), "{told}");
    assert_eq!(bench.stats().containers.len(), 1);
    fs::remove_dir(state(&bench)).unwrap();
    said(&bench, &["container", "add", "web", "--ports", "9000"]);
    assert_eq!(bench.stats().containers.len(), 2);
}

/// A service keeps what was added in its own folder, which outlives that of the socket.
pub(crate) fn state_of_a_service() {
    let bench = Bench::new();
    let folder = bench.path("lib");
    fs::create_dir(&folder).unwrap();
    let variable = format!("STATE_DIRECTORY={}", folder.display());
    let portlane = start_by(&bench, &["env", &variable]);
    assert!(fs::read_dir(&folder).unwrap().next().is_none(), "nothing was added");
    assert_eq!(said(&bench, &["container", "add", "web", "--ports", "auto:16"]), "web: ports 32768-32783\n");
    let written = fs::read_to_string(folder.join("containers.toml")).unwrap();
    assert!(written.contains("id = \"web\"") && written.contains("32768-32783"), "{written}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert!(!state(&bench).exists(), "there is none beside the socket");
    drop(portlane);
    let _portlane = start_by(&bench, &["env", &variable]);
    let list = said(&bench, &["container", "list"]);
    assert!(list.contains("web") && list.contains("ports 32768-32783  added at run time"), "{list}");
}

/// Containers that come and go, one after the other.
const MANY: u16 = 1_000;

/// How long a change may take from being asked for to the answer, at the median and of 99 in 100: asserted by `make changes`.
const AT_THE_MEDIAN: Duration = Duration::from_millis(2);
const NEARLY_ALWAYS: Duration = Duration::from_millis(20);

fn is_timed() -> bool {
    std::env::var_os("PORTLANE_CHANGES").is_some_and(|wanted| wanted == "long")
}

pub(crate) fn many_under_load() {
    let bench = Bench::new();
    let _portlane = start(&bench);
    let socket = bench.socket();
    let change = |method: &Method, number: u16, body: Option<Value>| {
        let begun = Instant::now();
        client::change(&socket, method, &format!("/control/containers/c{number}"), body.as_ref())
            .unwrap_or_else(|why| panic!("{method} {number}: {why}"));
        begun.elapsed()
    };
    let floods: Vec<_> =
        [FREE, 10_000, 10_500].map(|port| Flood::start(&bench.client, (SERVER, port), 200, 5)).into_iter().collect();
    let ports = |number: u16| format!("{}", 10_000 + number);
    let mut took: Vec<(&str, Vec<Duration>)> = Vec::new();
    let all = |act: &dyn Fn(u16) -> Duration| (0..MANY).map(act).collect::<Vec<_>>();
    took.push(("add", all(&|number| change(&Method::PUT, number, Some(json!({ "ports": [ports(number)] }))))));
    let stats = bench.stats();
    assert_eq!(stats.containers.len(), 1 + usize::from(MANY));
    assert!(stats.containers[1].ingress.sent_packets > 0, "{:?}", stats.containers[1]);
    let rate = json!({ "ingress": { "rate": "100mbit" } });
    took.push(("set", all(&|number| change(&Method::PATCH, number, Some(rate.clone())))));
    took.push(("remove", all(&|number| change(&Method::DELETE, number, None))));
    let sent: u64 = floods.into_iter().map(Flood::stop).sum();
    assert!(sent > 0);
    for (what, times) in &mut took {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!("{what} {MANY} containers: median {:?}, 99 % within {:?}, the longest {:?}", at(50), at(99), at(100));
        assert!(!is_timed() || at(50) < AT_THE_MEDIAN && at(99) < NEARLY_ALWAYS, "{what}: too long");
    }
    let (snapshot, kernel) = bench.settled_books();
    let totals = &snapshot.totals;
    assert_eq!((totals.received, totals.sent), (kernel.received, kernel.sent), "{totals:?}");
    assert_eq!(totals.received, totals.sent + totals.dropped);
    eventually(|| bench.stats().containers.len() == 1, || "they are still there".to_owned());
}
