//! The operations of rows of the resource table, whatever version of OpenAPI they are written in.

use super::parameters::{self, Parameter};
use crate::negotiate::{JSON, SERVED, SERVED_WITHOUT_SCHEMA};
use sampan_api::GroupVersionKind;
use sampan_registry::resource::{Subresource, SubresourceBody};
use sampan_registry::{Resource, Verbs};
use sampan_schema::ObjectType;
use sampan_schema::openapi::Definitions;
use serde_json::{Value, json};

/// One method at one path.
#[derive(Debug)]
pub(super) struct Operation {
    /// In lower case.
    pub method: &'static str,
    /// `x-kubernetes-action`; empty where no resource is named.
    pub action: &'static str,
    /// `listCoreV1NamespacedPod`: unique within all documents.
    pub id: String,
    /// For people.
    pub description: String,
    /// The kind that it is about.
    pub kind: Option<GroupVersionKind>,
    /// What operations are grouped by: `core_v1`.
    pub tag: String,
    /// Of the query, and those of the path that its other operations do not have.
    pub parameters: Vec<Parameter>,
    /// The body that is sent.
    pub body: Option<Payload>,
    /// What is answered when it is done.
    pub answer: Answer,
    /// The codes of that answer.
    pub codes: &'static [u16],
    /// Media types of the body.
    pub consumes: &'static [&'static str],
    /// Media types of the answer.
    pub produces: &'static [&'static str],
}

/// A body that is sent.
#[derive(Debug)]
pub(super) struct Payload {
    /// The definition's name.
    pub definition: String,
    /// Without it the request is refused.
    pub required: bool,
}

/// The content of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    Definition(String),
    Text,
}

/// All methods at one path.
#[derive(Debug)]
pub(super) struct PathItem {
    /// With its variables in braces.
    pub path: String,
    /// Of the path itself and of all its operations.
    pub parameters: Vec<Parameter>,
    /// One a method.
    pub operations: Vec<Operation>,
}

const ANY: &[&str] = &["*/*"];
const STREAMED: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const LOGS: &[&str] = &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Of kinds that a structural schema describes.
const STRUCTURAL_PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// `CoreV1`, `AppsV1`, `RbacAuthorizationV1`.
fn group_word(group: &str, version: &str) -> String {
    words(group).chain([version]).map(capital).collect()
}

fn words(group: &str) -> impl Iterator<Item = &str> {
    let group = if group.is_empty() { "core" } else { group };
    group.trim_end_matches(".k8s.io").split(['.', '-'])
}

/// `core_v1`, `rbacAuthorization_v1`; without a version the group's own word.
fn tag(group: &str, version: &str) -> String {
    let mut tag = String::new();
    for word in words(group) {
        tag.push_str(&if tag.is_empty() { word.to_owned() } else { capital(word) });
    }
    if version.is_empty() { tag } else { format!("{tag}_{version}") }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

impl PathItem {
    /// What all operations take is the path's.
    fn new(path: String, kind: &str, mut operations: Vec<Operation>) -> Self {
        let mut shared: Vec<Parameter> = operations.first().map(|one| one.parameters.clone()).unwrap_or_default();
        shared.retain(|one| operations.iter().all(|operation| operation.parameters.contains(one)));
        for operation in &mut operations {
            operation.parameters.retain(|one| !shared.contains(one));
        }
        shared.extend(parameters::path(&path, kind));
        shared.sort_by(|a, b| (&a.name, a.place).cmp(&(&b.name, b.place)));
        Self { path, parameters: shared, operations }
    }
}

/// A path that lists what is below it: `/apis/apps/v1/`, `/apis/apps/`, `/apis/`.
pub(super) fn index(
    path: &str,
    id: &str,
    tag: &str,
    description: &str,
    definition: String,
    media_types: &'static [&'static str],
) -> PathItem {
    let operation = Operation { consumes: media_types, ..reading(id, tag, description, media_types) };
    PathItem::new(path.to_owned(), "", vec![Operation { answer: Answer::Definition(definition), ..operation }])
}

