//! The commands of the binary, against a cluster of their own: what they print, what they refuse, and what they say is to be
//! done next.

use sampan_tests::transcript::Transcript;
use sampan_tests::{PATIENCE, Sampan, check_all, command, eventually, now, root};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hello.yaml");

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

fn manifest(sampan: &Sampan, name: &str, text: &str) -> PathBuf {
    let path = sampan.folder.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn config_map(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {data}\n")
}

/// A ConfigMap with that data, by `sampan apply -f -`. Returns the revision of it.
fn put(sampan: &Sampan, namespace: &str, name: &str, data: &str) -> u64 {
    let mut child = sampan.command(&["apply", "-n", namespace, "-f", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(config_map(name, data).as_bytes()).expect("it reads");
    assert!(child.wait_with_output().expect("it ends").status.success());
    let (text, _) =
        sampan.sampan(&["get", "-n", namespace, "configmap", name, "-o", "jsonpath={.metadata.resourceVersion}"]);
    text.parse().expect("a revision")
}

fn data(sampan: &Sampan, arguments: &[&str]) -> String {
    sampan.sampan(&[&["get", "configmap", "-o", "jsonpath={.data}"], arguments].concat()).0
}

fn what_was_is_shown_and_comes_back(sampan: &Sampan) {
    let first = put(sampan, "default", "past", "{k: one}");
    // A time between two writes, told by the log itself.
    let (changes, _) = sampan.sampan(&["history", "configmap/past", "-o", "json"]);
    let changes: Value = serde_json::from_str(&changes).expect("JSON");
    let time = changes[0]["time"].as_str().expect("a time").to_owned();
    let second = put(sampan, "default", "past", "{k: two, l: three}");
    let (table, _) = sampan.sampan(&["history", "cm/past"]);
    contains(&table, &["REVISION", &format!("{first} "), "Created", &format!("{second} "), "Modified", "sampan-admin"]);
    let (diff, _) = sampan.sampan(&["history", "cm/past", "--diff"]);
    contains(&diff, &["+ data.k: \"one\"", "- data.k: \"one\"", "+ data.k: \"two\"", "+ data.l: \"three\""]);
    let (changed, _) = sampan.sampan(&["changes", "--since", "10m", "--kind", "ConfigMap", "--user", "sampan-admin"]);
    contains(&changed, &["configmap/past", "Modified", "patch"]);
    assert!(!sampan.sampan(&["changes", "--since", "10m", "--user", "nobody"]).0.contains("past"));
    // As of a revision, and of a time.
    let at = first.to_string();
    assert_eq!(data(sampan, &["past", "--at", &at]), r#"{"k":"one"}"#);
    assert_eq!(data(sampan, &["past", "--at", &time]), r#"{"k":"one"}"#);
    assert_eq!(data(sampan, &["past"]), r#"{"k":"two","l":"three"}"#);
    contains(&sampan.sampan(&["get", "configmaps", "--at", &at]).0, &["NAME", "past", "1"]);
    contains(&sampan.sampan_refused(&["get", "configmaps", "--at", "99d"]), &["begins later"]);
    contains(&sampan.sampan_refused(&["get", "cm", "past", "--at", "yesterday"]), &["neither a time", "10m"]);
    contains(&sampan.sampan_refused(&["get", "cm", "past", "--at", &at, "-w"]), &["cannot be used with"]);
    // Back, twice.
    contains(&sampan.sampan(&["restore", "configmap/past", "--at", &at]).0, &["configmap/past restored"]);
    contains(&sampan.sampan(&["restore", "configmap/past", "--at", &at]).0, &["configmap/past unchanged"]);
    assert_eq!(data(sampan, &["past"]), r#"{"k":"one"}"#);
    // And out of nothing.
    sampan.sampan(&["delete", "configmap/past"]);
    let (said, not) = sampan.sampan(&["restore", "configmap/past", "--at", &second.to_string()]);
    contains(&said, &["created again"]);
    contains(&not, &["not restored: its UID"]);
    assert_eq!(data(sampan, &["past"]), r#"{"k":"two","l":"three"}"#);
    let (table, _) = sampan.sampan(&["history", "cm/past"]);
    assert_eq!(
        table.lines().skip(1).map(|line| line.split_whitespace().nth(2)).collect::<Vec<_>>(),
        [Some("Created"), Some("Modified"), Some("Modified"), Some("Deleted"), Some("Created")]
    );
    contains(&sampan.sampan_refused(&["restore", "configmap/none", "--at", "1s"]), &["\"none\" not found"]);
    contains(&sampan.sampan_refused(&["restore", "past", "--at", "1s"]), &["KIND/NAME"]);
}

fn an_owner_that_is_gone_is_not_restored(sampan: &Sampan) {
    put(sampan, "default", "owner", "{}");
    let uid = sampan.sampan(&["get", "cm", "owner", "-o", "jsonpath={.metadata.uid}"]).0;
    let owned = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: owned\n  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, \
         name: owner, uid: {uid}}}]\n"
    );
    let path = manifest(sampan, "owned.yaml", &owned);
    sampan.sampan(&["apply", "-f", &path.to_string_lossy()]);
    let revision = sampan.sampan(&["get", "cm", "owned", "-o", "jsonpath={.metadata.resourceVersion}"]).0;
    sampan.sampan(&["delete", "cm", "owner"]);
    eventually("it is collected with its owner", || sampan.get(&["cm", "owned"]).is_none().then_some(()));
    let (_, not) = sampan.sampan(&["restore", "cm/owned", "--at", &revision]);
    contains(&not, &["not restored: its owner configmap/owner, which is gone"]);
    assert_eq!(sampan.sampan(&["get", "cm", "owned", "-o", "jsonpath={.metadata.ownerReferences}"]).0, "");
}

fn secrets_of_the_past_stay_hidden(sampan: &Sampan) {
    let secret = |value: &str| {
        let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: hidden}}\nstringData: {{p: {value}}}\n");
        let path = manifest(sampan, "secret.yaml", &text);
        sampan.sampan(&["apply", "-f", &path.to_string_lossy()]);
        sampan.sampan(&["get", "secret", "hidden", "-o", "jsonpath={.metadata.resourceVersion}"]).0
    };
    let first = secret("first-value");
    secret("second-value");
    // `first-value` and `second-value` in base64.
    let values = ["first-value", "second-value", "Zmlyc3QtdmFsdWU", "c2Vjb25kLXZhbHVl"];
    for arguments in [
        ["history", "secret/hidden", "--diff"].as_slice(),
        &["history", "secret/hidden", "-o", "json"],
        &["history", "secret/hidden"],
        &["changes", "--kind", "Secret", "-o", "json"],
    ] {
        let (text, _) = sampan.sampan(arguments);
        assert!(!values.iter().any(|value| text.contains(value)), "{arguments:?}: {text}");
        assert!(text.contains("Created") && text.contains("Modified"), "{arguments:?}: {text}");
    }
    for arguments in
        [["get", "secret", "hidden", "--at", &first].as_slice(), &["restore", "secret/hidden", "--at", &first]]
    {
        contains(&sampan.sampan_refused(arguments), &["old values of secrets are not shown"]);
    }
    // What is current is no past.
    contains(&sampan.sampan(&["get", "secret", "hidden", "-o", "yaml"]).0, &["c2Vjb25kLXZhbHVl"]);
}

/// A kubeconfig of a ServiceAccount of the namespace `team`, beside the administrator's.
fn reader(sampan: &Sampan) -> PathBuf {
    let token = sampan.kubectl("1.35", &["create", "token", "reader", "-n", "team"]);
    let view = sampan.kubectl("1.35", &["config", "view", "--raw", "-o", "json"]);
    let view: Value = serde_json::from_str(&view).expect("JSON");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "r",
        "contexts": [{"name": "r", "context": {"cluster": "r", "user": "r", "namespace": "team"}}],
        "clusters": [{"name": "r", "cluster": view["clusters"][0]["cluster"]}],
        "users": [{"name": "r", "user": {"token": token.trim()}}],
    });
    let text = config.to_string();
    let path = sampan.folder.join("reader");
    std::fs::write(&path, text).expect("written");
    path
}

