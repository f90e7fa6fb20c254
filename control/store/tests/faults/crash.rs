//! kill -9 under sixteen writers: nothing acknowledged is lost, revisions have no gap.

use crate::child::{Load, PROGRAM, check_acknowledged, verify_copy};
use std::collections::BTreeMap;
use std::process::Command;

/// How often the writers are killed.
fn kills() -> usize {
    if std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly") { 50 } else { 5 }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("sampan.db");
    let mut acknowledged = BTreeMap::new();
    for round in 0..kills() {
        let mut load = Load::start(Command::new(PROGRAM).arg(&database).args(["16", "1000000", "700"]));
        // Now early, now in the middle of checkpoints.
        load.until_acknowledged(200 + 977 * (round % 5));
        load.kill();
        load.end();
        acknowledged.append(&mut load.acknowledged);
        let last = acknowledged.last_key_value().map_or(0, |(revision, _)| *revision);
        verify_copy(&database, last).await;
        check_acknowledged(&database, &acknowledged).await;
        verify_copy(&database, last).await;
    }
    println!("{} kills, {} acknowledged transactions, none lost", kills(), acknowledged.len());
}
