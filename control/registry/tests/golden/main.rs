//! The registry against recorded exchanges of a real server: the same writes, in the same order, and each one's field
//! errors, all of them, in order, with their words; and the cells of tables.

mod answers;
mod replay;

use replay::{Replay, cases};
use sampan_api::object::Object;
use sampan_testing::reference::Comparison;
use serde_json::Value;
use std::time::SystemTime;

/// The files of recordings, and the writes in each that are compared.
const FILES: [&str; 6] = ["validation", "updates", "defaulting", "patches", "misc", "reads"];
const WRITES: usize = 690;
/// Cells of recorded tables that the recording did not make anonymous.
const CELLS: usize = 189;

#[tokio::test]
async fn errors_are_those_of_the_real_server() {
    let mut comparison = Comparison::of_list("errors of writes", include_str!("known.tsv"));
    for file in FILES {
        let Some(cases) = cases(file) else { return };
        for case in cases {
            let mut replay = Replay::new().await;
            for step in case["steps"].as_array().into_iter().flatten() {
                if let Some(differences) = replay.step(step).await {
                    comparison.case(&format!("{file}/{}", case["id"].as_str().unwrap_or_default()), differences);
                }
            }
        }
    }
    comparison.finish(WRITES);
}

/// A cell that the recording made anonymous.
fn anonymous(cell: &Value) -> bool {
    cell.as_str()
        .is_some_and(|text| ["<age>", "<time>", "<clusterIPv4>", "<nodePort>"].iter().any(|mark| text.contains(mark)))
}

#[tokio::test]
async fn cells_are_those_of_the_real_server() {
    let Some(cases) = cases("reads") else { return };
    let mut comparison = Comparison::of_list("cells", include_str!("known-cells.tsv"));
    for case in cases {
        let id = case["id"].as_str().unwrap_or_default();
        let mut replay = Replay::new().await;
        for step in case["steps"].as_array().into_iter().flatten() {
            // Keeps the objects as they came back.
            drop(replay.step(step).await);
            let table = &step["response"]["body"];
            let Some(target) = step["path"].as_str().and_then(|path| replay.target(path)) else { continue };
            if table["kind"] != "Table" || step["method"] != "GET" {
                continue;
            }
            let columns = target.row.columns.as_ref().expect("a stored kind has columns");
            for row in table["rows"].as_array().into_iter().flatten() {
                let name = row["cells"][0].as_str().unwrap_or("").trim_end_matches(" (default)");
                let path = if target.name.is_empty() { format!("{}{name}", target.path) } else { target.path.clone() };
                let Some(object) = replay.recorded(&path) else { continue };
                let object = Object::from_value(replay::realistic(object)).expect("an object");
                let cells = (columns.cells)(&object, SystemTime::UNIX_EPOCH);
                let part = columns.reads.read(&serde_json::to_vec(&object).expect("JSON")).expect("JSON");
                let part = Object::from_value(part).expect("an object");
                assert_eq!((columns.cells)(&part, SystemTime::UNIX_EPOCH), cells, "{id}: {:?}", columns.reads);
                let wanted = replay::realistic(&row["cells"]);
                for (index, want) in wanted.as_array().into_iter().flatten().enumerate() {
                    if !anonymous(&row["cells"][index]) {
                        comparison.equal(&format!("{id} {}", columns.definitions[index].name), &cells[index], want);
                    }
                }
                let conditions = columns.conditions.map(|conditions| conditions(&object)).unwrap_or_default();
                let wanted = row["conditions"].as_array().cloned().unwrap_or_default();
                comparison.equal(&format!("{id} conditions"), &conditions, &wanted);
            }
        }
    }
    comparison.finish(CELLS);
}