fn the_past_of_a_namespace_that_was_anothers_needs_a_right_of_its_own(sampan: &Sampan) {
    let admit = |arguments: &[&str]| sampan.kubectl("1.35", arguments);
    admit(&["create", "namespace", "team"]);
    let old = put(sampan, "team", "plan", "{k: of-the-former-owner}").to_string();
    admit(&["delete", "namespace", "team", "--wait"]);
    admit(&["create", "namespace", "team"]);
    admit(&["create", "serviceaccount", "reader", "-n", "team"]);
    let subject = "--serviceaccount=team:reader";
    admit(&["create", "role", "reads", "-n", "team", "--verb=get,list", "--resource=configmaps"]);
    admit(&["create", "rolebinding", "reads", "-n", "team", "--role=reads", subject]);
    put(sampan, "team", "plan", "{k: present}");
    let kubeconfig = reader(sampan);
    let flags = ["--kubeconfig", &kubeconfig.to_string_lossy()].map(str::to_owned);
    let run = |arguments: &[&str]| -> Output {
        let all: Vec<&str> = arguments.iter().copied().chain(flags.iter().map(String::as_str)).collect();
        sampan.command(&all).output().expect("it starts")
    };
    let told = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let check = |arguments: &[&str], succeeds: bool, part: &str| {
        let output = run(arguments);
        assert_eq!(output.status.success(), succeeds, "{arguments:?}: {}", told(&output));
        contains(&told(&output), &[part]);
        told(&output)
    };
    check(&["get", "cm", "plan", "-o", "jsonpath={.data.k}"], true, "present");
    let history = check(&["history", "cm/plan", "--diff"], true, "present");
    assert!(!history.contains("former-owner"), "{history}");
    check(&["get", "cm", "plan", "--at", &old], false, "forbidden");
    check(&["restore", "cm/plan", "--at", &old], false, "forbidden");
    check(&["changes", "--since", "10m"], false, "forbidden");
    // The right to changes shows those of what may be listed, of the present namespace.
    admit(&["create", "role", "changes", "-n", "team", "--verb=list", "--resource=changes.history.sampan.dev"]);
    admit(&["create", "rolebinding", "changes", "-n", "team", "--role=changes", subject]);
    let changes = eventually("the right is taken up", || {
        let output = run(&["changes", "--since", "10m", "-o", "json"]);
        output.status.success().then(|| told(&output))
    });
    let changes: Vec<Value> = serde_json::from_str(&changes).expect("JSON");
    assert!(!changes.is_empty() && changes.iter().all(|one| one["resource"]["kind"] == "ConfigMap"), "{changes:?}");
    assert!(!Value::from(changes).to_string().contains("former-owner"));
    // The right to the history of all namespaces shows that of the former one too.
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: history}\n\
                rules: [{apiGroups: [history.sampan.dev], resources: [configmaps], verbs: [get]}]\n";
    sampan.sampan(&["apply", "-f", &manifest(sampan, "role.yaml", role).to_string_lossy()]);
    admit(&["create", "clusterrolebinding", "history", "--clusterrole=history", subject]);
    let shown = eventually("the right is taken up", || {
        let output = run(&["get", "cm", "plan", "--at", &old, "-o", "jsonpath={.data.k}"]);
        output.status.success().then(|| told(&output))
    });
    assert_eq!(shown, "of-the-former-owner");
    // To read is not to write.
    check(&["restore", "cm/plan", "--at", &old], false, "forbidden");
}

