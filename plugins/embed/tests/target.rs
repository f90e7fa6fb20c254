//! What the build does where the guests' target is missing: it asks rustup, and says what to do where that does not help.

#![allow(dead_code, reason = "the test uses its part of the build's module")]

#[path = "../guests.rs"]
mod guests;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program that does what `script` says.
fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("made a program");
    path
}

#[test]
fn a_missing_target_is_asked_of_rustup() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let libdir = here.join("lib");
    let rustc = program(here, "rustc", &format!("echo {}", libdir.display()));
    let adds = program(here, "adds", "echo \"$@\" > asked");
    let refuses = program(here, "refuses", "exit 3");
    let check = |rustup: &OsStr| guests::ensure_target(here, rustc.as_os_str(), rustup);

    assert_eq!(check(adds.as_os_str()), Ok(true));
    assert_eq!(std::fs::read_to_string(here.join("asked")).expect("rustup was asked"), "target add wasm32-wasip2\n");
    for rustup in [refuses.as_os_str(), OsStr::new("/nowhere/rustup")] {
        let error = check(rustup).expect_err("nobody added it");
        assert!(error.contains("run `rustup target add wasm32-wasip2`"), "{error}");
    }
    std::fs::create_dir(&libdir).expect("a folder");
    assert_eq!(check(refuses.as_os_str()), Ok(false), "what is there is not asked for");
}
