//! Bodies as large as may be that make a server work much, each made once.

use serde_json::{Value, json};

/// About as much as one object may hold.
const LARGE: usize = 1_450_000;

fn pod(spec: Value) -> Vec<u8> {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}).to_string().into_bytes()
}

fn list(count: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..count).map(item).collect()
}

pub fn spread_constraints() -> Vec<u8> {
    let constraint = |n| json!({"maxSkew": 1, "topologyKey": format!("k{n}"), "whenUnsatisfiable": "DoNotSchedule"});
    pod(json!({"containers": [{"name": "c", "image": "i"}], "topologySpreadConstraints": list(20_000, constraint)}))
}

pub fn scheduling_gates() -> Vec<u8> {
    let gates = list(40_000, |n| json!({"name": format!("example.com/g{n}")}));
    pod(json!({"containers": [{"name": "c", "image": "i"}], "schedulingGates": gates}))
}

pub fn volumes() -> Vec<u8> {
    let volumes = list(30_000, |n| json!({"name": format!("v{n}"), "emptyDir": {}}));
    pod(json!({"containers": [{"name": "c", "image": "i"}], "volumes": volumes}))
}

pub fn host_ports() -> Vec<u8> {
    let ports = list(30_000, |n| json!({"containerPort": 1 + n, "hostPort": 1 + n}));
    pod(json!({"containers": [{"name": "c", "image": "i", "ports": ports}]}))
}

pub fn containers() -> Vec<u8> {
    pod(json!({"containers": list(20_000, |n| json!({"name": format!("c{n}"), "image": "i"}))}))
}

/// Anti-affinity, whose terms hold lists that hold lists.
pub fn affinity() -> Vec<u8> {
    let term = |n: usize| {
        json!({"topologyKey": "t", "labelSelector": {"matchExpressions": [
            {"key": format!("k{n}"), "operator": "In", "values": list(5, |v| json!(format!("v{v}")))}]}})
    };
    let terms = list(9_000, term);
    pod(json!({"containers": [{"name": "c", "image": "i"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}))
}

/// A JSON patch that moves a list's first element to where it is, thousands of times.
pub fn moves() -> Vec<u8> {
    let mut steps = vec![json!({"op": "add", "path": "/z", "value": vec![0; 300_000]})];
    steps.extend((0..9_990).map(|_| json!({"op": "move", "from": "/z/0", "path": "/z/0"})));
    steps.push(json!({"op": "remove", "path": "/z"}));
    Value::Array(steps).to_string().into_bytes()
}

/// A JSON patch that copies what it has copied.
pub fn copies() -> Vec<u8> {
    let mut steps = vec![json!({"op": "add", "path": "/data/a", "value": "v".repeat(1000)})];
    steps.extend((0..9_000).map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/b{n}")})));
    Value::Array(steps).to_string().into_bytes()
}

/// A JSON patch that makes a long list longer at its front.
pub fn element_copies() -> Vec<u8> {
    let mut steps = vec![json!({"op": "add", "path": "/z", "value": vec![0; 300_000]})];
    steps.extend((0..9_000).map(|_| json!({"op": "copy", "from": "/z/0", "path": "/z/0"})));
    steps.push(json!({"op": "remove", "path": "/z"}));
    Value::Array(steps).to_string().into_bytes()
}

/// A strategic merge patch of a Deployment's template, with an order for all elements of its keyed list.
pub fn keyed_list() -> Vec<u8> {
    let containers = list(12_000, |n| json!({"name": format!("c{n}"), "image": "i"}));
    let order = list(12_000, |n| json!({"name": format!("c{n}")}));
    let spec = json!({"containers": containers, "$setElementOrder/containers": order});
    json!({"spec": {"template": {"spec": spec}}}).to_string().into_bytes()
}

/// One that takes away what is not there.
pub fn keyed_deletions() -> Vec<u8> {
    let containers = list(20_000, |n| json!({"name": format!("c{n}"), "$patch": "delete"}));
    json!({"spec": {"template": {"spec": {"containers": containers}}}}).to_string().into_bytes()
}

/// A ConfigMap with very many keys.
pub fn keys() -> Vec<u8> {
    let data: serde_json::Map<String, Value> = (0..80_000).map(|n| (format!("k{n}"), json!("v"))).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}).to_string().into_bytes()
}

/// Metadata with very many labels that are none.
pub fn labels() -> Vec<u8> {
    let labels: serde_json::Map<String, Value> = (0..60_000).map(|n| (format!("-{n}/-"), json!("-"))).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": labels}})
        .to_string()
        .into_bytes()
}

/// Brackets in brackets.
pub fn json_depth() -> Vec<u8> {
    let head = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":"#;
    [head.as_bytes(), "[".repeat(LARGE / 2).as_bytes(), "]".repeat(LARGE / 2).as_bytes(), b"}"].concat()
}

const YAML_HEAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

/// Mappings in mappings, each a column further right.
pub fn yaml_indentation() -> Vec<u8> {
    let mut text = format!("{YAML_HEAD}data:\n");
    let mut depth = 1;
    while text.len() < LARGE {
        text.push_str(&" ".repeat(depth));
        text.push_str("a:\n");
        depth += 1;
    }
    text.into_bytes()
}

/// Flow sequences in flow sequences.
pub fn yaml_depth() -> Vec<u8> {
    format!("{YAML_HEAD}data: {}{}\n", "[".repeat(LARGE / 2), "]".repeat(LARGE / 2)).into_bytes()
}

/// Anchors that stand for ever more.
pub fn yaml_anchors() -> Vec<u8> {
    let mut text = format!("{YAML_HEAD}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..40 {
        let of = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{of}]\n"));
    }
    text.into_bytes()
}

/// One anchor that is named very often.
pub fn yaml_aliases() -> Vec<u8> {
    let mut text = format!("{YAML_HEAD}a: &a [{}]\nb:\n", vec!["x"; 10_000].join(", "));
    while text.len() < LARGE {
        text.push_str("- *a\n");
    }
    text.into_bytes()
}

/// Lines that are one text.
pub fn yaml_folded() -> Vec<u8> {
    let mut text = format!("{YAML_HEAD}data:\n  a: \"\n");
    while text.len() < LARGE {
        text.push_str("    \\\n");
    }
    text.push_str("    \"\n");
    text.into_bytes()
}
