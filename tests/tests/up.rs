//! `sampan up`: bad input is refused with a clear message and nothing changed; what was there is there again.

use sampan_tests::{Sampan, command, eventually, http_get};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hello.yaml");

fn refused(folder: &std::path::Path, arguments: &[&str], parts: &[&str]) {
    let Err(said) = Sampan::try_up(folder, arguments) else { panic!("{arguments:?} should be refused") };
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

#[test]
fn a_taken_port_an_unusable_directory_and_a_second_up_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    refused(folder.path(), &["--port", &port], &["cannot listen on", "--port"]);
    assert!(!folder.path().join("data").exists(), "nothing was made");

    std::fs::write(folder.path().join("data"), "a file").expect("written");
    refused(folder.path(), &[], &["data directory", "--data-dir"]);
    std::fs::remove_file(folder.path().join("data")).expect("removed");

    refused(folder.path(), &["-f", "/no/such/file.yaml"], &["/no/such/file.yaml"]);
    refused(folder.path(), &["--components", "apiserver,etcd"], &["etcd"]);

    let first = Sampan::up(folder.path(), &["--components", "apiserver"]);
    let second = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(folder.path().join("data"), second.path().join("data")).expect("a link");
    refused(second.path(), &["--components", "apiserver"], &["another sampan is using"]);
    // Another port would not help.
    let both = ["--components", "apiserver", "--port", &port];
    refused(second.path(), &both, &["another sampan is using"]);
    assert!(first.interrupt().success());
}

#[test]
fn a_damaged_database_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(Sampan::up(folder.path(), &["--components", "apiserver"]).interrupt().success());
    std::fs::write(folder.path().join("data/sampan.db"), vec![7; 8192]).expect("written");
    refused(folder.path(), &["--components", "apiserver"], &["sampan.db"]);
}

#[test]
fn what_is_secret_is_its_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // A folder that somebody made, open to all, with a database that was.
    assert!(Sampan::up(folder.path(), &["--components", "apiserver"]).interrupt().success());
    for (path, mode) in [(data.clone(), 0o755), (data.join("sampan.db"), 0o644)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("opened");
    }
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    let files = ["sampan.db", "sampan.db-wal", "pki/ca.key", "pki/admin.key", "pki/sa.key"].map(|file| data.join(file));
    for file in files.iter().chain([&sampan.kubeconfig]) {
        let mode =
            std::fs::metadata(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.display());
    }
}

#[test]
fn what_does_not_become_ready_is_told_and_can_be_looked_into() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("lost.yaml");
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: lost}\nspec:\n  progressDeadlineSeconds: 1\n  \
                      selector: {matchLabels: {app: lost}}\n  template:\n    metadata: {labels: {app: lost}}\n    spec: \
                      {containers: [{name: c, image: \"sampan/nowhere:v1\"}]}\n";
    std::fs::write(&manifest, deployment).expect("written");
    let (sampan, said) = Sampan::up_unready(folder.path(), &["-f", &manifest.to_string_lossy()]);
    assert!(said["why"].to_string().contains("has timed out progressing"), "{said}");
    let described = sampan.kubectl("1.35", &["describe", "pods"]);
    assert!(described.contains("ErrImagePull"), "{described}");
    assert!(!sampan.interrupt().success(), "not all was well");
}

#[test]
fn hello_answers_and_a_restart_finds_everything_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["-f", HELLO]);
    let address = |sampan: &Sampan| {
        let pods = sampan.get(&["pods"])?;
        let ip = pods["items"].as_array()?.iter().find_map(|pod| pod["status"]["podIP"].as_str().map(str::to_owned))?;
        Some(format!("{ip}:8080"))
    };
    let answer = |sampan: &Sampan| {
        eventually("a hello pod answers", || {
            http_get(&address(sampan)?, "/").filter(|(code, body)| *code == 200 && !body.is_empty())
        })
    };
    answer(&sampan);
    let before = sampan.kubectl("1.35", &["get", "deployments", "-o", "jsonpath={.items[*].metadata.uid}"]);
    assert!(sampan.interrupt().success());

    // And after a kill -9 as well.
    for gentle in [false, true] {
        let sampan = Sampan::up(folder.path(), &[]);
        assert_eq!(sampan.kubectl("1.35", &["get", "deployments", "-o", "jsonpath={.items[*].metadata.uid}"]), before);
        answer(&sampan);
        if gentle {
            assert!(sampan.interrupt().success());
        } else {
            sampan.kill();
        }
    }
}

/// As many as are told one by one, of each sort of line.
const SHOWN_MAX: usize = 10;

#[test]
fn of_many_pods_numbers_are_told_and_not_each() {
    let home = tempfile::tempdir().expect("a folder");
    let pod = |n: usize| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: pod-{n}}}\nspec: {{terminationGracePeriodSeconds: 0, \
             containers: [{{name: c, image: \"sampan/worker:v1\"}}]}}\n"
        )
    };
    let file = home.path().join("pods.yaml");
    std::fs::write(&file, (0..60).map(pod).collect::<String>()).expect("written");
    let log = home.path().join("log");
    let mut up = command(home.path());
    up.args(["up", "--port", "0", "-f"]).arg(&file).stdin(Stdio::null());
    up.stdout(Stdio::piped()).stderr(std::fs::File::create(&log).expect("a log"));
    let mut up = up.spawn().expect("it starts");
    let lines = BufReader::new(up.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut shown = Vec::new();
    for line in lines {
        let last = line.contains("Ctrl-C ends it");
        shown.push(line);
        if last {
            break;
        }
    }
    up.kill().expect("it runs");
    up.wait().expect("it ends");
    let told = std::fs::read_to_string(&log).expect("what it told");
    for part in ["applied in all: 60 pod created", "60 of 60 objects ready"] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    let count = |lines: &[String], part: &str| lines.iter().filter(|line| line.contains(part)).count();
    let told: Vec<String> = told.lines().map(str::to_owned).collect();
    // The number of a pod, and what is told of it. Of one that is waited for that is each change of what is missing.
    let of_pods = || told.iter().filter_map(|line| line.split_once("pod pod-")?.1.split_once(' '));
    let waited: BTreeSet<&str> = of_pods().filter_map(|(number, _)| number.strip_suffix(':')).collect();
    assert!(waited.len() <= SHOWN_MAX, "{told:#?}");
    for message in ["created", "ready"] {
        assert_eq!(of_pods().filter(|(_, said)| *said == message).count(), SHOWN_MAX, "{message}: {told:#?}");
    }
    assert_eq!(count(&shown, "/pod-"), SHOWN_MAX, "{shown:#?}");
    assert!(count(&shown, "50 more") == 1, "{shown:#?}");
}
