//! Unmodified kubectl, the oldest and the newest that are supported, over every command that touches the API: checks with a
//! namespace each, so that all of them are run whichever fails, and the transcripts in the folder beside, whose outcomes are
//! those that kubectl has of a kube-apiserver v1.35 with its controllers. SAMPAN_TIER=nightly for those of the older one.

use sampan_tests::transcript::Transcript;
use sampan_tests::{Sampan, check_all, eventually, is_nightly, root};

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'sampan/hello:v1', ports: [{containerPort: 8080}]}
";

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// One kubectl in one namespace.
struct Kubectl<'a> {
    sampan: &'a Sampan,
    version: &'a str,
    namespace: String,
}

impl Kubectl<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", &self.namespace];
        all.extend(arguments);
        self.sampan.kubectl(self.version, &all)
    }

    fn apply(&self, manifest: &str) -> String {
        self.sampan.kubectl_stdin(self.version, &["-n", &self.namespace, "apply", "-f", "-"], manifest)
    }

    fn settled(&self) {
        self.run(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    }

    /// The Deployment `web`, with all its pods at work.
    fn web(&self) {
        self.apply(WEB);
        self.settled();
    }
}

fn what_is_served(k: &Kubectl<'_>) {
    contains(&k.run(&["api-resources"]), &["deployments", "deploy", "schedulingpolicies", "true"]);
    contains(&k.run(&["get", "nodes"]), &["Ready"]);
    contains(&k.run(&["get", "namespaces"]), &["default", "kube-system", "kube-node-lease", "Active"]);
}

/// 1.35 sends protobuf.
fn create(k: &Kubectl<'_>) {
    k.run(&["create", "configmap", "settings", "--from-literal=a=1"]);
    k.run(&["create", "secret", "generic", "token", "--from-literal=t=x"]);
    k.run(&["create", "deployment", "made", "--image=sampan/hello:v1", "--replicas=1"]);
    contains(&k.run(&["get", "configmap", "settings", "-o", "yaml"]), &["a: \"1\"", "kind: ConfigMap"]);
    k.run(&["rollout", "status", "deployment/made", "--timeout=60s"]);
}

fn apply(k: &Kubectl<'_>) {
    contains(&k.apply(WEB), &["web created"]);
    k.settled();
    contains(&k.apply(WEB), &["web unchanged"]);
    contains(&k.apply(&WEB.replace("replicas: 2", "replicas: 3")), &["web configured"]);
    k.settled();
    contains(&k.run(&["get", "deployment", "web"]), &["3/3"]);
}

fn get_and_describe(k: &Kubectl<'_>) {
    k.web();
    contains(&k.run(&["get", "pods", "-o", "wide", "-l", "app=web"]), &["Running", "127.64."]);
    let running = k.run(&["get", "pods", "--field-selector", "status.phase=Running", "-l", "app=web", "-o", "name"]);
    assert_eq!(running.lines().count(), 2, "{running}");
    contains(
        &k.run(&["describe", "deployment", "web"]),
        &["ScalingReplicaSet", "Scaled up replica set", "RollingUpdate"],
    );
    let pod = running.lines().next().expect("a pod").to_owned();
    contains(&k.run(&["describe", &pod]), &["Scheduled", "default-scheduler", "Started", "sampan/hello:v1"]);
    contains(&k.run(&["get", "events"]), &["Scheduled", "SuccessfulCreate"]);
}

fn merge_patch(k: &Kubectl<'_>) {
    k.apply(WEB);
    k.run(&["patch", "deployment", "web", "--type=merge", "-p", r#"{"metadata":{"labels":{"p":"merge"}}}"#]);
    contains(&k.run(&["get", "deployment", "web", "-o", "yaml"]), &["p: merge", "app: web"]);
}

fn json_patch(k: &Kubectl<'_>) {
    k.apply(WEB);
    let patch = r#"[{"op":"add","path":"/metadata/labels/q","value":"json"}]"#;
    k.run(&["patch", "deployment", "web", "--type=json", "-p", patch]);
    contains(&k.run(&["get", "deployment", "web", "-o", "yaml"]), &["q: json", "app: web"]);
}

fn strategic_patch(k: &Kubectl<'_>) {
    k.apply(WEB);
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"E","value":"1"}]}]}}}}"#;
    k.run(&["patch", "deployment", "web", "-p", patch]);
    contains(&k.run(&["get", "deployment", "web", "-o", "yaml"]), &["name: E", "image: sampan/hello:v1"]);
    k.settled();
}

fn scale(k: &Kubectl<'_>) {
    k.web();
    k.run(&["scale", "deployment", "web", "--replicas=1"]);
    k.settled();
    contains(&k.run(&["get", "deployment", "web"]), &["1/1"]);
}

fn set_env(k: &Kubectl<'_>) {
    k.web();
    k.run(&["set", "env", "deployment/web", "F=2"]);
    k.settled();
    contains(&k.run(&["get", "deployment", "web", "-o", "yaml"]), &["name: F"]);
}

fn rollouts(k: &Kubectl<'_>) {
    k.web();
    k.run(&["set", "image", "deployment/web", "web=sampan/hello:v2"]);
    k.settled();
    contains(&k.run(&["rollout", "history", "deployment/web"]), &["REVISION", "1", "2"]);
    k.run(&["rollout", "undo", "deployment/web"]);
    k.settled();
    contains(&k.run(&["get", "deployment", "web", "-o", "yaml"]), &["image: sampan/hello:v1"]);
    k.run(&["rollout", "restart", "deployment/web"]);
    k.settled();
}

