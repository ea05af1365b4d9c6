//! What Wireshark's programs make of a capture written here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use portlane_pcap::{LinkType, Writer};

use crate::bytes::len32;

/// An Ethernet frame of a protocol for experiments, with `len` bytes of payload.
fn frame(len: usize) -> Vec<u8> {
    [&[0x02; 12][..], &[0x88, 0xb5], &vec![0xab; len]].concat()
}

/// Writes packets of odd lengths, cut, empty, of two link types, and tells their
/// `frame.number`, `frame.time_epoch`, `frame.cap_len`, `frame.len` and `frame.encap_type`.
fn write_capture(path: &Path) -> String {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    let mut lines = String::new();
    let mut number = 0;
    let mut add = |link, fraction: u32, data: &[u8], original: u32, encapsulation: u32| {
        number += 1;
        let time = 1_700_000_000_000_000_000 + u64::from(fraction);
        writer.write(link, time, data, original).expect("memory");
        lines += &format!("{number}\t1700000000.{fraction:09}\t{}\t{original}\t{encapsulation}\n", data.len());
    };
    for len in 0..9 {
        let data = frame(len);
        add(LinkType::ETHERNET, 123_456_789 + len32(&data), &data, len32(&data), 1);
    }
    add(LinkType::ETHERNET, 5, &frame(50), 9_000, 1);
    add(LinkType::ETHERNET, 6, b"", 0, 1);
    let cooked = [&[0; 14][..], &[0x88, 0xb5]].concat();
    add(LinkType::LINUX_SLL, 999_999_999, &cooked, 16, 25);
    fs::write(path, writer.finish().expect("memory")).expect("writable");
    lines
}

/// What a program prints about a file, or `None` where it is not installed.
fn output_of(program: &str, arguments: &[&str], path: &Path) -> Option<String> {
    let present = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if present.is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI reads what was written with {program}: install it");
        println!("skipped: {program} is not installed");
        return None;
    }
    let output = Command::new(program).args(arguments).arg(path).output().expect("it has just run");
    let complaints = String::from_utf8_lossy(&output.stderr);
    // As root, a note of its own that is not about the file.
    let complaints: Vec<&str> = complaints.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{program}: {complaints:?}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn they_read_it_without_complaint() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("written.pcapng");
    let expected = write_capture(&path);
    let fields = "-T fields -e frame.number -e frame.time_epoch -e frame.cap_len -e frame.len \
                  -e frame.encap_type -r";
    let fields: Vec<&str> = fields.split_whitespace().collect();
    if let Some(lines) = output_of("tshark", &fields, &path) {
        assert_eq!(lines, expected);
    }
    if let Some(summary) = output_of("capinfos", &[], &path) {
        assert!(summary.contains("nanoseconds (9)"), "{summary}");
        assert!(summary.contains("Number of interfaces in file: 2"), "{summary}");
    }
}
