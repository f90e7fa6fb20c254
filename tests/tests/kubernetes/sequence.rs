//! Sequences of requests by chance, over one resource each: a case is a function of its number and the seed.

use http::Method;
use sampan_schema::{Schema, Shape, Type};
use sampan_testing::Dice;
use serde_json::{Value, json};

use crate::corpus::{Corpus, NAMESPACE, Resource};
use crate::edit::{Editor, merge};

/// Requests of a case after the first.
const REQUESTS_MAX: u64 = 9;
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
/// The revision and the UID of the object that was answered last.
pub const REVISION: &str = "${rv}";
pub const UID: &str = "${uid}";

/// Groups and kinds whose objects change what the servers do with others: written as dry runs alone. Definitions, APIServices and
/// ranges get their status by controllers of the server itself, at times of its own.
const DRY: &[&str] = &[
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "apiservices.apiregistration.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "servicecidrs.networking.k8s.io",
];

/// What a request sends.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    Text(String),
    /// The object that was answered last, edited so often by this chance.
    Edited {
        chance: u64,
        times: usize,
    },
}

/// One request. Texts have the case's namespace, and the last object's revision and UID, as `${...}`.
#[derive(Clone, Debug)]
pub struct Step {
    pub method: Method,
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub content_type: Option<&'static str>,
    pub accept: Option<&'static str>,
    pub body: Body,
}

impl Step {
    fn new(method: Method, path: String) -> Self {
        Self { method, path, query: Vec::new(), content_type: None, accept: None, body: Body::None }
    }

    fn with(self, content_type: &'static str, body: &Value) -> Self {
        Self { content_type: Some(content_type), body: Body::Text(body.to_string()), ..self }
    }

    fn edited(self, chance: u64, times: usize) -> Self {
        Self { content_type: Some(JSON), body: Body::Edited { chance, times }, ..self }
    }

    fn ask(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    fn writes(&self) -> bool {
        self.method != Method::GET
    }
}

/// Requests that are made one after the other.
#[derive(Clone, Debug)]
pub struct Case {
    /// Of the corpus' resources.
    pub resource: usize,
    pub chance: u64,
    pub steps: Vec<Step>,
    /// Whether nothing else may be asked meanwhile: what the resource's objects hold is held for the whole cluster.
    pub alone: bool,
    /// Whether the events of the case are compared too.
    pub watched: bool,
}

struct Sequence<'a> {
    corpus: &'a Corpus,
    resource: &'a Resource,
    edit: Editor<'a>,
    dry: bool,
}

/// A case of a resource.
pub fn case(corpus: &Corpus, resource: usize, chance: u64) -> Case {
    let mut dice = Dice::new(chance);
    let of = &corpus.resources[resource];
    let dry = DRY.contains(&of.name().as_str());
    let count = 1 + dice.roll(REQUESTS_MAX);
    let alone = !of.namespaced || of.plural == "services";
    let watched = of.has("watch") && !dry && dice.one_in(if alone { 30 } else { 6 });
    let edit = Editor { dice: &mut dice, words: &corpus.words };
    let mut sequence = Sequence { corpus, resource: of, edit, dry };
    let mut steps = vec![sequence.first()];
    steps.extend((0..count).map(|_| sequence.next()));
    Case { resource, chance, steps, alone, watched }
}

