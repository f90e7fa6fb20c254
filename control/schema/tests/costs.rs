//! What reading and patching cost grows no faster than what is sent. Each case is made at one size and at twice that size,
//! and the time that the thread computed is compared: a step that looks at everything again for each thing takes four times
//! as long.

use std::fmt::Write as _;

use sampan_api::limits::JSON_PATCH_OPERATIONS_MAX;
use sampan_schema::patch::{self, PatchError};
use sampan_schema::{Schema, TypeId, default, json, managed, protobuf, yaml};
use serde_json::{Map, Value, json as value};

/// Makes what costs something, of a size.
type OfSize<T> = fn(usize) -> T;
/// Makes a patch that holds a text.
type OfText = fn(&str) -> Value;

/// How much longer twice as much may take: two, and slack for caches and allocation.
const GROWTH_MAX: f64 = 3.2;

/// What takes no longer than this at twice the size needs no comparison: the clock is too coarse for it.
const SHORT_SECONDS: f64 = 0.1;

/// What takes longer is a defect, whatever its growth. A body of 3 MiB is read in a tenth of it.
const LONG_SECONDS: f64 = 2.0;

/// Seconds that this thread has computed.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The least of three: other work on the machine only ever adds.
fn seconds<I, T>(make: &dyn Fn(usize) -> I, run: &dyn Fn(I) -> T, size: usize) -> f64 {
    let round = || {
        let input = make(size);
        let start = cpu();
        std::hint::black_box(run(input));
        cpu() - start
    };
    (0..3).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// Runs a case at `size` and at twice `size`.
fn check<I, T>(what: &str, size: usize, make: impl Fn(usize) -> I, run: impl Fn(I) -> T) {
    let twice = seconds(&make, &run, 2 * size);
    assert!(twice < LONG_SECONDS, "{what}: {twice:.3} s at {}", 2 * size);
    if twice < SHORT_SECONDS {
        return;
    }
    let once = seconds(&make, &run, size);
    println!("{what}: {:.1} ms at {size}, {:.1} ms at {}", once * 1e3, twice * 1e3, 2 * size);
    assert!(twice / once < GROWTH_MAX, "{what}: {once:.3} s at {size}, {twice:.3} s at {}", 2 * size);
}

fn id(group: &str, kind: &str) -> TypeId {
    Schema::builtin().find(group, "v1", kind).expect("a built-in kind")
}

fn operation(op: &str, path: &str) -> Value {
    value!({"op": op, "path": path})
}

#[test]
fn json_patches() {
    const OPERATIONS: usize = JSON_PATCH_OPERATIONS_MAX / 2;
    let list = |size: usize| Value::from((0..size * 40).collect::<Vec<_>>());
    let run = |(current, patch): (Value, Value)| patch::json(current, &patch).expect("applies");
    // Each operation so often, at the front of a long list, where it moves all others.
    let front: [(&str, OfSize<Value>); 6] = [
        ("move", |_| value!({"op": "move", "from": "/z/0", "path": "/z/0"})),
        ("move to the end", |_| value!({"op": "move", "from": "/z/0", "path": "/z/-"})),
        ("add", |at| value!({"op": "add", "path": "/z/0", "value": at})),
        ("remove", |_| operation("remove", "/z/0")),
        ("copy", |_| value!({"op": "copy", "from": "/z/0", "path": "/z/1"})),
        ("replace", |at| value!({"op": "replace", "path": "/z/0", "value": at})),
    ];
    for (what, make) in front {
        check(
            &format!("json patch: {what} at the front of a list"),
            OPERATIONS / 2,
            |size| (value!({ "z": list(size) }), (0..size).map(make).collect::<Value>()),
            run,
        );
    }
    check(
        "json patch: a large value that goes down and up again",
        OPERATIONS / 2,
        |size| {
            let down = value!({"op": "move", "from": "/a", "path": "/b/c"});
            let up = value!({"op": "move", "from": "/b/c", "path": "/a"});
            let steps: Value = (0..size).map(|at| if at % 2 == 0 { down.clone() } else { up.clone() }).collect();
            (value!({"a": {"list": list(size)}, "b": {}}), steps)
        },
        run,
    );
    check(
        "json patch: texts that are compared",
        500,
        |size| {
            let text = |at: usize| format!("{at}{}", "x".repeat(1000));
            let current: Map<String, Value> = (0..size).map(|at| (format!("k{at}"), text(at).into())).collect();
            let step = |at: usize| value!({"op": "test", "path": format!("/k{at}"), "value": text(at)});
            (Value::Object(current), (0..size).map(step).collect::<Value>())
        },
        run,
    );
    check(
        "json patch: a long text that is compared with short ones",
        OPERATIONS / 2,
        |size| {
            let step = value!({"op": "add", "path": "/k/-", "value": 1});
            let test = value!({"op": "test", "path": "/t", "value": "x"});
            let steps = (0..size).map(|at| if at % 2 == 0 { step.clone() } else { test.clone() });
            (value!({"t": "x", "k": list(size)}), steps.collect::<Value>())
        },
        run,
    );
    check(
        "json patch: deep paths",
        OPERATIONS / 2,
        |size| {
            let deep = (0..100).fold(value!({"z": [1]}), |inner, _| value!({ "a": inner }));
            let path = format!("{}/z/0", "/a".repeat(100));
            let step = value!({"op": "add", "path": path, "value": 1});
            (deep, Value::Array(vec![step; size]))
        },
        run,
    );
}

#[test]
fn a_legitimate_patch_of_a_long_list_applies() {
    let current = value!({"z": (0..300_000).collect::<Vec<_>>()});
    let mut steps = vec![value!({"op": "move", "from": "/z/0", "path": "/z/0"}); JSON_PATCH_OPERATIONS_MAX - 3];
    steps.push(value!({"op": "add", "path": "/z/150000", "value": "middle"}));
    steps.push(value!({"op": "test", "path": "/z/150000", "value": "middle"}));
    steps.push(value!({"op": "test", "path": "/z/299999", "value": 299_998}));
    let patched = patch::json(current, &Value::Array(steps)).expect("applies");
    let list = patched["z"].as_array().expect("a list");
    assert_eq!((list.len(), &list[149_999], &list[150_001]), (300_001, &value!(149_999), &value!(150_000)));
}

fn merged(kind: TypeId) -> impl Fn((Value, Value)) -> Result<Value, PatchError> {
    move |(current, patch)| patch::strategic(Schema::builtin(), kind, current, patch)
}

#[test]
fn merge_patches() {
    let data = |size: usize, from: usize| -> Map<String, Value> {
        (from..from + size).map(|at| (format!("key-{at}"), "value".into())).collect()
    };
    check(
        "merge patch",
        20_000,
        |size| (value!({"data": data(size, 0)}), value!({"data": data(size, size / 2)})),
        |(current, patch)| patch::merge(current, &patch),
    );
    let pod = id("", "Pod");
    let containers = |size: usize, more: Value| -> Value {
        let one = |at: usize| {
            let mut one = more.clone();
            one["name"] = format!("c{at}").into();
            one
        };
        (0..size).map(one).collect()
    };
    let spec = |containers: Value| value!({"spec": {"containers": containers}});
    let cases: [(&str, OfText); 4] = [
        ("merges", |_| value!({"image": "2"})),
        ("deletes", |_| value!({"$patch": "delete"})),
        ("replaces", |_| value!({"$patch": "replace", "image": "3"})),
        ("keeps some keys", |_| value!({"$retainKeys": ["name", "image"], "image": "2"})),
    ];
    for (what, change) in cases {
        check(
            &format!("strategic: a list of objects that {what}"),
            4_000,
            |size| (spec(containers(size, value!({"image": "1"}))), spec(containers(size, change("")))),
            merged(pod),
        );
    }
    check(
        "strategic: the order of a list of objects",
        4_000,
        |size| {
            let order: Value = (0..size).rev().map(|at| value!({"name": format!("c{at}")})).collect();
            (spec(containers(size, value!({"image": "1"}))), value!({"spec": {"$setElementOrder/containers": order}}))
        },
        merged(pod),
    );
    let names =
        |size: usize, from: usize| -> Value { (from..from + size).map(|at| format!("example.com/{at}")).collect() };
    for (what, make) in [
        ("merge", &(|size| value!({"finalizers": names(size, size / 2)})) as &dyn Fn(usize) -> Value),
        ("shrink", &|size| value!({"$deleteFromPrimitiveList/finalizers": names(size, size / 2)})),
        ("in order", &|size| value!({"$setElementOrder/finalizers": names(size, 0), "finalizers": names(size, 0)})),
    ] {
        check(
            &format!("strategic: primitive lists {what}"),
            10_000,
            |size| (value!({"metadata": {"finalizers": names(size, 0)}}), value!({"metadata": make(size)})),
            merged(id("", "ConfigMap")),
        );
    }
}

/// One element of a patch can name the same container again and again, and each merges into its whole list of ports.
#[test]
fn strategic_merges_into_the_same_list() {
    let ports = |size: usize| -> Value { (0..size).map(|at| value!({"containerPort": at})).collect() };
    let changes: [(&str, Value); 4] = [
        ("an order", value!({"name": "a", "$setElementOrder/ports": []})),
        ("an order of one", value!({"name": "a", "$setElementOrder/ports": [{"containerPort": 1}]})),
        ("a port", value!({"name": "a", "ports": [{"containerPort": 1}]})),
        ("a deletion", value!({"name": "a", "ports": [{"containerPort": -1, "$patch": "delete"}]})),
    ];
    for (what, change) in changes {
        check(
            &format!("strategic: {what}, again and again"),
            5_000,
            |size| {
                let current = value!({"spec": {"containers": [{"name": "a", "ports": ports(size)}]}});
                (current, value!({"spec": {"containers": vec![change.clone(); size]}}))
            },
            |input| assert!(matches!(merged(id("", "Pod"))(input), Err(PatchError::TooLarge(_)) | Ok(_))),
        );
    }
    let twice =
        value!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}]}, {"name": "a", "image": "i"}]}});
    let current = value!({"spec": {"containers": [{"name": "a", "ports": ports(10)}]}});
    assert!(merged(id("", "Pod"))((current, twice)).is_ok(), "what somebody may well send is merged");
}

