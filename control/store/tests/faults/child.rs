//! Runs `sampan-store-load` and checks what it says against the log that it leaves.

use sampan_env::{Env, Tasks};
use sampan_store::sqlite::{Options, SqliteStore, verify_file};
use sampan_store::{EventKind, Store};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sampan-store-load");

/// A run of the child.
pub struct Load {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    /// What was acknowledged: revision -> (key, beginning of the value).
    pub acknowledged: BTreeMap<u64, (String, String)>,
}

impl Load {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the child starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines, acknowledged: BTreeMap::new() }
    }

    /// The child's next line, by its words, or `None` at its end; acknowledgements are kept.
    pub fn line(&mut self) -> Option<Vec<String>> {
        let line = self.lines.next()?.expect("it writes text");
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if let [ack, revision, key, value] = &words[..]
            && ack == "ack"
        {
            let revision = revision.parse().expect("a revision");
            let before = self.acknowledged.insert(revision, (key.clone(), value.clone()));
            assert_eq!(before, None, "revision {revision} was acknowledged twice");
        }
        Some(words)
    }

    /// Reads lines until one that begins with the word; panics at the end.
    pub fn until(&mut self, word: &str) {
        while self.line().expect("the child says it before it ends")[0] != word {}
    }

    pub fn until_acknowledged(&mut self, count: usize) {
        while self.acknowledged.len() < count {
            self.line().expect("the child writes on");
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it is ours");
    }

    /// Reads to the end and reaps the child.
    pub fn end(&mut self) -> ExitStatus {
        while self.line().is_some() {}
        self.child.wait().expect("it is ours")
    }
}

/// Copies the database as it lies on disk, makes the copy read-only, and verifies that.
pub async fn verify_copy(database: &Path, kept: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        if Path::new(&name(database)).exists() {
            std::fs::copy(name(database), name(&copy)).expect("it can be copied");
            let mut permissions = std::fs::metadata(name(&copy)).expect("it is there").permissions();
            permissions.set_readonly(true);
            std::fs::set_permissions(name(&copy), permissions).expect("it is ours");
        }
    }
    let seen = verify_file(&copy).await.expect("it can be read");
    assert_eq!(seen.problems, [""; 0]);
    assert_eq!((seen.first, seen.absent), (1, 0), "revisions have no gap");
    assert!(seen.last >= kept, "the log ends at {}, and {kept} was acknowledged", seen.last);
}

/// Opens the log and looks for everything that was acknowledged.
pub async fn check_acknowledged(database: &Path, acknowledged: &BTreeMap<u64, (String, String)>) {
    let tasks = Tasks::new("check");
    let store = SqliteStore::open(database, Options::new(Env::system(), &tasks)).await.expect("it opens unaided");
    let current = store.current_revision().await.expect("open");
    let mut puts: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let mut after = 0;
    loop {
        let events = store.history("", after, current, 1_000).await.expect("readable");
        let Some(last) = events.last() else { break };
        after = last.revision();
        for event in events.iter().filter(|event| event.kind == EventKind::Put && event.index == 0) {
            let value = String::from_utf8(event.entry.value.to_vec()).expect("text");
            puts.insert(event.revision(), (event.entry.key.to_string(), value));
        }
    }
    for (revision, (key, value)) in acknowledged {
        let (stored_key, stored_value) = puts.get(revision).unwrap_or_else(|| panic!("lost {key} at {revision}"));
        assert_eq!(stored_key, key, "at {revision}");
        assert!(stored_value.starts_with(&format!("{value}-")), "{key} at {revision} is not what was written");
    }
    store.close().await;
}
