//! Unmodified kubectl, the oldest and the newest that are supported, over every command that people use daily.

use sampan_tests::{Sampan, eventually};

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

fn daily_commands(version: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    let k = |arguments: &[&str]| sampan.kubectl(version, arguments);

    contains(&k(&["api-resources"]), &["deployments", "deploy", "schedulingpolicies", "true"]);
    contains(&k(&["get", "nodes"]), &["Ready"]);
    contains(&k(&["get", "namespaces"]), &["default", "kube-system", "kube-node-lease", "Active"]);

    // create: 1.35 sends protobuf.
    k(&["create", "namespace", "shop"]);
    k(&["create", "configmap", "settings", "--from-literal=a=1", "-n", "shop"]);
    k(&["create", "secret", "generic", "token", "--from-literal=t=x", "-n", "shop"]);
    k(&["create", "deployment", "made", "--image=sampan/hello:v1", "--replicas=1", "-n", "shop"]);
    contains(&k(&["get", "configmap", "settings", "-n", "shop", "-o", "yaml"]), &["a: \"1\"", "kind: ConfigMap"]);
    k(&["rollout", "status", "deployment/made", "-n", "shop", "--timeout=60s"]);

    // apply, and its update.
    contains(&sampan.kubectl_stdin(version, &["apply", "-f", "-"], WEB), &["web created"]);
    k(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    contains(&sampan.kubectl_stdin(version, &["apply", "-f", "-"], WEB), &["web unchanged"]);
    let more = WEB.replace("replicas: 2", "replicas: 3");
    contains(&sampan.kubectl_stdin(version, &["apply", "-f", "-"], &more), &["web configured"]);
    k(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    contains(&k(&["get", "deployment", "web"]), &["3/3"]);
    contains(&k(&["get", "pods", "-o", "wide", "-l", "app=web"]), &["Running", "127.64."]);
    let running = k(&["get", "pods", "--field-selector", "status.phase=Running", "-l", "app=web", "-o", "name"]);
    assert_eq!(running.lines().count(), 3, "{running}");
    contains(&k(&["describe", "deployment", "web"]), &["ScalingReplicaSet", "Scaled up replica set", "RollingUpdate"]);
    let pod = running.lines().next().expect("a pod").to_owned();
    contains(&k(&["describe", &pod]), &["Scheduled", "default-scheduler", "Started", "sampan/hello:v1"]);
    contains(&k(&["get", "events"]), &["Scheduled", "SuccessfulCreate"]);

    // patch of three types, scale, set, label, annotate.
    k(&["patch", "deployment", "web", "--type=merge", "-p", r#"{"metadata":{"labels":{"p":"merge"}}}"#]);
    k(&[
        "patch",
        "deployment",
        "web",
        "--type=json",
        "-p",
        r#"[{"op":"add","path":"/metadata/labels/q","value":"json"}]"#,
    ]);
    k(&[
        "patch",
        "deployment",
        "web",
        "-p",
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"E","value":"1"}]}]}}}}"#,
    ]);
    let yaml = k(&["get", "deployment", "web", "-o", "yaml"]);
    contains(&yaml, &["p: merge", "q: json", "name: E", "image: sampan/hello:v1"]);
    k(&["scale", "deployment", "web", "--replicas=2"]);
    k(&["set", "env", "deployment/web", "F=2"]);
    k(&["set", "image", "deployment/web", "web=sampan/hello:v2"]);
    k(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    contains(&k(&["rollout", "history", "deployment/web"]), &["REVISION", "1"]);
    k(&["rollout", "undo", "deployment/web"]);
    k(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    contains(&k(&["get", "deployment", "web", "-o", "yaml"]), &["image: sampan/hello:v1"]);
    k(&["rollout", "restart", "deployment/web"]);
    k(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    k(&["label", "deployment", "web", "team=a"]);
    k(&["annotate", "deployment", "web", "note=b"]);

    // nodes.
    let node = k(&["get", "nodes", "-o", "name"]).trim().to_owned();
    let name = node.trim_start_matches("node/").to_owned();
    k(&["cordon", &name]);
    contains(&k(&["get", "nodes"]), &["SchedulingDisabled"]);
    k(&["uncordon", &name]);
    k(&["taint", "nodes", &name, "a=b:NoSchedule"]);
    contains(&k(&["describe", "node", &name]), &["a=b:NoSchedule"]);
    k(&["taint", "nodes", &name, "a-"]);

    // delete, with and without waiting; the namespace goes with all that is in it.
    k(&["delete", "deployment", "web"]);
    eventually("the pods of a deleted deployment are collected", || {
        k(&["get", "pods", "-l", "app=web", "-o", "name"]).trim().is_empty().then_some(())
    });
    k(&["delete", "configmap", "settings", "-n", "shop", "--wait=false"]);
    k(&["delete", "namespace", "shop", "--timeout=60s"]);
    contains(&sampan.kubectl_refused(version, &["get", "namespace", "shop"]), &["NotFound"]);
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