fn folders_and_streams_are_applied(sampan: &Sampan) {
    let folder = sampan.folder.join("manifests");
    std::fs::create_dir_all(folder.join("deep")).expect("made");
    std::fs::write(folder.join("a.yaml"), config_map("in-folder", "{}")).expect("written");
    std::fs::write(folder.join("deep/b.yaml"), config_map("below", "{}")).expect("written");
    let path = folder.to_string_lossy();
    assert_eq!(sampan.sampan(&["apply", "-f", &path]).0, "configmap/in-folder created\n");
    assert_eq!(
        sampan.sampan(&["apply", "-R", "-f", &path]).0,
        "configmap/in-folder unchanged\nconfigmap/below created\n"
    );
    contains(&sampan.sampan_refused(&["apply", "-k", "dir"]), &["kubectl kustomize dir | sampan apply -f -"]);
    let bad = manifest(
        sampan,
        "bad.yaml",
        &format!(
            "{}---\n{}",
            config_map("good", "{}"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: typo}\ndatta: {}\n"
        ),
    );
    let said = sampan.sampan_refused(&["apply", "-f", &bad.to_string_lossy()]);
    contains(&said, &["ConfigMap \"typo\"", ".datta: field not declared in schema", "1 of 2 objects"]);
    contains(&sampan.sampan(&["get", "cm", "good"]).0, &["good"]);
}

