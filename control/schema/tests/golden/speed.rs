//! What the write path costs for a pod of common size. Printed, and held to a bound that only a defect crosses.

use std::time::Instant;

use sampan_schema::{Schema, default, json, managed, protobuf};
use serde_json::{Value, json as value};

fn pod() -> Value {
    let container = |name: &str| {
        value!({
            "name": name, "image": "registry.example.com/team/app:v1.2.3",
            "args": ["--listen=:8080", "--log-level=info", "--cache=/var/cache/app"],
            "env": (0..8).map(|n| value!({"name": format!("SETTING_{n}"), "value": format!("value number {n}")})).collect::<Vec<_>>(),
            "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "livenessProbe": {"httpGet": {"path": "/live", "port": 8080}, "initialDelaySeconds": 10},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}, {"name": "cache", "mountPath": "/var/cache/app"}],
        })
    };
    value!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", "labels": {"app": "web", "tier": "front"},
            "annotations": {"example.com/owner": "team-a", "example.com/note": "x".repeat(400)}},
        "spec": {
            "containers": [container("app"), container("helper")],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}, {"name": "cache", "emptyDir": {}}],
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100,
                "podAffinityTerm": {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}}]}},
        },
    })
}

/// The fastest of several rounds, in microseconds a call: other work on the machine only ever adds.
fn measure<T>(what: &str, mut call: impl FnMut() -> T) {
    const CALLS: u32 = 200;
    #[expect(clippy::disallowed_methods, reason = "a measurement needs the real clock")]
    let best = (0..15)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                std::hint::black_box(call());
            }
            start.elapsed() / CALLS
        })
        .min()
        .unwrap_or_default();
    println!("{what}: {:.1} us", best.as_secs_f64() * 1e6);
    assert!(best.as_micros() < 5_000, "{what} took {best:?}");
}

fn fields(value: &mut Value) -> &mut serde_json::Map<String, Value> {
    value.as_object_mut().expect("an object")
}

#[test]
fn the_write_path_of_a_pod() {
    let schema = Schema::builtin();
    let id = schema.find("", "v1", "Pod").expect("Pod");
    let bytes = serde_json::to_vec(&pod()).expect("JSON");
    let decoded = json::decode(schema, id, &bytes).expect("decodes").value;
    let mut full = decoded.clone();
    default::apply(schema, id, fields(&mut full)).expect("short");
    let mut payload = Vec::new();
    protobuf::encode(schema, id, &full, &mut payload).expect("encodes");
    println!("pod of {} bytes, protobuf {}", bytes.len(), payload.len());
    measure("serde_json to Value, for comparison", || serde_json::from_slice::<Value>(&bytes).expect("JSON"));
    measure("clone of the value", || decoded.clone());
    measure("json::decode", || json::decode(schema, id, &bytes).expect("decodes"));
    measure("default::apply, with a clone", || {
        let mut value = decoded.clone();
        default::apply(schema, id, fields(&mut value)).expect("short");
        value
    });
    let writer = managed::Writer { manager: "test", subresource: "", time: "2026-01-02T03:04:05Z" };
    measure("managed::update of a create, with a clone", || {
        let mut value = full.clone();
        managed::update(schema, id, None, fields(&mut value), writer, &[&["status"]], &managed::one_version);
        value
    });
    let mut stored = full.clone();
    managed::update(schema, id, None, fields(&mut stored), writer, &[&["status"]], &managed::one_version);
    let mut changed = stored.clone();
    changed["metadata"]["labels"]["tier"] = "back".into();
    measure("managed::update of an update, with a clone", || {
        let mut value = changed.clone();
        managed::update(
            schema,
            id,
            stored.as_object(),
            fields(&mut value),
            writer,
            &[&["status"]],
            &managed::one_version,
        );
        value
    });
    measure("json::from_value", || json::from_value(schema, id, &stored).expect("decodes"));
    measure("protobuf::encode", || {
        let mut out = Vec::with_capacity(4096);
        protobuf::encode(schema, id, &full, &mut out).expect("encodes");
        out
    });
    measure("protobuf::decode", || protobuf::decode(schema, id, &payload).expect("decodes"));
    measure("serde_json to bytes, for comparison", || serde_json::to_vec(&full).expect("JSON"));
}
