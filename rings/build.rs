//! Compiles the steering program, which the kernel runs, with clang.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "bpf/steer.bpf.c";

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    if env::var_os("CARGO_FEATURE_AF_XDP").is_none() {
        return;
    }
    let folder = env::var_os("OUT_DIR").expect("cargo names a folder for what is built");
    let object = PathBuf::from(folder).join("steer.bpf.o");
    let machine = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo names the machine");
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let mut command = Command::new(&clang);
    // The third version of the instructions: every kernel that has the helpers knows them.
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]);
    // Where Debian keeps the part of the kernel's headers that is the machine's.
    command.arg("-idirafter").arg(format!("/usr/include/{machine}-linux-gnu"));
    command.args(["-c", SOURCE, "-o"]).arg(object);
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{SOURCE}: {} ended with {status}", clang.display()),
        Err(error) => panic!("{}: {error}: install clang, or name it in CLANG", clang.display()),
    }
}
