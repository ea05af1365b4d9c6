//! The rooms and who may enter which: dependencies point one way, and unsafe code stays in `rings` and `hint`.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;

/// Each package of the workspace, and the others that it may use.
const MAY_USE: [(&str, &[&str]); 14] = [
    (
        "portlane",
        &[
            "portlane-classify",
            "portlane-floor",
            "portlane-flows",
            "portlane-meters",
            "portlane-netstat",
            "portlane-pcap",
            "portlane-rings",
            "portlane-shaper",
            "portlane-stats",
        ],
    ),
    ("portlane-classify", &[]),
    ("portlane-floor", &[]),
    ("portlane-flows", &["portlane-classify", "portlane-hint"]),
    ("portlane-fuzz", &[]),
    ("portlane-hint", &[]),
    (
        "portlane-instructions",
        &[
            "portlane",
            "portlane-classify",
            "portlane-flows",
            "portlane-meters",
            "portlane-pcap",
            "portlane-rings",
            "portlane-shaper",
            "portlane-stats",
        ],
    ),
    ("portlane-meters", &[]),
    ("portlane-netstat", &["portlane-classify"]),
    ("portlane-pcap", &["portlane-rings"]),
    ("portlane-peers", &["portlane-rings"]),
    ("portlane-rings", &["portlane-hint"]),
    ("portlane-shaper", &["portlane-hint", "portlane-stats"]),
    ("portlane-stats", &["portlane-hint"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What cargo prints, without a network.
fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = command.current_dir(root()).args(arguments).arg("--offline").output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints text")
}

/// What `cargo metadata` says of the packages of the workspace.
fn packages() -> Vec<Value> {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&text).expect("metadata is JSON");
    metadata["packages"].as_array().expect("there are packages").clone()
}

/// The workspace's own packages that a package depends on; what only its tests use is left out.
fn used(package: &Value) -> BTreeSet<&str> {
    let dependencies = package["dependencies"].as_array().expect("there is a list").iter();
    let used = dependencies.filter(|dependency| dependency["kind"] != "dev" && !dependency["path"].is_null());
    used.map(|dependency| dependency["name"].as_str().expect("a name is text")).collect()
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let uses: BTreeMap<_, _> =
        packages.iter().map(|package| (package["name"].as_str().unwrap(), used(package))).collect();
    let may_use = MAY_USE.map(|(name, others)| (name, others.iter().copied().collect()));
    assert_eq!(uses, BTreeMap::from(may_use));
}

/// Names of all that `portlane` is built from, with these features.
fn built_from(features: &[&str]) -> BTreeSet<String> {
    let tree = ["tree", "--package", "portlane", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let lines = cargo(&[&tree[..], features].concat());
    lines.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// Whether a package compiles C, or looks for a library that is C.
fn needs_c(name: &str) -> bool {
    // Numbers and structures of kernels, in Rust alone.
    let pure = ["linux-raw-sys", "windows-sys"];
    let tools = ["bindgen", "cc", "cmake", "pkg-config", "vcpkg"];
    tools.contains(&name) || name.ends_with("-sys") && !pure.contains(&name)
}

#[test]
fn replay_is_built_without_c() {
    let without = built_from(&["--no-default-features"]);
    assert!(without.contains("portlane-pcap"), "{without:?}");
    let c: Vec<_> = without.iter().filter(|name| needs_c(name)).collect();
    assert!(c.is_empty(), "{c:?}");
    assert!(built_from(&[]).iter().any(|name| needs_c(name)), "C would be found");
}

#[test]
fn every_room_but_two_forbids_unsafe_code() {
    // The fuzz targets are tests alone: nothing is built from them that could be used.
    let exempt = ["portlane-rings", "portlane-hint", "portlane-fuzz"];
    for package in packages().iter().filter(|package| !exempt.contains(&package["name"].as_str().unwrap())) {
        let mut targets = package["targets"].as_array().unwrap().iter();
        // A package that is no library is a program.
        let kinds = ["lib", "bin"].map(|kind| serde_json::json!([kind]));
        let target = targets.find(|target| kinds.contains(&target["kind"])).unwrap();
        let path = target["src_path"].as_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert!(text.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{path}");
    }
}

#[test]
fn the_word_unsafe_occurs_in_two_rooms_alone() {
    let sources = sources(root());
    assert!(sources.len() > 50, "the sources were found");
    let with_unsafe: Vec<_> = sources.iter().filter(|path| says_unsafe(path)).collect();
    let rooms = ["rings", "hint"].map(|room| root().join(room));
    let elsewhere: Vec<_> =
        with_unsafe.iter().filter(|path| !rooms.iter().any(|room| path.starts_with(room))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(!with_unsafe.is_empty(), "the word would be found");
}

/// All Rust files below a folder, but those that a build made.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// Whether the keyword occurs; comments and texts do not count.
fn says_unsafe(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap();
    let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    contains_unsafe(tokens)
}

fn contains_unsafe(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => contains_unsafe(group.stream()),
        TokenTree::Ident(word) => word == "unsafe",
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}
