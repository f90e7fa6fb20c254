//! Random edits by `sampan apply` and by kubectl's server-side apply end in the same objects: two managers take turns, things are
//! added to lists and maps and taken out of them again, conflicts are met and overridden.
//!
//! One seed, which a failure prints; SAMPAN_SEED=N runs another.

use sampan_testing::Dice;
use sampan_tests::Sampan;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

const EDITS: usize = 200;
/// Edits after which the objects of both sides are compared.
const COMPARED_EVERY: usize = 10;
const SEED: u64 = 20_260_101;
/// The manager as which `sampan apply` writes, and another.
const MANAGERS: [&str; 2] = ["sampan", "other"];
/// The namespaces of the two sides.
const SIDES: [&str; 2] = ["ours", "theirs"];

/// A kind of which objects are edited: what every manifest of it says, and parts that one may say, each in several ways.
struct Kind {
    resource: &'static str,
    base: Value,
    parts: Vec<Vec<Value>>,
}

fn template(container: Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [container]}}}})
}

fn container(part: &Value) -> Value {
    let mut container = json!({"name": "web"});
    merge(&mut container, part);
    template(container)
}

fn metadata() -> Vec<Vec<Value>> {
    let of = |field: &str, key: &str, value: &str| json!({"metadata": {field: {key: value}}});
    vec![
        vec![of("labels", "tier", "a"), of("labels", "tier", "b")],
        vec![of("labels", "example.com/owner", "me")],
        vec![of("annotations", "note", "one"), of("annotations", "note", "two\nlines")],
        vec![
            json!({"metadata": {"finalizers": ["example.com/a"]}}),
            json!({"metadata": {"finalizers": ["example.com/b", "example.com/a"]}}),
        ],
    ]
}

fn deployment() -> Kind {
    let env = |name: &str, value: &str| container(&json!({"env": [{"name": name, "value": value}]}));
    let port = |number: u16, name: &str| container(&json!({"ports": [{"containerPort": number, "name": name}]}));
    let parts = vec![
        vec![json!({"spec": {"replicas": 1}}), json!({"spec": {"replicas": 3}})],
        vec![
            env("A", "1"),
            env("A", "2"),
            container(&json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]})),
        ],
        vec![env("B", "1"), env("B", "")],
        vec![port(80, "http"), port(80, "web")],
        vec![port(443, "https")],
        vec![
            container(&json!({"args": ["a", "b"]})),
            container(&json!({"args": ["b"]})),
            container(&json!({"args": []})),
        ],
        vec![
            container(&json!({"resources": {"limits": {"memory": "64Mi"}}})),
            container(&json!({"resources": {"limits": {"memory": "65536Ki", "cpu": 1}}})),
        ],
        vec![
            template(json!({"name": "side", "image": "sampan/worker:v1"})),
            template(json!({"name": "side", "image": "sampan/worker:v2", "command": ["x"]})),
        ],
        vec![
            json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}}),
            json!({"spec": {"template": {"spec": {"nodeSelector": {"zone": "a"}}}}}),
        ],
        vec![
            json!({"spec": {"template": {"spec": {"tolerations": [{"key": "k", "operator": "Exists"}]}}}}),
            json!({"spec": {"template": {"spec": {"tolerations": []}}}}),
        ],
        vec![
            json!({"spec": {"template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}}}),
            json!({"spec": {"template": {"spec": {"volumes": [{"name": "v", "configMap": {"name": "c"}}]}}}}),
        ],
        vec![
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
            json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": "50%"}}}}),
        ],
        vec![json!({"spec": {"paused": true}}), json!({"spec": {"paused": null}})],
    ];
    let base = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "sampan/hello:v1"}]},
        }},
    });
    Kind { resource: "deployments.apps", base, parts }
}