/// An object of the kind, without the fields that say so.
fn decode(kind: TypeId) -> impl Fn(Vec<u8>) -> usize {
    move |body| json::decode(Schema::builtin(), kind, &body).map_or(0, |decoded| decoded.problems.len())
}

#[test]
fn bodies() {
    let pod = id("", "Pod");
    let definition = id("apiextensions.k8s.io", "CustomResourceDefinition");
    let json: [(&str, TypeId, OfSize<String>); 6] = [
        ("unknown fields", pod, |size| {
            let fields: Vec<String> = (0..size).map(|at| format!("\"x{at}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        }),
        ("a field twice and again", pod, |size| format!("{{{}}}", vec!["\"spec\":{}"; size].join(","))),
        ("a key twice and again", pod, |size| {
            format!("{{\"metadata\":{{\"labels\":{{{}}}}}}}", vec!["\"a\":\"b\""; size].join(","))
        }),
        ("an unknown field below a long key", definition, |size| {
            let key = "k".repeat(size * 10);
            let fields = vec!["\"x\":1"; size].join(",");
            let schema = format!("{{\"properties\":{{\"{key}\":{{{fields}}}}}}}");
            format!("{{\"spec\":{{\"versions\":[{{\"schema\":{{\"openAPIV3Schema\":{schema}}}}}]}}}}")
        }),
        ("unknown fields in a list", pod, |size| {
            format!("{{\"spec\":{{\"containers\":[{}]}}}}", vec!["{\"x\":1}"; size].join(","))
        }),
        ("wrong types", pod, |size| {
            format!("{{\"spec\":{{\"containers\":[{}]}}}}", vec!["{\"name\":1}"; size].join(","))
        }),
    ];
    for (what, kind, body) in json {
        check(&format!("json: {what}"), 40_000, |size| body(size).into_bytes(), decode(kind));
        let tree = |size: usize| serde_json::from_str::<Value>(&body(size)).expect("JSON");
        check(&format!("a tree: {what}"), 40_000, tree, |tree| {
            json::from_value(Schema::builtin(), kind, &tree).map_or(0, |decoded| decoded.problems.len())
        });
    }
    let yaml: [(&str, OfSize<String>); 7] = [
        ("keys", |size| (0..size).fold(String::new(), |text, at| text + &format!("k{at}: v\n"))),
        ("a key twice and again", |size| "a: b\n".repeat(size)),
        ("a long plain text", |size| format!("a:{}", " word".repeat(size))),
        ("a flow list", |size| format!("a: [{}]", vec!["1"; size].join(", "))),
        ("flow maps", |size| format!("a: [{}]", vec!["{a: b, c: d}"; size].join(", "))),
        ("comments", |size| "# nothing\n".repeat(size) + "a: b\n"),
        ("anchors", |size| {
            let mut text = String::from("list:\n");
            for at in 0..size {
                // Writing to a String cannot fail.
                writeln!(text, "- &a{at} x\n- *a{at}").expect("a String takes all writes");
            }
            text
        }),
    ];
    for (what, body) in yaml {
        check(
            &format!("yaml: {what}"),
            20_000,
            |size| body(size).into_bytes(),
            |body| yaml::decode(Schema::builtin(), pod, &body).is_ok(),
        );
    }
}

#[test]
fn protobuf_messages() {
    let pod = id("", "Pod");
    let encoded = |value: Value| {
        let mut out = Vec::new();
        protobuf::encode(Schema::builtin(), pod, &value, &mut out).expect("encodes");
        out
    };
    let containers = |size: usize| -> Value { (0..size).map(|at| value!({"name": format!("c{at}")})).collect() };
    let labels = |size: usize| -> Map<String, Value> { (0..size).map(|at| (format!("k{at}"), "v".into())).collect() };
    let decode = |bytes: Vec<u8>| protobuf::decode(Schema::builtin(), pod, &bytes).is_ok();
    check("protobuf: a list", 20_000, |size| encoded(value!({"spec": {"containers": containers(size)}})), decode);
    check("protobuf: a map", 20_000, |size| encoded(value!({"metadata": {"labels": labels(size)}})), decode);
    let one = || encoded(value!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "n"}}));
    check("protobuf: a field again and again", 20_000, |size| one().repeat(size), decode);
    check(
        "protobuf: encoding",
        20_000,
        |size| value!({"metadata": {"labels": labels(size)}, "spec": {"containers": containers(size)}}),
        encoded,
    );
}

#[test]
fn defaults() {
    let pod = id("", "Pod");
    let amounts = |from: usize, size: usize| -> Map<String, Value> {
        (from..from + size).map(|at| (format!("example.com/r{at}"), "1".into())).collect()
    };
    let run = |mut object: Value| {
        default::apply(Schema::builtin(), pod, object.as_object_mut().expect("an object")).expect("short");
        object
    };
    let asks = |amounts: Map<String, Value>| value!({"resources": {"limits": {"cpu": "1"}, "requests": amounts}});
    check(
        "defaults: many resources",
        10_000,
        |size| {
            let mut spec = asks(Map::new());
            spec["containers"] = value!([asks(amounts(0, size))]);
            value!({ "spec": spec })
        },
        run,
    );
    check(
        "defaults: a long init sequence beside sidecars",
        1_200,
        |size| {
            let mut spec = asks(Map::new());
            // As many steps as defaults may add to; each is added to what the sidecar asks for.
            let mut sidecar = asks(amounts(0, 8 * size));
            sidecar["restartPolicy"] = "Always".into();
            let steps = std::iter::once(sidecar).chain((0..size).map(|at| asks(amounts(at, 1))));
            spec["initContainers"] = steps.collect();
            value!({ "spec": spec })
        },
        run,
    );
}

#[test]
fn managed_fields() {
    let kind = id("", "ConfigMap");
    let writer = managed::Writer { manager: "me", subresource: "", time: "2026-01-01T00:00:01Z" };
    let object =
        |data: Map<String, Value>| value!({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": {}});
    let data = |size: usize, text: &str| -> Map<String, Value> {
        (0..size).map(|at| (format!("k{at}"), text.into())).collect()
    };
    let run = |(old, mut new): (Value, Value)| {
        let fields = new.as_object_mut().expect("an object");
        managed::update(Schema::builtin(), kind, old.as_object(), fields, writer, &[], &managed::one_version);
        new
    };
    let entry = |manager: String, fields: Value| {
        value!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    check(
        "managedFields: many managers and many changes",
        5_000,
        |size| {
            let mut old = object(data(size, "1"));
            let managers = (0..size).map(|at| entry(format!("m{at}"), value!({"f:data": {"f:x": {}}})));
            old["metadata"]["managedFields"] = managers.collect();
            let mut new = object(data(size, "2"));
            new["metadata"]["managedFields"] = old["metadata"]["managedFields"].clone();
            (old, new)
        },
        run,
    );
    check(
        "managedFields: many managers that one change takes from",
        5_000,
        |size| {
            let all: Map<String, Value> =
                data(size, "1").into_iter().map(|(key, _)| (format!("f:{key}"), value!({}))).collect();
            let mut old = object(data(size, "1"));
            old["metadata"]["managedFields"] = value!([entry("one".into(), value!({ "f:data": all }))]);
            (old, object(data(size, "2")))
        },
        run,
    );
    check(
        "managedFields: an order that changes",
        10_000,
        |size| {
            let names =
                |turn: usize| -> Value { (0..size).map(|at| format!("example.com/{}", (at + turn) % size)).collect() };
            let with = |names: Value| {
                value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"finalizers": names,
            "managedFields": [entry("one".into(), value!({"f:data": {}}))]}})
            };
            (with(names(0)), with(names(1)))
        },
        run,
    );
}