/// What a shell may put in the place of the last of the words.
fn offered(mut program: std::process::Command, words: &[&str]) -> Vec<String> {
    program.args(["--", "sampan"]).args(words).env("SAMPAN_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    let output = program.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).output().expect("it starts");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn a_completion_knows_the_cluster(sampan: &Sampan) {
    put(sampan, "default", "completed", "{}");
    let check = |words: &[&str], expected: &[&str], not: &[&str]| {
        let found = offered(sampan.command(&[]), words);
        assert!(expected.iter().all(|one| found.iter().any(|found| found == one)), "{words:?}: {found:?}");
        assert!(!not.iter().any(|one| found.iter().any(|found| found == one)), "{words:?}: {found:?}");
    };
    check(&["comp"], &["completion"], &["get"]);
    check(&["get", "configm"], &["configmaps"], &["pods"]);
    check(&["get", "cm", "compl"], &["completed"], &["configmaps"]);
    check(&["history", "cm/compl"], &["cm/completed"], &[]);
    check(&["get", "pods", "-n", "kube-"], &["kube-system"], &["default"]);
    check(&["get", "--context", "sam"], &["sampan"], &[]);
    check(&["get", "pods", "-o", ""], &["wide", "name", "json", "yaml", "jsonpath="], &["text"]);
    check(&["explain", "pod", "a", "--output", ""], &["text", "json", "yaml"], &["wide"]);
    let (script, _) = sampan.sampan(&["completion", "bash"]);
    contains(&script, &["SAMPAN_COMPLETE", "complete "]);
    contains(&sampan.sampan(&["man", "image", "rm"]).0, &[".TH sampan-image-rm"]);
    contains(&sampan.sampan_refused(&["man", "nosuch"]), &["sampan help"]);
}

fn what_is_there_is_told(sampan: &Sampan) {
    contains(&sampan.sampan(&["status"]).0, &["ready at https://127.0.0.1", "nodes"]);
    contains(&sampan.sampan(&["version"]).0, &["sampan", "commit", "Kubernetes", "v1.35", "server"]);
    let (yaml, _) = sampan.sampan(&["get", "namespace", "default", "-o", "yaml"]);
    assert!(!yaml.contains("managedFields"), "{yaml}");
    contains(
        &sampan.sampan(&["get", "svc", "kubernetes", "-o", "yaml", "--show-managed-fields"]).0,
        &["managedFields"],
    );
    contains(&sampan.sampan(&["get", "all"]).0, &["service/kubernetes"]);
    contains(&sampan.sampan_refused(&["get", "nosuch"]), &["kubectl api-resources"]);
    contains(&sampan.sampan_refused(&["get", "pods", "--context", "nosuch"]), &["there are sampan"]);
}

type Check = fn(&Sampan);

#[test]
fn commands_do_what_they_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver,controllers"]);
    let checks: [(&'static str, Check); 7] = [
        ("what was", what_was_is_shown_and_comes_back),
        ("owners", an_owner_that_is_gone_is_not_restored),
        ("secrets", secrets_of_the_past_stay_hidden),
        ("rights", the_past_of_a_namespace_that_was_anothers_needs_a_right_of_its_own),
        ("apply", folders_and_streams_are_applied),
        ("completion", a_completion_knows_the_cluster),
        ("status", what_is_there_is_told),
    ];
    let cluster = &sampan;
    check_all(checks.map(|(name, check)| (name, move || check(cluster))));
    assert!(sampan.interrupt().success());
}

#[test]
fn commands_say_of_pods_what_the_transcripts_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    Transcript::run_all(&root().join("tests/tests/commands"), &sampan, "1.35");
    assert!(sampan.interrupt().success());
}

fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = command(folder).args(arguments).stdin(Stdio::null()).output().expect("it starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn without_a_cluster_it_is_said_what_starts_one() {
    let home = tempfile::tempdir().expect("a folder");
    for arguments in [["get", "pods"].as_slice(), &["status"], &["logs", "a"], &["history", "pod/a"], &["changes"]] {
        let (succeeds, text) = run(home.path(), arguments);
        assert!(!succeeds, "{arguments:?}");
        contains(&text, &["`sampan up` starts one"]);
        assert!(text.matches("refused").count() <= 1, "{text}");
    }
    let (succeeds, text) = run(home.path(), &["version"]);
    assert!(succeeds && text.contains("server      none"), "{text}");
}

#[test]
fn a_named_cluster_leaves_no_context_behind_and_is_reset_by_its_name() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join(".kube/config");
    std::fs::create_dir_all(home.path().join(".kube")).expect("made");
    let prod = "current-context: prod\ncontexts: [{name: prod, context: {cluster: prod, user: me}}]\n";
    std::fs::write(&file, prod).expect("written");
    let name = ["--name", "two", "--components", "apiserver"];
    for arguments in [["image", "ls"].as_slice(), &["image", "rm", "team/app"]] {
        let (succeeds, text) = run(home.path(), &[arguments, &["--name", "two"]].concat());
        assert!(!succeeds && text.contains("there is no cluster in"), "{text}");
    }
    assert!(!home.path().join(".local/share/sampan-two").exists(), "nothing was made");
    let contexts = || {
        let text = std::fs::read_to_string(&file).expect("readable");
        let current = text.lines().find(|line| line.starts_with("current-context:")).unwrap_or_default().to_owned();
        (text.contains("sampan-two"), current)
    };
    let two = Sampan::up_at_home(home.path(), &name);
    assert_eq!(contexts(), (true, "current-context: sampan-two".into()));
    let reset = ["reset", "--name", "two", "--yes"];
    let (succeeds, text) = run(home.path(), &reset);
    assert!(!succeeds && text.contains("is running"), "{text}");
    let component = home.path().join("component.wasm");
    std::fs::write(&component, b"\0asm\x0d\0\x01\0").expect("written");
    let component = component.to_string_lossy();
    let (succeeds, text) = run(home.path(), &["image", "import", &component, "team/app", "--name", "two"]);
    assert!(succeeds && text.contains("team/app:latest@sha256:") && text.contains("sampan-two"), "{text}");
    let images = |arguments: &[&str]| run(home.path(), &[&["image"], arguments, &["--name", "two"]].concat());
    contains(&images(&["ls"]).1, &["team/app:latest", "imported", "sampan/hello:v1"]);
    let check =
        |words: &[&str], expected: &[&str]| assert_eq!(offered(command(home.path()), words), expected, "{words:?}");
    check(&["image", "rm", "--name", "two", "te"], &["team/app:latest"]);
    check(&["image", "rm", "te"], &[]);
    check(&["reset", "--name", "t"], &["two"]);
    assert!(images(&["rm", "team/app"]).0);
    assert!(!images(&["ls"]).1.contains("team/app"));
    for (image, why) in [("team/app", "sampan image ls"), ("sampan/hello:v1", "part of this program")] {
        let (succeeds, text) = images(&["rm", image]);
        assert!(!succeeds && text.contains(why), "{text}");
    }
    assert!(two.interrupt().success());
    assert_eq!(contexts(), (false, "current-context: prod".into()));
    // One that was killed leaves its context; a reset takes it away with everything else.
    Sampan::up_at_home(home.path(), &name).kill();
    assert!(contexts().0);
    let (succeeds, text) = run(home.path(), &reset[..3]);
    assert!(!succeeds && text.contains("--yes"), "{text}");
    let (succeeds, text) = run(home.path(), &reset);
    assert!(succeeds && text.contains("sampan-two") && text.contains("sampan up --name two"), "{text}");
    assert!(!contexts().0 && !home.path().join(".local/share/sampan-two").exists());
    assert!(run(home.path(), &reset).0, "twice is as good as once");
}