fn kinds() -> Vec<Kind> {
    let data = |key: &str, value: &str| json!({"data": {key: value}});
    let config_map = Kind {
        resource: "configmaps",
        base: json!({"apiVersion": "v1", "kind": "ConfigMap"}),
        parts: vec![
            vec![data("a", "1"), data("a", "2")],
            vec![data("b", ""), data("b", "x\ny\n")],
            vec![json!({"binaryData": {"c": "AAEC"}}), json!({"binaryData": {"c": ""}})],
            vec![data("d", "ü"), json!({"data": {}}), json!({"data": null})],
        ],
    };
    let port = |number: u16, name: &str| json!({"spec": {"ports": [{"port": number, "name": name}]}});
    let service = Kind {
        resource: "services",
        base: json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "name": "http"}]}}),
        parts: vec![
            vec![port(443, "https"), port(443, "tls")],
            vec![port(53, "dns"), json!({"spec": {"ports": [{"port": 53, "protocol": "UDP", "name": "udp"}]}})],
            vec![json!({"spec": {"selector": {"app": "a"}}}), json!({"spec": {"selector": {"app": "b", "tier": "c"}}})],
            vec![json!({"spec": {"sessionAffinity": "ClientIP"}})],
            vec![
                json!({"spec": {"externalIPs": ["10.0.0.1", "10.0.0.2"]}}),
                json!({"spec": {"externalIPs": ["10.0.0.2"]}}),
            ],
        ],
    };
    let rules = |verbs: &[&str]| json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]});
    let role = Kind {
        resource: "roles.rbac.authorization.k8s.io",
        base: json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}),
        parts: vec![vec![rules(&["get"]), rules(&["get", "list"]), json!({"rules": []})]],
    };
    let item = |name: &str, size: u64| json!({"spec": {"items": [{"name": name, "size": size}]}});
    let widget = Kind {
        resource: "widgets.example.com",
        base: json!({"apiVersion": "example.com/v1", "kind": "Widget"}),
        parts: vec![
            vec![item("a", 1), item("a", 2)],
            vec![item("b", 1)],
            vec![json!({"spec": {"tags": ["x", "y"]}}), json!({"spec": {"tags": ["y"]}})],
            vec![json!({"spec": {"whole": {"p": 1}}}), json!({"spec": {"whole": {"q": [1, 2]}}})],
            vec![
                json!({"spec": {"any": {"deep": {"er": 1.5}}}}),
                json!({"spec": {"any": {"deep": null, "list": [{}]}}}),
            ],
            vec![json!({"spec": {"count": 7}}), json!({"spec": {"count": -7}})],
        ],
    };
    let mut all = vec![config_map, deployment(), service, role, widget];
    all.iter_mut().for_each(|kind| kind.parts.extend(metadata()));
    all
}

const WIDGETS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              count: {type: integer, minimum: 0}
              any: {type: object, x-kubernetes-preserve-unknown-fields: true}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              whole: {type: object, x-kubernetes-map-type: atomic, x-kubernetes-preserve-unknown-fields: true}
              items:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, size: {type: integer, default: 3}}
"#;

/// Puts a part into a manifest. Items of lists with one name are one item.
fn merge(into: &mut Value, part: &Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (name, value) in part {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(part)) => {
            for item in part {
                let name = item.get("name");
                match into.iter_mut().find(|one| name.is_some() && one.get("name") == name) {
                    Some(same) => merge(same, item),
                    None => into.push(item.clone()),
                }
            }
        }
        (into, part) => *into = part.clone(),
    }
}

/// What one manager says of one object: which way of each part, if any.
type Said = BTreeMap<usize, usize>;

fn manifest(kind: &Kind, name: &str, said: &Said) -> Value {
    let mut manifest = kind.base.clone();
    merge(&mut manifest, &json!({"metadata": {"name": name}}));
    said.iter().for_each(|(part, way)| merge(&mut manifest, &kind.parts[*part][*way]));
    manifest
}

/// Changes some parts: another way, or none.
fn edit(dice: &mut Dice, kind: &Kind, said: &mut Said) {
    for _ in 0..=dice.roll(2) {
        let part = dice.roll(kind.parts.len() as u64) as usize;
        if said.contains_key(&part) && dice.one_in(2) {
            said.remove(&part);
        } else {
            said.insert(part, dice.roll(kind.parts[part].len() as u64) as usize);
        }
    }
}

/// The outcome of an apply, as far as both programs tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Applied,
    Conflict,
    Refused,
}

fn outcome(output: &Output) -> Outcome {
    let text = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Outcome::Applied,
        false if text.contains("conflict with") || text.contains("conflicts with") => Outcome::Conflict,
        false => Outcome::Refused,
    }
}

struct Edits<'a> {
    sampan: &'a Sampan,
    file: String,
}

impl Edits<'_> {
    fn kubectl(&self, namespace: &str, manager: &str, forced: bool) -> Output {
        let manager = format!("--field-manager={manager}");
        let mut arguments =
            vec!["apply", "--server-side", "--validate=strict", "-n", namespace, &manager, "-f", &self.file];
        if forced {
            arguments.push("--force-conflicts");
        }
        self.sampan.kubectl_output("1.35", &arguments)
    }

    fn ours(&self, namespace: &str, forced: bool) -> Output {
        let mut arguments = vec!["apply", "-n", namespace, "-f", &self.file];
        if forced {
            arguments.push("--force-conflicts");
        }
        self.sampan.command(&arguments).output().expect("it starts")
    }

    /// The manifest applied to both sides: by the two programs where it is sampan's own manager, by kubectl where it is
    /// another.
    fn apply(&self, manifest: &Value, manager: &str, forced: bool) -> [Output; 2] {
        std::fs::write(&self.file, manifest.to_string()).expect("written");
        let [ours, theirs] = SIDES;
        let own = manager == MANAGERS[0];
        let first = if own { self.ours(ours, forced) } else { self.kubectl(ours, manager, forced) };
        [first, self.kubectl(theirs, manager, forced)]
    }

    fn objects(&self, kind: &Kind) -> [Value; 2] {
        SIDES.map(|side| {
            let arguments = ["-n", side, kind.resource, "--show-managed-fields"];
            let mut list = self.sampan.get(&arguments).expect("a list");
            let mut items = list["items"].take();
            items.as_array_mut().expect("items").retain(|item| item["metadata"]["name"] != "kube-root-ca.crt");
            timeless(&mut items);
            items
        })
    }
}