/// A path that answers with a text.
pub(super) fn text(path: &str, id: &str, tag: &str, description: &str, produces: &'static [&'static str]) -> PathItem {
    PathItem::new(path.to_owned(), "", vec![reading(id, tag, description, produces)])
}

/// A GET of what is of no kind, which answers with a text.
fn reading(id: &str, tag: &str, description: &str, produces: &'static [&'static str]) -> Operation {
    Operation {
        method: "get",
        action: "",
        id: id.to_owned(),
        description: description.to_owned(),
        kind: None,
        tag: tag.to_owned(),
        parameters: Vec::new(),
        body: None,
        answer: Answer::Text,
        codes: &[200],
        consumes: &[],
        produces,
    }
}

/// The index of a group and version.
pub(super) fn of_group_version(group: &str, version: &str, base: &str, definition: String) -> PathItem {
    let id = format!("get{}APIResources", group_word(group, version));
    index(&format!("{base}/"), &id, &tag(group, version), "get available resources", definition, &SERVED)
}

/// The index of a group.
pub(super) fn of_group(group: &str, definition: String) -> PathItem {
    let id = format!("get{}APIGroup", group_word(group, ""));
    index(&format!("/apis/{group}/"), &id, &tag(group, ""), "get information of a group", definition, &SERVED)
}

/// Makes the operations of one row.
pub(super) struct Row<'a> {
    row: &'a Resource,
    /// `/apis/apps/v1`
    base: String,
    word: String,
    /// Definitions of the kind, of its list, and of what all kinds use.
    kind: String,
    list: String,
    status: String,
    delete_options: String,
    event: String,
    patch: &'static str,
    definitions: &'a mut Definitions,
}

fn meta(definitions: &mut Definitions, kind: &str) -> String {
    sampan_schema::meta::find(kind).map(|ty| definitions.add(&ty)).unwrap_or_default()
}

fn define(definitions: &mut Definitions, ty: Option<&ObjectType>, kind: &GroupVersionKind) -> String {
    match ty {
        Some(ty) => definitions.add(ty),
        None => definitions.add_untyped(&kind.group, &kind.version, &kind.kind),
    }
}

/// What apiextensions-apiserver says of a defined kind and of its list beside their schemas.
fn describe_defined(row: &Resource, kind: &str, list: &str, definitions: &mut Definitions) {
    const CONVENTIONS: &str = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
    let (plural, kinds) = (&row.resource, &row.list_kind);
    let mut of_list = json!({
        "description": format!("{kinds} is a list of {}", row.kind),
        "properties": {
            "items": {"description": format!("List of {plural}. More info: {CONVENTIONS}")},
            "metadata": {"description": format!("Standard list metadata. More info: {CONVENTIONS}#types-kinds")},
        },
    });
    // Those of other versions, which the stored one's row has too, are nobody's to select by: they hold a slash.
    let labels = row.selectable.iter().map(|field| &*field.label).filter(|label| !label.contains('/'));
    let selectable: Vec<Value> = labels.map(|label| json!({"fieldPath": label})).collect();
    if !selectable.is_empty() {
        of_list["x-kubernetes-selectable-fields"] = selectable.clone().into();
        definitions.say(kind, json!({"x-kubernetes-selectable-fields": selectable}));
    }
    definitions.say(list, of_list);
}

impl<'a> Row<'a> {
    /// Adds what the row's operations refer to.
    pub fn new(row: &'a Resource, definitions: &'a mut Definitions) -> Self {
        let gvk = row.gvk();
        let list_kind = GroupVersionKind { kind: row.list_kind.to_string(), ..gvk.clone() };
        let list_type =
            row.ty.as_ref().and_then(|ty| ObjectType::find(ty.schema(), &gvk.group, &gvk.version, &list_kind.kind));
        let lists = row.verbs.contains(Verbs::LIST) || row.verbs.contains(Verbs::WATCH);
        let kind = define(definitions, row.ty.as_ref(), &gvk);
        let list = if lists { define(definitions, list_type.as_ref(), &list_kind) } else { String::new() };
        if row.defined {
            describe_defined(row, &kind, &list, definitions);
        }
        Self {
            base: row.gvr().base_path(),
            word: group_word(&row.group, &row.version),
            kind,
            list,
            status: meta(definitions, "Status"),
            delete_options: meta(definitions, "DeleteOptions"),
            event: meta(definitions, "WatchEvent"),
            patch: definitions.add_patch(),
            row,
            definitions,
        }
    }

