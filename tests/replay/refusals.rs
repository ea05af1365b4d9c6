//! What is refused before anything is touched: exit code 2, one line, and every file as it was.

use std::fs;

use crate::packets::{Packet, payload, to_host, udp};
use crate::scene::{Scene, THREE};
use crate::traffic::START;

fn one_packet() -> Vec<Packet> {
    vec![Packet::ethernet(START, udp(to_host(32_000), &payload(100, 1)))]
}

/// A pcap file header: microseconds, little-endian, version 2.4, snap length 65,535.
fn pcap_header(link_type: u32) -> Vec<u8> {
    let words = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link_type];
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

#[test]
fn unusable_captures() {
    let cases = [
        (Vec::new(), "error: in.pcapng: not a capture: the input is empty\n"),
        (b"#!/bin/sh\n".to_vec(), "error: in.pcapng: not a capture: neither pcap nor pcapng magic at the start\n"),
        (b"\xa1\xb2".to_vec(), "error: in.pcapng: not a capture: neither pcap nor pcapng magic at the start\n"),
        (
            pcap_header(105),
            "error: in.pcapng: link type IEEE802_11 (105) from packet 1 on (byte 24) is not supported; supported are \
             ETHERNET (1), RAW (101), LINUX_SLL (113), IPV4 (228), IPV6 (229), LINUX_SLL2 (276)\n",
        ),
        (
            pcap_header(1)[..20].to_vec(),
            "error: in.pcapng: packet 1 (byte 0): the capture ends inside the pcap file header that starts here: \
             20 of 24 bytes\n",
        ),
    ];
    for (capture, message) in cases {
        let scene = Scene::with_capture(THREE, &capture);
        let ending = scene.end(&[]);
        assert_eq!((ending.code, ending.stdout.as_str(), ending.stderr.as_str()), (Some(2), "", message));
        assert_eq!(scene.files(), ["config.toml", "in.pcapng"]);
    }
}

#[test]
fn missing_files_and_folders() {
    let scene = Scene::new(THREE, &one_packet());
    let cases = [
        (["absent", "--config", "config.toml"], "error: absent: cannot be read: No such file or directory"),
        ([".", "--config", "config.toml"], "error: .: cannot be read: Is a directory"),
        (["in.pcapng", "--config", "absent"], "error: absent cannot be read: No such file or directory"),
    ];
    for (arguments, message) in cases {
        let ending = scene.run(&[&arguments[..], &["--write", "out.pcapng", "--stats", "out.json"]].concat());
        assert_eq!((ending.code, ending.stdout.as_str()), (Some(2), ""));
        assert!(ending.stderr.starts_with(message) && ending.stderr.lines().count() == 1, "{}", ending.stderr);
        assert_eq!(scene.files(), ["config.toml", "in.pcapng"]);
    }
}

/// Also by another name of the same file.
#[test]
fn an_output_that_is_an_input() {
    let scene = Scene::new(THREE, &one_packet());
    fs::hard_link(scene.path("in.pcapng"), scene.path("linked")).unwrap();
    std::os::unix::fs::symlink(scene.path("config.toml"), scene.path("pointed")).unwrap();
    let before = (scene.bytes("in.pcapng"), scene.bytes("config.toml"), scene.files());
    for (option, output, input) in [
        ("--write", "in.pcapng", "in.pcapng"),
        ("--write", "./in.pcapng", "in.pcapng"),
        ("--write", "linked", "in.pcapng"),
        ("--stats", "in.pcapng", "in.pcapng"),
        ("--stats", "pointed", "config.toml"),
    ] {
        let other = if option == "--write" { ["--stats", "new.json"] } else { ["--write", "new.pcapng"] };
        let fixed = ["in.pcapng", "--config", "config.toml", option, output];
        let ending = scene.run(&[&fixed[..], &other].concat());
        let message = format!("error: {output} would overwrite the input {input}: write to another file\n");
        assert_eq!((ending.code, ending.stderr), (Some(2), message));
        assert_eq!((scene.bytes("in.pcapng"), scene.bytes("config.toml"), scene.files()), before);
    }
}

#[test]
fn two_outputs_that_are_one_file() {
    let scene = Scene::new(THREE, &one_packet());
    let ending = scene.run(&["in.pcapng", "--config", "config.toml", "--write", "out", "--stats", "./out"]);
    assert_eq!(ending.code, Some(2));
    assert_eq!(ending.stderr, "error: ./out and out are the same file: give each output its own\n");
    assert_eq!(scene.files(), ["config.toml", "in.pcapng"]);
}

#[test]
fn outputs_that_cannot_be_made() {
    let scene = Scene::new(THREE, &one_packet());
    fs::write(scene.path("old.pcapng"), "kept").unwrap();
    for (write, stats, message) in [
        ("absent/out.pcapng", "new.json", "error: absent/out.pcapng cannot be written: No such file or directory"),
        ("new.pcapng", "absent/out.json", "error: absent/out.json cannot be written: No such file or directory"),
        ("old.pcapng", "absent/out.json", "error: absent/out.json cannot be written: No such file or directory"),
        ("old.pcapng", ".", "error: . cannot be written: Is a directory"),
    ] {
        let ending = scene.run(&["in.pcapng", "--config", "config.toml", "--write", write, "--stats", stats]);
        assert_eq!(ending.code, Some(2));
        assert!(ending.stderr.starts_with(message) && ending.stderr.lines().count() == 1, "{}", ending.stderr);
        assert_eq!(scene.files(), ["config.toml", "in.pcapng", "old.pcapng"]);
        assert_eq!(scene.bytes("old.pcapng"), b"kept", "no output is emptied before all can be written");
    }
}

#[test]
fn memory_that_is_not_to_be_had() {
    let config = "[[container]]\nid = \"web\"\nports = [\"80\"]\nqueue = { limit = 1_000_000 }\n";
    let scene = Scene::new(config, &one_packet());
    fs::write(scene.path("out.pcapng"), "kept").unwrap();
    let ending = scene.end_within(500_000);
    let message = "error: 1108 MB of memory for 524415 packets: Cannot allocate memory (os error 12): \
                   allow more (ulimit -v), or lower the limits of queues\n";
    assert_eq!((ending.code, ending.stderr.as_str()), (Some(2), message));
    assert_eq!((scene.files().len(), scene.bytes("out.pcapng").as_slice()), (3, &b"kept"[..]));
}

#[test]
fn a_bad_configuration() {
    let scene = Scene::new("[[container]]\nid = \"web\"\nports = [\"0\"]\n", &one_packet());
    let ending = scene.end(&[]);
    assert_eq!(ending.code, Some(2));
    assert!(
        ending.stderr.starts_with("error: port 0 cannot be owned: ports go from 1 to 65535\n"),
        "{}",
        ending.stderr
    );
    assert_eq!(scene.files(), ["config.toml", "in.pcapng"]);
}

#[test]
fn bad_arguments() {
    let scene = Scene::new(THREE, &one_packet());
    for (arguments, says) in [
        (&["in.pcapng"][..], "--config <FILE>"),
        (&["--config", "config.toml"], "<IN>"),
        (
            &["in.pcapng", "--config", "config.toml", "--format", "yaml"],
            "expected one of text, json, tc, tc-json, mesos",
        ),
        (&["in.pcapng", "--config", "config.toml", "--direction", "up"], "ingress, egress, auto"),
    ] {
        let ending = scene.run(arguments);
        assert_eq!(ending.code, Some(2));
        assert!(ending.stderr.starts_with("error: ") && ending.stderr.contains(says), "{}", ending.stderr);
        assert_eq!(ending.stdout, "");
    }
}
