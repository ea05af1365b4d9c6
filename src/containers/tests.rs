use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use toml::Table;

use super::*;

const NOW: Duration = Duration::from_secs(1_000_000);

/// A configuration with a pool of 1,024 ports, whose state is beside it.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: TempDir::new().unwrap() };
        let state = scene.folder.path().join("state.toml");
        let control =
            format!("[control]\nstate = {state:?}\nephemeral_ports = \"32768-33791\"\nports_rest = \"60s\"\n");
        let containers = "[[container]]\nid = \"own\"\nports = [\"80\"]\n[[group]]\nid = \"g\"\n";
        fs::write(scene.folder.path().join("portlane.toml"), containers.to_owned() + &control).unwrap();
        scene
    }

    fn open(&self) -> (Registry, Plan) {
        Registry::open(&self.folder.path().join("portlane.toml")).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn keys(text: &str) -> Table {
    toml::from_str(text).unwrap()
}

#[test]
fn what_is_no_object_of_keys_is_refused() {
    let read = |text: &str| super::keys(text.as_bytes());
    assert_eq!(read("{\"ports\": [\"80\"]}").unwrap()["ports"][0].as_str(), Some("80"));
    for wrong in ["", "{", "[]", "7", "\"web\"", "{\"ports\": null}"] {
        let why = read(wrong).unwrap_err();
        assert!(why.contains("expected a JSON object"), "{wrong}: {why}");
    }
}

fn ports_of(draft: &Draft) -> String {
    let container = draft.container.as_ref().unwrap();
    ports::of(container.table()).map(|range| range.to_string()).collect::<Vec<_>>().join(",")
}

#[test]
fn what_was_given_back_rests() {
    let scene = Scene::new();
    let (registry, _) = scene.open();
    let first = registry.put("a", keys("ports = \"auto:1024\""), NOW).unwrap();
    assert_eq!(ports_of(&first), "32768-33791");
    let removed = first.registry.remove("a", NOW).unwrap().registry;
    let again =
        |registry: &Registry, after| registry.put("b", keys("ports = [\"auto:16\"]"), NOW + Duration::from_secs(after));
    assert!(matches!(again(&removed, 59), Err(Refusal::Conflict(_))));
    assert_eq!(ports_of(&again(&removed, 60).unwrap()), "32768-32783");
    // Written down and read again it still rests.
    removed.save().unwrap();
    let (read, _) = scene.open();
    assert!(again(&read, 59).is_err() && again(&read, 61).is_ok());
}

#[test]
fn what_cannot_be_read_is_left_out_and_said() {
    let entries =
        ["80", "80-", "9-8", "32768-33791"].map(|ports| format!("[[resting]]\nports = \"{ports}\"\nuntil = 7\n"));
    let (state, warnings) = State::parse(&(entries.concat() + "[[container]]\nid = \"a\"\nports = 7\n")).unwrap();
    let resting: Vec<_> = state.resting.iter().map(|resting| resting.ports.to_string()).collect();
    assert_eq!((resting, state.containers.len()), (vec!["80".to_owned(), "32768-33791".to_owned()], 0));
    let [container, cut, reversed] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(cut.starts_with("ports \"80-\", which are to rest, are left out: "), "{cut}");
    assert!(reversed.starts_with("ports \"9-8\", which are to rest, are left out: "), "{reversed}");
    assert!(container.starts_with("container \"a\", added at run time, is left out: "), "{container}");
}

#[test]
fn who_is_changed_keeps_its_ports() {
    let (registry, _) = Scene::new().open();
    let web = registry.put("web", keys("ports = \"auto:16\""), NOW).unwrap();
    let limited = web.registry.set("web", keys("egress = { rate = \"1mbit\" }"), NOW).unwrap();
    assert_eq!(ports_of(&limited), ports_of(&web));
    let [_, container] = &limited.plan.containers[..] else { panic!("{:?}", limited.plan.containers) };
    assert!(container.lanes[1].limiter != limited.plan.unmatched.limiter);
    let moved = limited.registry.set("web", keys("ports = [\"9000\"]"), NOW).unwrap();
    assert_eq!((ports_of(&moved), moved.registry.state.resting.len()), ("9000".to_owned(), 1));
}

/// What may be done to a few names.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, String),
    Set(u8, String),
    Remove(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let ports = prop_oneof![
        (0..10_u32).prop_map(|power| format!("ports = \"auto:{}\"", 1 << power)),
        (8_000..8_010_u16).prop_map(|port| format!("ports = [\"{port}\"]")),
        Just("ports = [\"80\"]".to_owned()),
    ];
    let other = prop_oneof![
        Just("egress = { rate = \"1mbit\" }".to_owned()),
        Just("group = \"g\"".to_owned()),
        Just("group = \"none\"".to_owned()),
        ports.clone(),
    ];
    prop_oneof![
        4 => (0..6_u8, ports).prop_map(|(id, keys)| Step::Put(id, keys)),
        2 => (0..6_u8, other).prop_map(|(id, keys)| Step::Set(id, keys)),
        2 => (0..6_u8).prop_map(Step::Remove),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Whatever is done, and wherever a run ends: what is written down is what is followed, and no port has two owners.
    #[test]
    fn file_and_plan_keep_in_step(steps in prop::collection::vec(step(), 1..40)) {
        let scene = Scene::new();
        let (mut registry, plan) = scene.open();
        let mut followed: Vec<_> = plan.containers.iter().map(|one| (one.id.clone(), one.ports.clone())).collect();
        for (second, step) in (0..).zip(steps) {
            let now = NOW + Duration::from_secs(20 * second);
            let draft = match step {
                Step::Put(id, text) => registry.put(&format!("c{id}"), keys(&text), now),
                Step::Set(id, text) => registry.set(&format!("c{id}"), keys(&text), now),
                Step::Remove(id) => registry.remove(&format!("c{id}"), now),
                Step::Restart => {
                    let (read, plan) = scene.open();
                    prop_assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
                    registry = read;
                    let now: Vec<_> = plan.containers.iter().map(|one| (one.id.clone(), one.ports.clone())).collect();
                    prop_assert_eq!(&now, &followed);
                    continue;
                }
            };
            let Ok(draft) = draft else { continue };
            draft.registry.save().unwrap();
            followed = draft.plan.containers.iter().map(|one| (one.id.clone(), one.ports.clone())).collect();
            registry = draft.registry;
            for (at, (_, ports)) in followed.iter().enumerate() {
                let others = followed[at + 1..].iter().flat_map(|(_, ports)| ports);
                let shared = |range: &PortRange| ports.iter().any(|own| own.shared_with(*range).is_some());
                prop_assert!(!others.clone().any(shared), "{:?}", followed);
            }
        }
    }

    #[test]
    fn any_file_is_read_or_refused(text in "(\\[\\[(container|resting)\\]\\]\n|id = \"[a-z]?\"\n|ports = (\"auto:2\"|\\[\"80\"\\])\n|until = 7\n|x = 1\n){0,12}") {
        if let Ok((state, _)) = State::parse(&text) {
            let (again, warnings) = State::parse(&state.text()).unwrap();
            prop_assert_eq!(warnings, Vec::<String>::new());
            prop_assert_eq!(again.text(), state.text());
        }
    }
}