#[test]
fn a_terminal_that_is_closed_ends_it_in_order() {
    let home = tempfile::tempdir().expect("a folder");
    let mut up = command(home.path());
    up.args(["up", "--port", "0", "--components", "apiserver,controllers", "--log", "info"]);
    let mut up = up.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(up.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("Ctrl-C ends it")), "it comes up");
    // Nobody reads what it says any more: each write fails.
    drop((lines, up.stderr.take()));
    let pid = i32::try_from(up.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    let status = eventually("its end", || up.try_wait().expect("a child"));
    assert!(status.success(), "{status}");
    let config = std::fs::read_to_string(home.path().join(".kube/config")).expect("readable");
    assert!(!config.contains("127.0.0.1"), "it has taken its context away: {config}");
}

#[test]
fn machines_hear_each_step_each_object_and_each_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let lost = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: \"sampan/nowhere:v1\"}}]}}\n"
        )
    };
    let set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: set}\nspec:\n  serviceName: set\n  selector: {matchLabels: {app: set}}\n  \
               template:\n    metadata: {labels: {app: set}}\n    spec: {containers: [{name: c, image: \"sampan/worker:v1\"}]}\n";
    let file = folder.path().join("lost.yaml");
    let all = [lost("lost"), lost("gone"), set.to_owned(), config_map("fine", "{}"), config_map("Bad_Name", "{}")];
    std::fs::write(&file, all.join("---\n")).expect("written");
    let mut up = command(folder.path());
    up.args(["up", "--output", "json", "--port", "0", "-f"]).arg(&file);
    let mut up = up.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let lines = BufReader::new(up.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let end = now() + PATIENCE;
    let mut missing: BTreeSet<&str> = [
        "step  ",
        "object fine applied",
        "object Bad_Name failed",
        "object lost applied",
        "object fine ready",
        "object set kept",
        // With the event that explains it. One pod is not waited for after the other.
        "object lost waiting for nowhere",
        "object gone waiting for nowhere",
    ]
    .into();
    let mut seen = Vec::new();
    for line in lines {
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let explained = text("state") == "waiting" && text("message").contains("nowhere");
        let why = if explained { " for nowhere" } else { "" };
        let one = format!("{} {} {}{why}", text("event"), text("name"), text("state"));
        missing.remove(one.as_str());
        seen.push(one);
        if missing.is_empty() || now() > end {
            break;
        }
    }
    up.kill().expect("it runs");
    up.wait().expect("it ends");
    assert!(missing.is_empty(), "{missing:?} are not in {seen:?}");
    assert!(!seen.iter().any(|one| one.starts_with("object set waiting")), "{seen:?}");
    // What keeps it from starting is an event too.
    let output =
        command(folder.path()).args(["up", "--output", "json", "-f", "/no/such.yaml"]).output().expect("it starts");
    let event: Value = serde_json::from_slice(&output.stdout).expect("one event");
    assert!(
        event["event"] == "error" && event["message"].as_str().is_some_and(|text| text.contains("/no/such.yaml")),
        "{event}"
    );
    assert!(!output.status.success());
    // So is a mistake on the command line itself.
    for arguments in [["--output", "json", "--nosuch"].as_slice(), &["--port", "many", "--output=json"]] {
        let output = command(folder.path()).arg("up").args(arguments).output().expect("it starts");
        let event: Value = serde_json::from_slice(&output.stdout).expect("one event");
        let message = event["message"].as_str().unwrap_or_default();
        assert!(
            event["event"] == "error" && arguments.iter().any(|one| message.contains(&format!("'{one}'"))),
            "{event}"
        );
        assert!(output.stderr.is_empty() && output.status.code() == Some(2), "{arguments:?}: {:?}", output.status);
    }
    let output = command(folder.path()).args(["up", "--nosuch"]).output().expect("it starts");
    assert!(output.stdout.is_empty() && output.status.code() == Some(2), "people are told on standard error");
}

#[test]
fn what_keeps_a_deployment_waiting_is_told() {
    let home = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(HELLO).expect("readable").replace("sampan/hello:v1", "nginx:1");
    let file = home.path().join("web.yaml");
    std::fs::write(&file, text).expect("written");
    let mut up = command(home.path());
    up.args(["up", "--port", "0", "-f"]).arg(&file);
    let mut up = up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(up.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let explained =
        lines.any(|line| line.contains("deployment") && line.contains("ErrImagePull") || line.contains("image import"));
    up.kill().expect("it runs");
    up.wait().expect("it ends");
    assert!(explained);
}
