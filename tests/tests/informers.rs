//! client-go's informers with default options (lists by watch) of typed objects in protobuf, of unstructured ones and of metadata,
//! the Python client and, with SAMPAN_TIER=nightly, the JavaScript client, through a restart of the server: every write is seen,
//! each once. And client-go's leader election: there is one leader at a time, and another one after it.

use sampan_api::k8s::api::core::v1::ConfigMap;
use sampan_client::{Client, DeleteParams, Kubeconfig, Patch};
use sampan_env::{Env, Tasks};
use sampan_tests::program::Program;
use sampan_tests::{Sampan, check_all, eventually, is_nightly, root, tool};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const MAPS: usize = 20;

/// What a client has seen of the test's own objects: `(kind, name, resourceVersion)`.
fn events(client: &Program) -> Vec<(String, String, String)> {
    let lines = client.lines();
    let parts = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
    let own = parts.filter(|parts| parts.len() == 3 && parts[1].starts_with("map-"));
    own.map(|parts| (parts[0].to_owned(), parts[1].to_owned(), parts[2].to_owned())).collect()
}

/// Name -> the revisions that its writes got.
type Written = BTreeMap<String, Vec<String>>;

async fn write(client: &Client, round: usize, written: &mut Written) {
    let maps = client.namespaced::<ConfigMap>("default");
    for i in 0..MAPS {
        let name = format!("map-{i}");
        let data = json!({"metadata": {"name": name}, "data": {"round": round.to_string()}});
        let made = if round == 0 {
            maps.create(&serde_json::from_value(data).expect("a ConfigMap")).await
        } else {
            maps.patch(&name, &Patch::Merge(data)).await
        };
        let version = made.expect("the write").metadata.resource_version.expect("a revision");
        written.entry(name).or_default().push(version);
    }
}

fn connect(sampan: &Sampan) -> Client {
    let config = Kubeconfig::load_file(&sampan.kubeconfig).expect("a kubeconfig");
    let remote = config.remote_config(None).expect("a context");
    Client::remote(remote, "sampan-tests", &Env::system(), &Tasks::new("tests")).expect("a client")
}

fn through_a_restart(client_program: impl Fn(&Sampan) -> Command) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    let port = sampan.port().to_owned();
    let watcher = Program::start(client_program(&sampan));
    eventually("the client has synced", || watcher.lines().iter().any(|line| line.starts_with("SYNCED")).then_some(()));
    let mut written = Written::new();
    runtime.block_on(async {
        let client = connect(&sampan);
        write(&client, 0, &mut written).await;
        write(&client, 1, &mut written).await;
    });
    sampan.kill();
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver", "--port", &port]);
    runtime.block_on(async {
        let client = connect(&sampan);
        // Writes that the client hears of only once it has found the server again.
        write(&client, 2, &mut written).await;
        for i in 0..MAPS {
            let maps = client.namespaced::<ConfigMap>("default");
            maps.delete(&format!("map-{i}"), &DeleteParams::default()).await.expect("the deletion");
        }
    });
    let gone = |watcher: &Program| events(watcher).iter().filter(|(kind, _, _)| kind == "DELETED").count();
    eventually("the client has seen every deletion", || (gone(&watcher) >= MAPS).then_some(()));
    let events = events(&watcher);
    let distinct: BTreeSet<_> = events.iter().collect();
    assert_eq!(distinct.len(), events.len(), "an event came twice: {events:?}");
    for (name, versions) in &written {
        let of_name = |wanted: &[&str]| -> Vec<String> {
            let mine = events.iter().filter(|(kind, of, _)| of == name && wanted.contains(&kind.as_str()));
            mine.map(|(_, _, version)| version.clone()).collect()
        };
        assert_eq!(&of_name(&["ADDED", "MODIFIED"]), versions, "{name}");
        assert_eq!(of_name(&["DELETED"]).len(), 1, "{name}");
    }
}

/// The client-go program of the tests, in one of its modes.
fn client_go(sampan: &Sampan, mode: &str) -> Command {
    let mut command = Command::new(tool("informer"));
    command.arg(&sampan.kubeconfig).args(["default", mode]);
    command
}

#[test]
fn client_go_informers_miss_and_double_nothing() {
    check_all(["typed", "dynamic", "metadata"].map(|mode| (mode, move || through_a_restart(|it| client_go(it, mode)))));
}

#[test]
fn client_go_elects_one_leader_and_another_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    let says = |program: &Program, word: &str| program.lines().iter().any(|line| line.starts_with(word));
    let waits = |program: &Program, word: &str| eventually(word, || says(program, word).then_some(()));
    // Who has stopped leads no more: its program ends.
    let leads = |program: &Program| says(program, "LEADING") && !says(program, "STOPPED");
    let candidate = || Program::start(client_go(&sampan, "leader"));
    let first = candidate();
    waits(&first, "LEADING");
    let (second, third) = (candidate(), candidate());
    // Who knows the leader has asked for the lease in vain.
    waits(&second, "LEADER");
    waits(&third, "LEADER");
    let leaders = [&second, &third, &first].into_iter().filter(|one| leads(one)).count();
    assert!(leaders <= 1, "there is one at a time");
    // One that is told to end gives the lease back; one that is killed holds it until it has run out.
    first.terminate();
    waits(&first, "STOPPED");
    eventually("a second leader", || (leads(&second) || leads(&third)).then_some(()));
    assert!(!(leads(&second) && leads(&third)), "there is one at a time");
    let (leader, other) = if leads(&second) { (second, third) } else { (third, second) };
    drop(leader);
    waits(&other, "LEADING");
    let lease = sampan.get(&["lease", "election"]).expect("the lease");
    let other = other.lines()[0].replace("CANDIDATE ", "");
    assert_eq!(lease["spec"]["holderIdentity"], other.as_str());
    assert!(lease["spec"]["leaseTransitions"].as_u64() >= Some(2), "{lease}");
}

#[test]
fn the_python_client_misses_and_doubles_nothing() {
    through_a_restart(|sampan| {
        let mut command = Command::new(tool("python/bin/python"));
        command.arg(root().join("tests/clients/python/watch.py")).arg(&sampan.kubeconfig).arg("default");
        command
    });
}

#[test]
fn the_javascript_client_misses_and_doubles_nothing() {
    if !is_nightly() {
        return;
    }
    through_a_restart(|sampan| {
        let mut command = Command::new("node");
        command.arg(root().join("tests/clients/javascript/watch.mjs")).arg(tool("javascript/node_modules"));
        command.arg(&sampan.kubeconfig).arg("default");
        command
    });
}
