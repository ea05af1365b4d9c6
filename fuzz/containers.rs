//! What is asked for containers at run time, and the file that they are kept in.

use bolero::check;
use portlane::config::Fragment;
use portlane::containers::{State, keys};

use crate::{BUDGET, damage};

const REQUESTS: [&str; 3] = [
    "{\"ports\": [\"8000-8099\", \"9000\"], \"egress\": {\"rate\": \"10mbit\", \"ceil\": \"20mbit\"}, \"group\": \"tenant\"}",
    "{\"ports\": \"auto:1024\", \"queue\": {\"kind\": \"codel\", \"target\": \"5ms\"}, \"mode\": \"observe\"}",
    "{\"id\": \"web\", \"ports\": [\"80\"], \"mesos\": {\"executor_id\": \"a\\u0000b\\n\\\"\"}, \"addresses\": [\"10.0.0.1\"]}",
];

const FILES: [&str; 2] = [
    "[[resting]]\nports = \"32768-33791\"\nuntil = 1700000000\n\n[[container]]\nid = \"web\"\nports = [\"8000-8099\"]\n\n\
     [container.egress]\nrate = \"10mbit\"\n",
    "[[container]]\nid = \"a\"\nports = [\"1\"]\n[[container]]\nid = \"\"\nports = []\n",
];

#[test]
fn any_request() {
    check!(name = "requests").with_test_time(BUDGET).for_each(|input: &[u8]| {
        request(input);
        if let Some((&seed, script)) = input.split_first() {
            request(&damage::damaged(REQUESTS[usize::from(seed) % REQUESTS.len()].as_bytes(), script));
        }
    });
}

/// What is a container is one again when it is written and read.
fn request(body: &[u8]) {
    let Ok(table) = keys(body) else { return };
    let Ok(fragment) = Fragment::new("web", &table) else { return };
    let (state, warnings) = State::parse(fragment.text()).expect("it is written as it is read");
    assert!(warnings.is_empty() && state.text().ends_with(fragment.text()), "{warnings:?}");
}

#[test]
fn any_state() {
    check!(name = "state").with_test_time(BUDGET).for_each(|input: &[u8]| {
        state(&String::from_utf8_lossy(input));
        if let Some((&seed, script)) = input.split_first() {
            let damaged = damage::damaged(FILES[usize::from(seed) % FILES.len()].as_bytes(), script);
            state(&String::from_utf8_lossy(&damaged));
        }
    });
}

fn state(text: &str) {
    let Ok((state, _)) = State::parse(text) else { return };
    let (again, warnings) = State::parse(&state.text()).expect("it is written as it is read");
    assert!(warnings.is_empty() && again.text() == state.text(), "{text:?}: {warnings:?}");
}