    fn structural(&self) -> bool {
        !self.row.ty.as_ref().is_some_and(|ty| ty.def().has_protobuf())
    }

    fn namespaced(&self) -> &'static str {
        if self.row.namespaced { "Namespaced" } else { "" }
    }

    /// The path of the collection, with its namespace.
    fn at(&self, prefix: &str) -> String {
        let namespace = if self.row.namespaced { "/namespaces/{namespace}" } else { "" };
        format!("{}{prefix}{namespace}/{}", self.base, self.row.resource)
    }

    /// All paths of the row.
    pub fn items(mut self) -> Vec<PathItem> {
        let mut items = vec![self.collection(), self.object()];
        if self.row.namespaced && self.row.verbs.contains(Verbs::LIST) {
            let id = format!("list{}{}ForAllNamespaces", self.word, self.row.kind);
            let list = self.list_operation(id);
            items.push(self.item(format!("{}/{}", self.base, self.row.resource), vec![list]));
        }
        // The old paths of watches are those of built-in kinds.
        if self.row.verbs.contains(Verbs::WATCH) && !self.structural() {
            items.extend(self.watches());
        }
        let row = self.row;
        for one in &row.subresources {
            items.extend(self.below(one));
        }
        items.retain(|item| !item.operations.is_empty());
        items
    }

    fn item(&self, path: String, operations: Vec<Operation>) -> PathItem {
        PathItem::new(path, &self.row.kind, operations)
    }

    /// An operation on the row's own kind, which is read by `GET`.
    fn operation(&self, method: &'static str, action: &'static str, id: String, description: String) -> Operation {
        let structural = self.structural();
        Operation {
            method,
            action,
            id,
            description,
            kind: Some(self.row.gvk()),
            tag: tag(&self.row.group, &self.row.version),
            parameters: parameters::query(if structural { parameters::GET_CUSTOM } else { parameters::GET }),
            body: None,
            answer: Answer::Definition(self.kind.clone()),
            codes: &[200],
            consumes: if structural { &SERVED_WITHOUT_SCHEMA } else { ANY },
            produces: if structural { &SERVED_WITHOUT_SCHEMA } else { &SERVED },
        }
    }

    fn list_operation(&self, id: String) -> Operation {
        let text = format!("list or watch objects of kind {}", self.row.kind);
        let mut operation = self.operation("get", "list", id, text);
        operation.parameters = parameters::query(parameters::LIST);
        operation.answer = Answer::Definition(self.list.clone());
        operation.produces = self.streamed();
        operation
    }

    fn streamed(&self) -> &'static [&'static str] {
        if self.structural() { &STREAMED[..2] } else { STREAMED }
    }

    /// A create, an update or a patch of bodies of a definition.
    fn write(&self, mut operation: Operation, body: &str) -> Operation {
        let method = operation.method;
        operation.parameters = parameters::query(if method == "patch" { parameters::PATCH } else { parameters::WRITE });
        operation.codes = if method == "post" { &[200, 201, 202] } else { &[200, 201] };
        let definition = if method == "patch" { self.patch } else { body };
        operation.body = Some(Payload { definition: definition.to_owned(), required: true });
        operation.answer = Answer::Definition(body.to_owned());
        if method == "patch" {
            operation.consumes = if self.structural() { STRUCTURAL_PATCHES } else { PATCHES };
        }
        operation
    }

    fn deletion(&self, mut operation: Operation, names: &[&'static str], codes: &'static [u16]) -> Operation {
        operation.parameters = parameters::query(names);
        operation.body = Some(Payload { definition: self.delete_options.clone(), required: false });
        operation.answer = Answer::Definition(self.status.clone());
        operation.codes = codes;
        operation
    }

    fn collection(&self) -> PathItem {
        let (kind, word, verbs) = (&self.row.kind, &self.word, self.row.verbs);
        let namespaced = self.namespaced();
        let mut operations = Vec::new();
        if verbs.contains(Verbs::LIST) {
            operations.push(self.list_operation(format!("list{word}{namespaced}{kind}")));
        }
        if verbs.contains(Verbs::CREATE) {
            let text = format!("create {} {kind}", article(kind));
            let operation = self.operation("post", "post", format!("create{word}{namespaced}{kind}"), text);
            operations.push(self.write(operation, &self.kind));
        }
        if verbs.contains(Verbs::DELETE_COLLECTION) {
            let id = format!("delete{word}Collection{namespaced}{kind}");
            let operation = self.operation("delete", "deletecollection", id, format!("delete collection of {kind}"));
            operations.push(self.deletion(operation, parameters::DELETE_COLLECTION, &[200]));
        }
        self.item(self.at(""), operations)
    }

    fn object(&self) -> PathItem {
        let (kind, word, verbs) = (&self.row.kind, &self.word, self.row.verbs);
        let id = |verb: &str| format!("{verb}{word}{}{kind}", self.namespaced());
        let mut operations = Vec::new();
        if verbs.contains(Verbs::GET) {
            operations.push(self.operation("get", "get", id("read"), format!("read the specified {kind}")));
        }
        if verbs.contains(Verbs::UPDATE) {
            let operation = self.operation("put", "put", id("replace"), format!("replace the specified {kind}"));
            operations.push(self.write(operation, &self.kind));
        }
        if verbs.contains(Verbs::PATCH) {
            let text = format!("partially update the specified {kind}");
            operations.push(self.write(self.operation("patch", "patch", id("patch"), text), &self.kind));
        }
        if verbs.contains(Verbs::DELETE) {
            let operation =
                self.operation("delete", "delete", id("delete"), format!("delete {} {kind}", article(kind)));
            let answer = if self.row.strategy.returns_deleted_object() { &self.kind } else { &self.status };
            let operation = self.deletion(operation, parameters::DELETE, &[200, 202]);
            operations.push(Operation { answer: Answer::Definition(answer.clone()), ..operation });
        }
        self.item(format!("{}/{{name}}", self.at("")), operations)
    }

    fn watches(&self) -> Vec<PathItem> {
        let (kind, word) = (&self.row.kind, &self.word);
        let namespaced = self.namespaced();
        let watch = |action: &'static str, id: String, text: String| {
            let mut operation = self.operation("get", action, id, text);
            operation.parameters = parameters::query(parameters::LIST);
            operation.answer = Answer::Definition(self.event.clone());
            operation.produces = self.streamed();
            operation
        };
        let text = "deprecated: use the 'watch' parameter with a list operation instead.";
        let of_list = format!("watch individual changes to a list of {kind}. {text}");
        let mut items = Vec::new();
        if self.row.verbs.contains(Verbs::LIST) {
            let operation = watch("watchlist", format!("watch{word}{namespaced}{kind}List"), of_list.clone());
            items.push(self.item(self.at("/watch"), vec![operation]));
            if self.row.namespaced {
                let operation = watch("watchlist", format!("watch{word}{kind}ListForAllNamespaces"), of_list);
                items.push(self.item(format!("{}/watch/{}", self.base, self.row.resource), vec![operation]));
            }
        }
        let of_one = format!(
            "watch changes to an object of kind {kind}. deprecated: use the 'watch' parameter with a list operation instead, filtered to a single item with the 'fieldSelector' parameter."
        );
        let operation = watch("watch", format!("watch{word}{namespaced}{kind}"), of_one);
        items.push(self.item(format!("{}/{{name}}", self.at("/watch")), vec![operation]));
        items
    }

    /// The paths of a subresource.
    fn below(&mut self, one: &Subresource) -> Vec<PathItem> {
        let path = format!("{}/{{name}}/{}", self.at(""), one.name);
        if matches!(one.body, SubresourceBody::Connect(_)) {
            return self.stream(one, &path);
        }
        let gvk = one.kind.clone().unwrap_or_else(|| self.row.gvk());
        let own = one.kind.is_none();
        let body = if own { self.kind.clone() } else { define(self.definitions, one.ty.as_ref(), &gvk) };
        let (kind, sub) = (&self.row.kind, &one.name);
        let id = |verb: &str| format!("{verb}{}{}{kind}{}", self.word, self.namespaced(), capital(sub));
        let all = [
            (Verbs::GET, "get", "read", format!("read {sub} of the specified {kind}")),
            (Verbs::CREATE, "post", "create", format!("create {sub} of {} {kind}", article(kind))),
            (Verbs::UPDATE, "put", "replace", format!("replace {sub} of the specified {kind}")),
            (Verbs::PATCH, "patch", "patch", format!("partially update {sub} of the specified {kind}")),
        ];
        let mut operations = Vec::new();
        for (_, method, verb, text) in all.into_iter().filter(|(verb, ..)| one.verbs.contains(*verb)) {
            let mut operation = self.operation(method, method, id(verb), text);
            operation.kind = Some(if self.row.defined { self.row.gvk() } else { gvk.clone() });
            operation.answer = Answer::Definition(body.clone());
            operations.push(if method == "get" { operation } else { self.write(operation, &body) });
        }
        vec![PathItem::new(path, &gvk.kind, operations)]
    }

    /// The paths of a stream: of one that is read only, as a log is, and of others.
    fn stream(&self, one: &Subresource, path: &str) -> Vec<PathItem> {
        let (kind, sub) = (&self.row.kind, capital(&one.name));
        let gvk = one.kind.clone().unwrap_or_else(|| self.row.gvk());
        let options = match &one.kind {
            Some(_) => one.ty.clone(),
            None => self.row.ty.as_ref().and_then(|ty| {
                ObjectType::find(ty.schema(), &self.row.group, &self.row.version, &format!("{kind}{sub}Options"))
            }),
        };
        let mut parameters = options.as_ref().map(parameters::of_options).unwrap_or_default();
        if one.kind.is_none() {
            let id = format!("read{}{}{kind}{sub}", self.word, self.namespaced());
            let text = format!("read {} of the specified {kind}", one.name);
            let mut operation = self.operation("get", "get", id, text);
            parameters.extend(parameters::query(parameters::GET));
            (operation.parameters, operation.answer, operation.produces) = (parameters, Answer::Text, LOGS);
            return vec![self.item(path.to_owned(), vec![operation])];
        }
        let methods = [
            (Verbs::DELETE, "delete"),
            (Verbs::GET, "get"),
            // What forwards whatever is asked forwards these too.
            (Verbs::DELETE, "head"),
            (Verbs::DELETE, "options"),
            (Verbs::PATCH, "patch"),
            (Verbs::CREATE, "post"),
            (Verbs::UPDATE, "put"),
        ];
        let item = |path: String, ending: &str| {
            let served = methods.iter().filter(|(verb, _)| one.verbs.contains(*verb));
            let operations = served.map(|(_, method)| {
                let id = format!("connect{}{}{}{kind}{sub}{ending}", self.word, capital(method), self.namespaced());
                let text = format!("connect {} requests to {} of {kind}", method.to_ascii_uppercase(), one.name);
                let mut operation = self.operation(method, "connect", id, text);
                operation.kind = Some(gvk.clone());
                operation.parameters = parameters.clone();
                operation.answer = Answer::Text;
                (operation.consumes, operation.produces) = (ANY, ANY);
                operation
            });
            PathItem::new(path, &gvk.kind, operations.collect())
        };
        let mut items = vec![item(path.to_owned(), "")];
        if one.verbs.contains(Verbs::DELETE) {
            items.push(item(format!("{path}/{{path}}"), "WithPath"));
        }
        items
    }
}

/// `/version/`, whose answer no kind has.
pub(super) fn version(definition: &str) -> PathItem {
    let text = "get the version information for this server";
    index("/version/", "getCodeVersion", "version", text, definition.to_owned(), &[JSON])
}