/// Takes off what differs between any two objects, the order of their managers included.
fn timeless(value: &mut Value) {
    const OWN: [&str; 8] = [
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "time",
        "clusterIP",
        "clusterIPs",
        "deletionTimestamp",
    ];
    match value {
        Value::Object(members) => {
            OWN.iter().for_each(|name| drop(members.remove(*name)));
            members.values_mut().for_each(timeless);
            // Which stand in the order of their times, whole seconds, and of their managers within one.
            if let Some(Value::Array(entries)) = members.get_mut("managedFields") {
                entries.sort_by_cached_key(Value::to_string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

fn differing(ours: &Value, theirs: &Value) -> String {
    let lines = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (ours, theirs) = (lines(ours), lines(theirs));
    let at = ours.lines().zip(theirs.lines()).take_while(|(a, b)| a == b).count().saturating_sub(5);
    let part = |text: &str| text.lines().skip(at).take(20).collect::<Vec<_>>().join("\n");
    format!("ours:\n{}\ntheirs:\n{}", part(&ours), part(&theirs))
}

#[test]
fn random_edits_end_in_the_same_objects_as_kubectls() {
    let seed = std::env::var("SAMPAN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("seed {seed}");
    let folder = tempfile::tempdir().expect("a folder");
    // Nobody else writes: no controller, no scheduler.
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    sampan.kubectl_stdin("1.35", &["create", "-f", "-"], WIDGETS);
    sampan.kubectl("1.35", &["wait", "--for=condition=Established", "crd/widgets.example.com"]);
    SIDES.iter().for_each(|side| drop(sampan.kubectl("1.35", &["create", "namespace", side])));
    let edits = Edits { sampan: &sampan, file: file(folder.path()) };
    let (kinds, mut dice) = (kinds(), Dice::new(seed));
    let mut said: BTreeMap<(usize, &str, &str), Said> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for number in 1..=EDITS {
        let at = dice.roll(kinds.len() as u64) as usize;
        let (kind, name) = (&kinds[at], ["one", "two"][dice.roll(2) as usize]);
        let manager = MANAGERS[usize::from(dice.one_in(3))];
        let forced = dice.one_in(4);
        let before = said.get(&(at, name, manager)).cloned().unwrap_or_default();
        let mut after = before.clone();
        edit(&mut dice, kind, &mut after);
        let manifest = manifest(kind, name, &after);
        let [ours, theirs] = edits.apply(&manifest, manager, forced);
        let outcomes = [&ours, &theirs].map(outcome);
        let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        let what = format!("seed {seed}, edit {number} by {manager}, forced {forced}: {manifest}");
        assert_eq!(outcomes[0], outcomes[1], "{what}\n{}\n{}", text(&ours), text(&theirs));
        *counts.entry(format!("{:?}{}", outcomes[0], if forced { " forced" } else { "" })).or_insert(0) += 1;
        if outcomes[0] == Outcome::Applied {
            said.insert((at, name, manager), after);
        }
        if number % COMPARED_EVERY == 0 {
            for kind in &kinds {
                let [ours, theirs] = edits.objects(kind);
                assert!(ours == theirs, "{what}\n{}:\n{}", kind.resource, differing(&ours, &theirs));
            }
        }
    }
    println!("{counts:?}");
    for outcome in ["Applied", "Applied forced", "Conflict", "Refused"] {
        assert!(counts.get(outcome).is_some_and(|count| *count >= 3), "too few of {outcome}: {counts:?}");
    }
    assert!(counts["Applied"] + counts["Applied forced"] > EDITS / 2, "{counts:?}");
    assert!(sampan.interrupt().success());
}

fn file(folder: &Path) -> String {
    folder.join("manifest.json").to_string_lossy().into_owned()
}

#[test]
fn parts_come_together() {
    let mut whole = json!({"a": [{"name": "x", "v": 1}], "m": {"k": 1}});
    merge(&mut whole, &json!({"a": [{"name": "x", "w": 2}, {"name": "y"}], "m": {"l": null}}));
    assert_eq!(whole, json!({"a": [{"name": "x", "v": 1, "w": 2}, {"name": "y"}], "m": {"k": 1, "l": null}}));
    let kind = deployment();
    let both = manifest(&kind, "n", &BTreeMap::from([(1, 0), (2, 1)]));
    let env = both.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array).map(Vec::len);
    assert_eq!((env, both.pointer("/spec/template/spec/containers/1")), (Some(2), None));
    let mut value = json!({"metadata": {"uid": "1", "name": "n"}, "items": [{"time": "t"}], "managedFields": [
        {"manager": "b", "time": "1"}, {"manager": "a", "time": "2"},
    ]});
    timeless(&mut value);
    let managers = json!([{"manager": "a"}, {"manager": "b"}]);
    assert_eq!(value, json!({"metadata": {"name": "n"}, "items": [{}], "managedFields": managers}));
    assert!(differing(&json!({"a": 1}), &json!({"a": 2})).contains("theirs"));
}