/// Schemas: kubectl explains by v3 and validates by it or by v2; what it does not know of a file stops nothing else.
fn explain(k: &Kubectl<'_>) {
    let containers = k.run(&["explain", "pod.spec.containers", "--recursive"]);
    contains(&containers, &["imagePullPolicy", "enum: Always, IfNotPresent, Never", "-required-"]);
    contains(&k.run(&["explain", "deployment.spec.strategy", "--output=plaintext-openapiv2"]), &["rollingUpdate"]);
    contains(&k.run(&["explain", "schedulingpolicy"]), &["scheduling.sampan.dev", "takes part in scheduling"]);
    for ours in ["schedulingpolicy.spec", "schedulingpolicy.status", "decision.inputs", "decision.outcome"] {
        let told = k.run(&["explain", ours]);
        assert!(!told.contains("<no description>"), "{ours}: {told}");
    }
    let map = |name: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}\n- {}\n", map("a"), map("b"));
    let create = ["-n", &k.namespace, "create", "-f", "-"];
    contains(&k.sampan.kubectl_stdin(k.version, &create, &list), &["configmap/a created", "configmap/b created"]);
    let unknown = "apiVersion: example.io/v1\nkind: Thing\nmetadata: {name: t}\n";
    let file = k.sampan.folder.join(format!("{}.yaml", k.namespace));
    let known = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    std::fs::write(&file, format!("{}---\n{unknown}---\n{}", known("c"), known("d"))).expect("a file");
    let file = file.display().to_string();
    let said = k.sampan.kubectl_refused(k.version, &["-n", &k.namespace, "apply", "-f", &file]);
    contains(&said, &["no matches for kind \"Thing\" in version \"example.io/v1\"", "ensure CRDs are installed first"]);
    contains(&k.run(&["get", "configmaps", "-o", "name"]), &["configmap/c", "configmap/d"]);
}

fn label_and_annotate(k: &Kubectl<'_>) {
    k.apply(WEB);
    k.run(&["label", "deployment", "web", "team=a"]);
    k.run(&["annotate", "deployment", "web", "note=b"]);
    contains(&k.run(&["get", "deployment", "web", "-o", "yaml"]), &["team: a", "note: b"]);
}

fn cordon_and_taint(k: &Kubectl<'_>) {
    let node = k.run(&["get", "nodes", "-o", "name"]).trim().to_owned();
    let name = node.trim_start_matches("node/");
    k.run(&["cordon", name]);
    contains(&k.run(&["get", "nodes"]), &["SchedulingDisabled"]);
    k.run(&["uncordon", name]);
    k.run(&["taint", "nodes", name, "a=b:NoSchedule"]);
    contains(&k.run(&["describe", "node", name]), &["a=b:NoSchedule"]);
    k.run(&["taint", "nodes", name, "a-"]);
}

/// With and without waiting; the namespace goes with all that is in it.
fn delete(k: &Kubectl<'_>) {
    k.web();
    k.run(&["delete", "deployment", "web"]);
    eventually("the pods of a deleted deployment are collected", || {
        k.run(&["get", "pods", "-l", "app=web", "-o", "name"]).trim().is_empty().then_some(())
    });
    k.run(&["create", "configmap", "settings", "--from-literal=a=1"]);
    k.run(&["delete", "configmap", "settings", "--wait=false"]);
    k.apply(WEB);
    k.run(&["delete", "namespace", &k.namespace, "--timeout=60s"]);
    contains(&k.sampan.kubectl_refused(k.version, &["get", "namespace", &k.namespace]), &["NotFound"]);
}

/// A name, and what it asserts.
type Check = (&'static str, fn(&Kubectl<'_>));

const CHECKS: [Check; 14] = [
    ("served", what_is_served),
    ("create", create),
    ("apply", apply),
    ("get-and-describe", get_and_describe),
    ("merge-patch", merge_patch),
    ("json-patch", json_patch),
    ("strategic-patch", strategic_patch),
    ("scale", scale),
    ("set-env", set_env),
    ("rollouts", rollouts),
    ("explain", explain),
    ("label-and-annotate", label_and_annotate),
    ("delete", delete),
    // Last: the node is everybody's.
    ("cordon-and-taint", cordon_and_taint),
];

fn daily_commands(version: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    check_all(CHECKS.map(|(name, check)| {
        let sampan = &sampan;
        (name, move || {
            sampan.kubectl(version, &["create", "namespace", name]);
            check(&Kubectl { sampan, version, namespace: name.to_owned() });
        })
    }));
    assert!(sampan.interrupt().success());
}

fn transcripts(version: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    Transcript::run_all(&root().join("tests/tests/kubectl"), &sampan, version);
    assert!(sampan.interrupt().success());
}

#[test]
fn kubectl_1_35() {
    daily_commands("1.35");
}

#[test]
fn kubectl_1_31() {
    daily_commands("1.31");
}

#[test]
fn transcripts_of_kubectl_1_35() {
    transcripts("1.35");
}

#[test]
fn transcripts_of_kubectl_1_31() {
    if !is_nightly() {
        return;
    }
    transcripts("1.31");
}