impl Sequence<'_> {
    fn one_in(&mut self, n: u64) -> bool {
        self.edit.dice.one_in(n)
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        self.edit.pick(from).copied().unwrap_or_default()
    }

    fn name(&mut self) -> String {
        let name = if self.one_in(5) { "b" } else { "a" };
        if self.resource.namespaced { name.to_owned() } else { format!("{NAMESPACE}-{name}") }
    }

    /// An object that the real server takes, under a name of the case.
    fn object(&mut self) -> Value {
        let mut object = self.edit.pick(&self.resource.objects).cloned().unwrap_or_else(|| {
            let made = self.edit.object(self.resource.id, 0);
            let mut made = Value::Object(made);
            merge(&mut made, &json!({"apiVersion": self.resource.api_version(), "kind": self.resource.kind}));
            made
        });
        let kept = object["metadata"]["name"].as_str().is_some_and(|name| name.contains(['.', ':']));
        if !kept {
            merge(&mut object, &json!({"metadata": {"name": self.name()}}));
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("generateName");
            // Cluster-scoped objects of a case are told from others' by it.
            if !self.resource.namespaced {
                let labels = metadata.entry("labels").or_insert_with(|| json!({}));
                merge(labels, &json!({"case": NAMESPACE}));
            }
        }
        object
    }

    fn edits(&mut self) -> usize {
        [0, 1, 1, 1, 1, 2, 2, 3][self.edit.dice.roll(8) as usize]
    }

    fn edited_object(&mut self) -> Value {
        let mut object = self.object();
        for _ in 0..self.edits() {
            if let Value::Object(map) = &mut object {
                self.edit.edit(map, self.resource.id, 0);
            }
        }
        object
    }

    fn collection(&self) -> String {
        self.resource.path()
    }

    fn item(&mut self) -> String {
        let name = self.name();
        format!("{}/{name}", self.resource.path())
    }

    fn first(&mut self) -> Step {
        let object = if self.one_in(3) { self.object() } else { self.edited_object() };
        let step = Step::new(Method::POST, self.collection()).with(JSON, &object);
        self.options(step)
    }

    /// Parameters of writes.
    fn options(&mut self, mut step: Step) -> Step {
        if self.dry {
            step = step.ask("dryRun", "All");
        } else if self.one_in(12) {
            step = step.ask("dryRun", self.pick(&["All", "All", "None", ""]));
        }
        if self.one_in(3) {
            step = step.ask("fieldValidation", self.pick(&["Strict", "Strict", "Warn", "Ignore", "strict", ""]));
        }
        if self.one_in(10) && step.content_type != Some(APPLY) {
            step = step.ask("fieldManager", self.pick(&["me", "", "a/b", "Me%20too", "%0A"]));
        }
        if self.one_in(60) {
            step = step.ask("unknownParameter", "1");
        }
        if self.one_in(30) {
            step.accept = Some(self.accept());
        }
        step
    }

    fn accept(&mut self) -> &'static str {
        self.pick(&[
            "application/json;as=Table;v=v1;g=meta.k8s.io",
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "application/json;as=Table;v=v2;g=meta.k8s.io, application/json",
            "application/json;as=Foo;v=v1;g=meta.k8s.io",
            "text/html",
            "*/*",
            "application/*",
            "application/xml, application/json;q=0.5",
            "application/json;stream=watch",
        ])
    }

    fn next(&mut self) -> Step {
        match self.edit.dice.roll(40) {
            0..=6 => self.first(),
            7..=9 => self.get(),
            10..=12 => self.list(),
            13..=16 => self.update(),
            17..=21 => self.patch(),
            22..=25 => self.apply(),
            26..=28 => self.delete(),
            29 => self.delete_collection(),
            30..=33 => self.subresource(),
            34..=36 => self.bad(),
            _ => self.update_edited(),
        }
    }

    fn revision(&mut self) -> &'static str {
        // For one that is to come a server waits three seconds.
        if self.one_in(40) { "999999999" } else { self.pick(&["0", "1", "x", "-1", ""]) }
    }

    fn get(&mut self) -> Step {
        let mut step = Step::new(Method::GET, self.item());
        if self.one_in(2) {
            step.accept = Some(self.accept());
        }
        if self.one_in(4) {
            step = step.ask("resourceVersion", self.revision());
        }
        if self.one_in(8) {
            step = step.ask("pretty", "true");
        }
        step
    }

    fn list(&mut self) -> Step {
        let mut step = Step::new(Method::GET, self.collection());
        if self.one_in(3) {
            step.accept = Some(self.accept());
        }
        let labels = [
            "case=${ns}",
            "app=web",
            "app!=web",
            "app in (web,x)",
            "!app",
            "app",
            "a b",
            "=",
            "app in ()",
            "x/y/z=1",
            "app=,b",
            "a>1",
            "",
        ];
        if !self.resource.namespaced {
            step = step.ask("labelSelector", format!("case={NAMESPACE}"));
        } else if self.one_in(2) {
            step = step.ask("labelSelector", self.pick(&labels));
        }
        let fields = [
            "metadata.name=a",
            "metadata.name!=a",
            "metadata.namespace=${ns}",
            "spec.nodeName=",
            "status.phase=Pending",
            "spec.foo=1",
            "metadata.name",
            "type=Opaque",
            "metadata.name=a,metadata.name=b",
            "metadata.labels.a=b",
            "reason=x",
            "a==b",
            "\\",
            "",
        ];
        if self.one_in(3) {
            step = step.ask("fieldSelector", self.pick(&fields));
        }
        if self.one_in(3) {
            step = step.ask("limit", self.pick(&["1", "0", "-1", "x", "500", ""]));
        }
        if self.one_in(8) {
            step = step.ask(
                "continue",
                self.pick(&["x", "e30", "", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0"]),
            );
        }
        if self.one_in(4) {
            step = step.ask("resourceVersion", self.revision());
        }
        if self.one_in(6) {
            step = step.ask("resourceVersionMatch", self.pick(&["NotOlderThan", "Exact", "foo", ""]));
        }
        if self.one_in(14) {
            step = step.ask("timeoutSeconds", self.pick(&["1", "x", "-1", "1.5"]));
        }
        if self.one_in(14) {
            step = step.ask("watch", self.pick(&["false", "0"]));
        }
        if self.one_in(14) {
            step = step.ask("sendInitialEvents", self.pick(&["true", "false", "x"]));
        }
        if self.one_in(14) {
            step = step.ask("allowWatchBookmarks", self.pick(&["true", "x"]));
        }
        step
    }

    fn update(&mut self) -> Step {
        let object = self.edited_object();
        let mut path = format!("{}/{}", self.collection(), object["metadata"]["name"].as_str().unwrap_or("a"));
        if self.one_in(12) {
            path = self.item();
        }
        let step = Step::new(Method::PUT, path).with(JSON, &object);
        self.options(step)
    }

    fn update_edited(&mut self) -> Step {
        let chance = self.edit.dice.next_u64();
        let times = self.edits();
        let step = Step::new(Method::PUT, self.item()).edited(chance, times);
        self.options(step)
    }

    /// A part of an object: often one that it has, changed.
    fn part(&mut self) -> Value {
        if self.one_in(3) {
            return Value::Object(self.edit.part(self.resource.id, 0));
        }
        let mut object = self.edited_object();
        if let Value::Object(map) = &mut object {
            let keep: Vec<String> = map.keys().cloned().collect();
            if let Some(keep) = self.edit.pick(&keep).cloned() {
                map.retain(|name, _| *name == keep);
            }
            // Names and labels are the case's own.
            map.remove("metadata");
        }
        object
    }

    fn patch(&mut self) -> Step {
        let path = self.item();
        let (content_type, body) = match self.edit.dice.roll(5) {
            0 => (JSON_PATCH, self.json_patch()),
            1 | 2 => (MERGE, self.part()),
            _ => (STRATEGIC, self.strategic()),
        };
        let step = Step::new(Method::PATCH, path).with(content_type, &body);
        let mut step = self.options(step);
        if self.one_in(30) {
            step = step.ask("force", "true");
        }
        step
    }

    /// As a part, with directives.
    fn strategic(&mut self) -> Value {
        let mut part = self.part();
        if self.one_in(3) {
            self.direct(&mut part);
        }
        part
    }

    fn direct(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                let keys: Vec<String> = map.keys().cloned().collect();
                let key = self.edit.pick(&keys).cloned();
                match key {
                    Some(key) if !self.one_in(3) => {
                        if let Some(below) = map.get_mut(&key) {
                            self.direct(below);
                        }
                    }
                    key => drop(match self.edit.dice.roll(6) {
                        0 => map.insert("$patch".to_owned(), json!("replace")),
                        1 => map.insert("$patch".to_owned(), json!("delete")),
                        2 => map.insert("$patch".to_owned(), json!("bogus")),
                        3 => map.insert("$retainKeys".to_owned(), json!(keys)),
                        4 => map.insert(
                            format!("$setElementOrder/{}", key.unwrap_or_default()),
                            json!([{"name": "a"}, "b"]),
                        ),
                        _ => map.insert(format!("$deleteFromPrimitiveList/{}", key.unwrap_or_default()), json!(["a"])),
                    }),
                }
            }
            Value::Array(list) if !list.is_empty() => {
                if self.one_in(4) {
                    list.push(json!({"$patch": "replace"}));
                } else {
                    self.direct(&mut list[0]);
                }
            }
            _ => {}
        }
    }

    fn json_patch(&mut self) -> Value {
        let object = self.object();
        let mut pointers = Vec::new();
        places(&object, &mut String::new(), &mut pointers);
        pointers.extend(
            ["/spec/foo", "/metadata/labels/a~1b", "", "/x", "spec", "/metadata/annotations/a", "/spec/-"]
                .map(str::to_owned),
        );
        pointers.retain(|pointer| {
            !pointer.starts_with("/metadata/labels/case") && pointer != "/metadata" && pointer != "/metadata/labels"
        });
        let count = 1 + self.edit.dice.roll(2);
        let operation = |this: &mut Self| {
            let path = this.edit.pick(&pointers).cloned().unwrap_or_default();
            let from = this.edit.pick(&pointers).cloned().unwrap_or_default();
            let value = match this.one_in(2) {
                true => object.pointer(&from).cloned().unwrap_or(Value::Null),
                false => {
                    [json!("x"), json!(1), json!({}), json!([]), Value::Null][this.edit.dice.roll(5) as usize].clone()
                }
            };
            match this.edit.dice.roll(12) {
                0..=3 => json!({"op": "replace", "path": path, "value": value}),
                4..=6 => json!({"op": "add", "path": path, "value": value}),
                7 | 8 => json!({"op": "remove", "path": path}),
                9 => json!({"op": "test", "path": path, "value": value}),
                10 => json!({"op": this.pick(&["move", "copy"]), "path": path, "from": from}),
                _ => json!({"op": this.pick(&["bogus", "add", "remove"])}),
            }
        };
        (0..count).map(|_| operation(self)).collect()
    }

    fn apply(&mut self) -> Step {
        let mut object = if self.one_in(3) { self.object() } else { self.edited_object() };
        let name = object["metadata"]["name"].as_str().unwrap_or("a").to_owned();
        // Several managers say several things.
        if let Some(Value::Object(spec)) = object.get_mut("spec")
            && self.one_in(2)
        {
            let keys: Vec<String> = spec.keys().cloned().collect();
            if let Some(key) = self.edit.pick(&keys) {
                spec.remove(key);
            }
        }
        let mut step = Step::new(Method::PATCH, format!("{}/{name}", self.collection())).with(APPLY, &object);
        if !self.one_in(20) {
            step = step.ask("fieldManager", self.pick(&["one", "one", "two"]));
        }
        if self.one_in(3) {
            step = step.ask("force", self.pick(&["true", "true", "false", "x"]));
        }
        self.options(step)
    }

    fn delete(&mut self) -> Step {
        let mut step = Step::new(Method::DELETE, self.item());
        if self.one_in(2) {
            let options = match self.edit.dice.roll(9) {
                0 => json!({"propagationPolicy": self.pick(&["Foreground", "Background", "Orphan", "Bogus", ""])}),
                1 => json!({"gracePeriodSeconds": ([0, 5, -1][self.edit.dice.roll(3) as usize])}),
                2 => json!({"preconditions": {"uid": self.pick(&[UID, "x"])}}),
                3 => json!({"preconditions": {"resourceVersion": self.pick(&[REVISION, "1", "x"])}}),
                4 => json!({"orphanDependents": self.one_in(2)}),
                5 => json!({"orphanDependents": true, "propagationPolicy": "Background"}),
                6 => json!({"dryRun": ["All"]}),
                7 => json!({"dryRun": ["Some"]}),
                _ => {
                    json!({"kind": self.pick(&["DeleteOptions", "Pod"]), "apiVersion": self.pick(&["v1", "meta.k8s.io/v1", "apps/v1"]), "foo": 1})
                }
            };
            step = step.with(JSON, &options);
        }
        if self.one_in(6) {
            step = step.ask("propagationPolicy", self.pick(&["Foreground", "Background", "Orphan", "Bogus"]));
        }
        if self.one_in(10) {
            step = step.ask("gracePeriodSeconds", self.pick(&["0", "5", "x", "-1"]));
        }
        self.options(step)
    }

    fn delete_collection(&mut self) -> Step {
        let mut step = Step::new(Method::DELETE, self.collection());
        if !self.resource.namespaced {
            step = step.ask("labelSelector", format!("case={NAMESPACE}"));
        } else if self.one_in(2) {
            step = step.ask("labelSelector", self.pick(&["app=web", "a b", "!app"]));
        }
        if self.one_in(4) {
            step = step.ask("fieldSelector", self.pick(&["metadata.name=a", "spec.foo=1"]));
        }
        self.options(step)
    }

    fn subresource(&mut self) -> Step {
        let names: Vec<String> = self.resource.subresources.keys().cloned().collect();
        let Some(name) = self.edit.pick(&names).cloned() else { return self.get() };
        let resource = self.resource;
        let subresource = &resource.subresources[&name];
        let path = format!("{}/{name}", self.item());
        // Streams have no answer to compare.
        if matches!(&*name, "attach" | "exec" | "log" | "portforward" | "proxy") {
            return Step::new(Method::GET, format!("{path}x"));
        }
        let own = subresource.kind == resource.kind;
        let mut body = if own { self.object() } else { Value::Object(self.edit.object(subresource.id, 0)) };
        if !own {
            merge(&mut body, &json!({"apiVersion": subresource.api_version, "kind": subresource.kind}));
            let known = self.corpus.resources.iter().find(|one| one.id == subresource.id && !one.objects.is_empty());
            if let Some(known) = known.filter(|_| self.one_in(2)) {
                body = self.edit.pick(&known.objects).cloned().unwrap_or_default();
            }
            let spec = self.pick(&["replicas", "x"]);
            if subresource.kind == "Scale" && self.one_in(2) {
                body = json!({"apiVersion": subresource.api_version, "kind": "Scale", "metadata": {"name": "a"}, "spec": {spec: 2}});
            }
        } else if let Some(field) = Schema::builtin().field(resource.id, "status")
            && matches!((field.ty, field.shape), (Type::Struct(_), Shape::One))
        {
            let status = self.edit.value(field, 0);
            merge(&mut body, &json!({"status": status}));
        }
        let (method, content_type) = match subresource.verbs.iter().any(|verb| verb == "create") {
            true => (Method::POST, JSON),
            false => match self.edit.dice.roll(8) {
                0 => return Step::new(Method::GET, path),
                1 | 2 => (Method::PUT, JSON),
                3 => {
                    let (chance, times) = (self.edit.dice.next_u64(), self.edits());
                    let step = Step::new(Method::PUT, path).edited(chance, times);
                    return self.options(step);
                }
                4 => (Method::PATCH, APPLY),
                5 => (Method::PATCH, MERGE),
                _ => (Method::PATCH, STRATEGIC),
            },
        };
        let mut step = Step::new(method, path).with(content_type, &body);
        if content_type == APPLY {
            step = step.ask("fieldManager", "status-manager");
        }
        self.options(step)
    }

    /// What is no request of the resource.
    fn bad(&mut self) -> Step {
        let object = self.object();
        let text = object.to_string();
        let raw = |method: Method, path: String, content_type: &'static str, text: String| Step {
            content_type: Some(content_type),
            body: Body::Text(text),
            ..Step::new(method, path)
        };
        let (collection, item) = (self.collection(), self.item());
        let step = match self.edit.dice.roll(20) {
            0 => raw(Method::PUT, collection, JSON, text),
            1 => raw(Method::POST, item, JSON, text),
            2 => Step::new(Method::PATCH, collection),
            3 => Step::new(Method::GET, format!("{item}/nothing")),
            4 => raw(
                Method::POST,
                collection,
                self.pick(&["text/plain", "application/xml", "", "application/json; charset=utf-8", "json"]),
                text,
            ),
            5 => raw(
                Method::PATCH,
                item,
                self.pick(&["application/json", "text/plain", "application/apply-patch+cbor", ""]),
                text,
            ),
            6 => raw(
                Method::POST,
                collection,
                JSON,
                self.pick(&["", "{", "[]", "null", "1", "\"x\"", "{}", "{\"kind\":1}", "{\"a\":1,}"]).to_owned(),
            ),
            7 => raw(Method::POST, collection, JSON, duplicated(&text)),
            8 => raw(
                Method::POST,
                collection,
                "application/yaml",
                self.pick(&["a: [", "a: 1\na: 2\n", "- 1", "kind: x\n---\nkind: y\n", ""]).to_owned(),
            ),
            9 => raw(Method::POST, collection, "application/yaml", text),
            10 => raw(
                Method::PATCH,
                item,
                self.pick(&[MERGE, STRATEGIC, JSON_PATCH, APPLY]),
                self.pick(&["", "{", "[]", "null", "1", "{}", "[1]", "[{}]"]).to_owned(),
            ),
            11 => {
                let mut object = object;
                let wrong = match self.edit.dice.roll(7) {
                    0 => json!({"apiVersion": "v2"}),
                    1 => json!({"kind": "Other"}),
                    2 => json!({"metadata": {"namespace": "elsewhere"}}),
                    3 => json!({"metadata": {"name": self.pick(&["Upper", "a/b", "", "..", "-a", "a b", "a.b", "0"])}}),
                    4 => json!({"metadata": {"uid": "x", "resourceVersion": self.pick(&["1", "x", ""])}}),
                    5 => json!({"apiVersion": "", "kind": ""}),
                    _ => json!({"metadata": {"name": null, "generateName": self.pick(&["g-", "G_", ""])}}),
                };
                merge(&mut object, &wrong);
                raw(Method::POST, collection, JSON, object.to_string())
            }
            12 => Step::new(Method::GET, format!("{collection}//")),
            13 => Step::new(Method::GET, format!("{collection}/")),
            14 => raw(Method::POST, collection.replace(NAMESPACE, "nowhere"), JSON, text),
            15 => Step::new(Method::GET, collection.replace(&self.resource.version, "v9")),
            16 => Step::new(Method::GET, format!("{collection}x")),
            17 => Step::new(
                self.edit.pick(&[Method::OPTIONS, Method::HEAD, Method::TRACE]).cloned().unwrap_or_default(),
                item,
            ),
            18 => Step::new(
                Method::GET,
                format!("{}/{}", collection, self.pick(&["Upper", "a%2Fb", "%20", "..", "a%00"])),
            ),
            _ => raw(
                Method::DELETE,
                item,
                JSON,
                self.pick(&["{", "[]", "null", "{\"gracePeriodSeconds\":\"x\"}"]).to_owned(),
            ),
        };
        match step.writes() && self.dry {
            true => step.ask("dryRun", "All"),
            false => step,
        }
    }
}

/// The object with a key twice.
fn duplicated(text: &str) -> String {
    format!("{{\"metadata\":{{\"name\":\"a\",\"name\":\"b\"}},{}", text.trim_start_matches('{'))
}

/// The JSON pointers of all that is in a value.
fn places(value: &Value, at: &mut String, found: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let before = at.len();
        at.push('/');
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        found.push(at.clone());
        places(value, at, found);
        at.truncate(before);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(index, value)| below(&index.to_string(), value)),
        _ => {}
    }
}

/// An object as an edit by chance leaves it.
pub fn edited(corpus: &Corpus, resource: &Resource, object: &Value, chance: u64, times: usize) -> Value {
    let mut dice = Dice::new(chance);
    let mut edit = Editor { dice: &mut dice, words: &corpus.words };
    let mut object = object.clone();
    if let Value::Object(map) = &mut object {
        for _ in 0..times {
            edit.edit(map, resource.id, 0);
        }
    }
    object
}
