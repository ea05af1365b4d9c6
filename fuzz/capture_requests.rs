//! What a capture is asked for with.

use bolero::check;
use portlane::capture::Request;

use crate::{BUDGET, damage};

const SEEDS: [&str; 3] = [
    "{\"seconds\": 10, \"container\": \"web\", \"drops\": true, \"snap\": 96, \"count\": 1000, \"buffer\": 16777216}",
    "{\"seconds\": 3600, \"container\": \"unmatched\", \"count\": null, \"buffer\": 268435456}",
    "{\"seconds\": 1, \"container\": \"a\\u0000b\\n\\\"\", \"snap\": 4294967295, \"count\": 18446744073709551615}",
];

#[test]
fn any_request_for_a_capture() {
    check!(name = "capture_requests").with_test_time(BUDGET).for_each(|input: &[u8]| {
        examine(input);
        if let Some((&seed, script)) = input.split_first() {
            examine(&damage::damaged(SEEDS[usize::from(seed) % SEEDS.len()].as_bytes(), script));
        }
    });
}

/// What is accepted takes no more time and memory than a capture may, and is written as it is read.
fn examine(body: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(body) else { return };
    match request.problem() {
        Some(why) => assert!(why.starts_with("seconds: ") || why.starts_with("buffer: "), "{why}"),
        None => {
            assert!((1..=Request::MAX_SECONDS).contains(&request.seconds), "{request:?}");
            assert!(request.buffer <= Request::MAX_BUFFER, "{request:?}");
        }
    }
    let written = serde_json::to_vec(&request).expect("it has no keys but names");
    assert_eq!(serde_json::from_slice::<Request>(&written).expect("it is written as it is read"), request);
}
