//! Several clusters on one host: each has its own addresses, context and directory.

use sampan_tests::{Sampan, eventually, http_get};
use serde_json::Value;
use std::path::Path;

const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hello.yaml");

fn hello_answers(sampan: &Sampan, kubectl: &[&str]) -> String {
    eventually("a hello pod answers", || {
        let mut what = kubectl.to_vec();
        what.push("pods");
        let pods = sampan.get(&what)?;
        let mut ips = pods["items"].as_array()?.iter().filter_map(|pod| pod["status"]["podIP"].as_str());
        let address = format!("{}:8080", ips.next()?);
        http_get(&address, "/").filter(|(code, body)| *code == 200 && !body.is_empty()).map(|_| address)
    })
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

#[test]
fn two_clusters_of_one_user_answer_beside_each_other_and_each_has_its_context() {
    let home = tempfile::tempdir().expect("a folder");
    let one = Sampan::up_at_home(home.path(), &["-f", HELLO]);
    let two = Sampan::up_at_home(home.path(), &["-f", HELLO, "--name", "two"]);
    // A third has no name, and another directory.
    let data = home.path().join("elsewhere");
    let three = Sampan::up_at_home(home.path(), &["-f", HELLO, "--data-dir", &data.to_string_lossy()]);
    let clusters = [&one, &two, &three];
    assert_eq!(clusters.map(|one| text(&one.ready, "context")), ["sampan", "sampan-two", "sampan-2"]);
    for (at, cluster) in clusters.iter().enumerate() {
        for other in &clusters[..at] {
            for range in ["podCIDR", "serviceCIDR", "server", "dataDir"] {
                assert_ne!(text(&cluster.ready, range), text(&other.ready, range), "{range}");
            }
        }
        assert!(
            text(&cluster.ready, "podCIDR").starts_with("127.") && text(&cluster.ready, "podCIDR").ends_with("/24")
        );
        let context = text(&cluster.ready, "context");
        let address = hello_answers(cluster, &["--context", context]);
        let network = text(&cluster.ready, "podCIDR").trim_end_matches("0/24").to_owned();
        assert!(address.starts_with(&network), "{address} of {network}");
        let service = cluster.get(&["--context", context, "service", "kubernetes"]).expect("the API's own Service");
        let first = text(&cluster.ready, "serviceCIDR").replace(".0/18", ".1");
        assert_eq!(service["spec"]["clusterIP"], first.as_str());
    }
    // The latest is the current context.
    let current = three.kubectl("1.35", &["config", "current-context"]);
    assert_eq!(current.trim(), "sampan-2");
    for cluster in [three, two, one] {
        assert!(cluster.interrupt().success());
    }
    // None leaves a context behind.
    let left = std::fs::read_to_string(home.path().join(".kube/config")).expect("readable");
    assert!(!left.contains("sampan"), "{left}");
}

#[test]
fn a_restart_finds_its_ranges_and_services_keep_their_addresses() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let name = ["--name", "former", "-f", HELLO];
    let ranges = |sampan: &Sampan| ["podCIDR", "serviceCIDR"].map(|range| text(&sampan.ready, range).to_owned());
    let sampan = Sampan::up(folder.path(), &name);
    let before = ranges(&sampan);
    let ip =
        |sampan: &Sampan| sampan.kubectl("1.35", &["get", "svc", "kubernetes", "-o", "jsonpath={.spec.clusterIP}"]);
    let address = ip(&sampan);
    assert!(sampan.interrupt().success());
    let sampan = Sampan::up(folder.path(), &name);
    assert_eq!((ranges(&sampan), ip(&sampan)), (before.clone(), address.clone()));
    // What another cluster's configuration names and this one has is refused.
    let config = other.path().join("config.yaml");
    std::fs::write(&config, format!("serviceCIDR: {}\n", before[1])).expect("written");
    let config = config.to_string_lossy().into_owned();
    let Err(said) = Sampan::try_up(other.path(), &["--config", &config]) else { panic!("the range is taken") };
    assert!(said.contains("serviceCIDR") && said.contains(&before[1]), "{said}");
    // A kill leaves no lock behind; meanwhile another takes the range of Services.
    sampan.kill();
    let taker = Sampan::up(other.path(), &["--config", &config, "--components", "apiserver"]);
    let Err(said) = Sampan::try_up(folder.path(), &name) else { panic!("its Services' range is another's") };
    assert!(said.contains("Services keep their addresses") && said.contains(&before[1]), "{said}");
    assert!(taker.interrupt().success());
    let sampan = Sampan::up(folder.path(), &name);
    assert_eq!((ranges(&sampan), ip(&sampan)), (before.clone(), address.clone()));
    hello_answers(&sampan, &[]);
    assert!(sampan.interrupt().success());
    // A node whose block has gone to another moves, and its pods answer there.
    let third = tempfile::tempdir().expect("a folder");
    let config = third.path().join("config.yaml");
    std::fs::write(&config, "serviceCIDR: 10.197.0.0/18\n").expect("written");
    let config = config.to_string_lossy().into_owned();
    let taker = Sampan::up(third.path(), &["--name", "former", "--components", "apiserver,node", "--config", &config]);
    assert_eq!(ranges(&taker)[0], before[0], "its name begins the search where the other one is");
    let sampan = Sampan::up(folder.path(), &name);
    assert_ne!(ranges(&sampan)[0], before[0]);
    assert_eq!(ip(&sampan), address);
    hello_answers(&sampan, &[]);
}

#[test]
fn files_are_their_owners_alone_whatever_was_there_before() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let open = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("opened");
    };
    // A directory that is open to all, with links where an earlier version put its temporary files.
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "untouched").expect("written");
    for path in ["", "pki", "blobs", "blobs/sha256", "cache", "node", "node/ledger"] {
        std::fs::create_dir_all(data.join(path)).expect("made");
        open(&data.join(path), 0o755);
    }
    for path in [".probe", "pki/ca.key.new", "pki/admin.key.new", "blobs/index.new", "node/ledger/x.new"] {
        symlink(&victim, data.join(path)).expect("a link");
    }
    for path in [folder.path().join("kubeconfig"), folder.path().join("kubeconfig.new")] {
        std::fs::write(&path, "").expect("written");
        open(&path, 0o644);
    }
    symlink(&victim, folder.path().join("kubeconfig.lock")).expect("a link");
    let sampan = Sampan::up(folder.path(), &["-f", HELLO]);
    let component = folder.path().join("component.wasm");
    std::fs::write(&component, b"\0asm\x0d\0\x01\0").expect("written");
    let import = sampan_tests::command(folder.path())
        .args(["image", "import", &component.to_string_lossy(), "team/app:v1", "--data-dir"])
        .arg(&data)
        .output()
        .expect("it starts");
    assert!(import.status.success(), "{import:?}");
    hello_answers(&sampan, &[]);
    assert_eq!(std::fs::read(&victim).expect("readable"), b"untouched");
    let mut files = vec![folder.path().join("kubeconfig")];
    let mut folders = vec![data.clone()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(&inner).expect("a folder") {
            let path = entry.expect("an entry").path();
            let found = path.symlink_metadata().expect("there");
            if found.is_dir() {
                folders.push(path);
            } else if found.is_file() {
                files.push(path);
            }
        }
    }
    assert!(files.len() >= 12, "{files:?}");
    for path in &files {
        // Certificates are for everybody.
        let public = path.extension().is_some_and(|end| end == "crt");
        let mode = path.metadata().expect("there").permissions().mode() & 0o777;
        assert!(public || mode & 0o077 == 0, "{} has mode {mode:o}", path.display());
    }
    assert!(sampan.interrupt().success());
}
