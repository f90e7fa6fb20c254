//! A client-go informer with default options (protobuf, lists by watch), the Python client and, with SAMPAN_TIER=nightly, the
//! JavaScript client, through a restart of the server: every write is seen, each once.

use sampan_api::k8s::api::core::v1::ConfigMap;
use sampan_client::{Client, DeleteParams, Kubeconfig, Patch};
use sampan_env::{Env, Tasks};
use sampan_tests::program::Program;
use sampan_tests::{Sampan, eventually, is_nightly, root, tool};
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

#[test]
fn a_client_go_informer_misses_and_doubles_nothing() {
    through_a_restart(|sampan| {
        let mut command = Command::new(tool("informer"));
        command.arg(&sampan.kubeconfig).arg("default");
        command
    });
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
