//! Servers of others that the API server asks, over real HTTP: conversion webhooks and aggregated servers that keep silent, lie,
//! break off, send others elsewhere, never end or go away. What a client is told is what a kube-apiserver v1.35.0 told it.

mod aggregation;
mod conversion;
mod server;

use sampan_tests::Sampan;
use sampan_tests::measure::resident_kib;

/// Memory that a body without an end may cost while it is read, KiB.
const ENDLESS_KIB_MAX: u64 = 64 * 1024;
/// Bytes that are taken of bodies without an end in one test: some of each, in buffers too.
const ENDLESS_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// An API server of its own and its controllers.
fn up() -> (tempfile::TempDir, Sampan) {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver,controllers"]);
    (folder, sampan)
}

fn resident(sampan: &Sampan) -> u64 {
    resident_kib(sampan.pid()).expect("it runs")
}
