//! Clients, unmodified, of those who use a cluster rather than write it: JavaScript, kustomize, kube-state-metrics and the
//! discovery of Prometheus. `cargo xtask tools` makes them. SAMPAN_TIER=nightly.

use sampan_tests::program::Program;
use sampan_tests::{Sampan, eventually, http_get, is_nightly, root, tool};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// A cluster in a folder of its own.
fn cluster(arguments: &[&str]) -> (tempfile::TempDir, Sampan) {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), arguments);
    (folder, sampan)
}

/// A Deployment whose two pods answer, a Service and an Ingress to them.
fn web(sampan: &Sampan) {
    let labels = json!({"app": "web"});
    let port = json!({"name": "http", "containerPort": 8080});
    let container = json!({"name": "web", "image": "sampan/hello:v1", "ports": [port]});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": labels}, "template": template});
    let backend = json!({"service": {"name": "web", "port": {"name": "http"}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    let service = json!({"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]});
    let rules = json!([{"host": "web.example.com", "http": {"paths": paths}}]);
    let of = |version: &str, kind: &str, spec: Value| {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec}).to_string()
    };
    let all = [
        of("apps/v1", "Deployment", spec),
        of("v1", "Service", service),
        of("networking.k8s.io/v1", "Ingress", json!({ "rules": rules })),
    ];
    sampan.kubectl_stdin("1.35", &["apply", "-f", "-"], &all.join("\n---\n"));
    sampan.kubectl("1.35", &["rollout", "status", "deployment/web", "--timeout=60s"]);
}

#[test]
fn javascript() {
    if !is_nightly() {
        return;
    }
    let (_folder, sampan) = cluster(&["--components", "apiserver,controllers"]);
    let program = root().join("tests/clients/javascript/verbs.mjs");
    let mut command = Command::new("node");
    command.arg(program).arg(tool("javascript/node_modules")).arg(&sampan.kubeconfig);
    let output = command.output().expect("node starts");
    let (steps, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{steps}{errors}");
    println!("{} steps of the JavaScript client", steps.lines().count());
    assert_eq!(steps.lines().last(), Some("deletions"), "{steps}");
}

#[test]
fn kustomize() {
    if !is_nightly() {
        return;
    }
    let (_folder, sampan) = cluster(&["--components", "apiserver,controllers"]);
    let overlay = root().join("tests/clients/kustomization/overlay");
    let overlay = overlay.to_string_lossy();
    let built = Command::new(tool("kustomize")).args(["build", &overlay]).output().expect("kustomize starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let manifest = String::from_utf8_lossy(&built.stdout);
    sampan.kubectl_stdin("1.35", &["apply", "--server-side", "-f", "-"], &manifest);
    let of = |what: &str| sampan.get(&["-n", "harbour", what]).unwrap_or_else(|| panic!("there is no {what}"));
    let deployment = of("deployment/east-web");
    assert_eq!(deployment["spec"]["replicas"], 0);
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], json!({"app": "web", "side": "east"}));
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "sampan/hello:v2");
    assert_eq!(pod["containers"][0]["env"], json!([{"name": "SIDE", "value": "east"}]));
    let settings = pod["volumes"][0]["configMap"]["name"].as_str().expect("a name");
    assert_eq!(of(&format!("configmap/{settings}"))["data"], json!({"colour": "blue", "wind": "north"}));
    assert_eq!(of("service/east-web")["spec"]["ports"][0]["port"], 8080);
    assert!(of("crd/boats.example.com")["metadata"]["labels"]["side"] == "east");
    // What kubectl has of kustomize built in sees no difference, and takes everything away: some of it goes with its namespace.
    let difference = sampan.kubectl_output("1.35", &["diff", "--server-side", "-k", &overlay]);
    assert_eq!(String::from_utf8_lossy(&difference.stdout), "");
    sampan.kubectl("1.35", &["delete", "-k", &overlay, "--ignore-not-found", "--timeout=60s"]);
    assert!(sampan.get(&["namespace", "harbour"]).is_none());
}

/// A port of loopback that was free a moment ago: the program that is to have it takes no listener.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// The page of metrics at an address, once it is served.
fn metrics(address: &str) -> Option<String> {
    http_get(address, "/metrics").filter(|(code, _)| *code == 200).map(|(_, page)| page)
}

/// Kinds that kube-state-metrics watches where nobody says which.
const KINDS: usize = 28;

#[test]
fn kube_state_metrics() {
    if !is_nightly() {
        return;
    }
    let (folder, sampan) = cluster(&[]);
    web(&sampan);
    let (own, telemetry) = (free_address(), free_address());
    let log = folder.path().join("kube-state-metrics.log");
    let mut command = Command::new(tool("kube-state-metrics"));
    for (address, prefix) in [(&own, ""), (&telemetry, "telemetry-")] {
        let (host, port) = address.rsplit_once(':').expect("host:port");
        command.arg(format!("--{prefix}host={host}")).arg(format!("--{prefix}port={port}"));
    }
    command.arg("--kubeconfig").arg(&sampan.kubeconfig).current_dir(folder.path());
    command.stderr(std::fs::File::create(&log).expect("a log"));
    let _program = Program::start(command);
    let deployment = |name: &str| format!("kube_deployment_{name}{{namespace=\"default\",deployment=\"web\"}} 2");
    let wanted = [
        deployment("spec_replicas"),
        deployment("status_replicas_available"),
        "kube_pod_status_phase{namespace=\"default\",pod=\"web-".to_owned(),
        "kube_service_info{namespace=\"default\",service=\"web\"".to_owned(),
        "kube_ingress_path{namespace=\"default\",ingress=\"web\",host=\"web.example.com\",path=\"/\"".to_owned(),
        "kube_endpoint_address{namespace=\"default\",endpoint=\"web\"".to_owned(),
        "kube_node_info{node=".to_owned(),
        "kube_lease_owner{lease=".to_owned(),
        "kube_namespace_status_phase{namespace=\"kube-system\",phase=\"Active\"} 1".to_owned(),
    ];
    eventually("every metric", || {
        let page = metrics(&own)?;
        wanted.iter().all(|line| page.contains(line.as_str())).then_some(())
    });
    // How each of its lists and watches ended: by kind, and by result.
    let of = |page: &str, verb: &str, result: &str| {
        let (verb, result) = (format!("kube_state_metrics_{verb}_total{{"), format!("result=\"{result}\""));
        let own = page.lines().filter(|line| line.starts_with(&verb) && line.contains(&result));
        own.map(str::to_owned).collect::<Vec<String>>()
    };
    let page = eventually("every list and watch", || {
        let page = metrics(&telemetry)?;
        let all = ["list", "watch"].iter().all(|verb| of(&page, verb, "success").len() >= KINDS);
        all.then_some(page)
    });
    assert_eq!([of(&page, "list", "error"), of(&page, "watch", "error")].concat(), Vec::<String>::new());
    let log = std::fs::read_to_string(&log).expect("its log");
    // As klog marks errors.
    let errors: Vec<&str> = log.lines().filter(|line| line.starts_with('E')).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// What Prometheus has been told of one role: the newest group of each source.
fn groups(program: &Program, role: &str) -> Vec<Value> {
    let lines: Vec<Value> = program.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_role: Vec<&Value> = lines.iter().filter(|line| line["role"] == role).collect();
    let sources: BTreeSet<&str> = of_role.iter().filter_map(|line| line["source"].as_str()).collect();
    let newest = |source: &str| of_role.iter().rev().find(|line| line["source"] == source).copied().cloned();
    sources.into_iter().filter_map(newest).collect()
}

/// How many targets of a role have all these labels, their own or their group's.
fn targets(program: &Program, role: &str, labels: &[(&str, &str)]) -> usize {
    let count = |group: &Value| {
        let own = group["targets"].as_array().into_iter().flatten();
        let has = |target: &&Value| {
            labels.iter().all(|(label, value)| target[label] == *value || group["labels"][label] == *value)
        };
        own.filter(has).count()
    };
    groups(program, role).iter().map(count).sum()
}

#[test]
fn discovery_of_prometheus() {
    if !is_nightly() {
        return;
    }
    let (_folder, sampan) = cluster(&[]);
    web(&sampan);
    let mut command = Command::new(tool("prometheus"));
    command.arg(&sampan.kubeconfig).stderr(Stdio::inherit());
    let program = Program::start(command);
    let node = sampan.kubectl("1.35", &["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let here = ("__meta_kubernetes_namespace", "default");
    let told = |what: &str, role: &str, labels: &[(&str, &str)], count: usize| {
        let of = |labels| (targets(&program, role, labels) == count).then_some(());
        eventually(what, || of(labels));
    };
    told("the node", "node", &[("__meta_kubernetes_node_name", &node)], 1);
    let pod = [
        here,
        ("__meta_kubernetes_pod_label_app", "web"),
        ("__meta_kubernetes_pod_phase", "Running"),
        ("__meta_kubernetes_pod_ready", "true"),
        ("__meta_kubernetes_pod_controller_kind", "ReplicaSet"),
        ("__meta_kubernetes_pod_container_port_name", "http"),
        ("__meta_kubernetes_pod_node_name", &node),
    ];
    told("two pods", "pod", &pod, 2);
    told("the Service", "service", &[here, ("__address__", "web.default.svc:80")], 1);
    let endpoint = [here, ("__meta_kubernetes_endpoints_name", "web"), ("__meta_kubernetes_endpoint_ready", "true")];
    told("two addresses", "endpoints", &endpoint, 2);
    let slice = [
        here,
        ("__meta_kubernetes_service_name", "web"),
        ("__meta_kubernetes_endpointslice_endpoint_conditions_ready", "true"),
        ("__meta_kubernetes_endpointslice_port_name", "http"),
    ];
    told("two endpoints", "endpointslice", &slice, 2);
    let ingress =
        [here, ("__meta_kubernetes_ingress_name", "web"), ("__meta_kubernetes_ingress_host", "web.example.com")];
    told("the Ingress", "ingress", &ingress, 1);
    // It follows what changes.
    sampan.kubectl("1.35", &["scale", "deployment/web", "--replicas=1"]);
    told("one pod", "pod", &pod, 1);
    told("one address", "endpoints", &endpoint, 1);
    told("one endpoint", "endpointslice", &slice, 1);
    sampan.kubectl("1.35", &["delete", "ingress/web", "service/web"]);
    told("no Ingress", "ingress", &ingress, 0);
    told("no Service", "service", &[here, ("__address__", "web.default.svc:80")], 0);
}
