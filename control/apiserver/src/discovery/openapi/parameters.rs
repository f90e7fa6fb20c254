//! The parameters of operations.

use sampan_schema::{ObjectType, Shape, Type};
use std::borrow::Cow;

/// A parameter of a path or of its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// As it stands in the path or query.
    pub name: Cow<'static, str>,
    /// `path` or `query`.
    pub place: &'static str,
    /// For people.
    pub description: Cow<'static, str>,
    /// OpenAPI's type: `string`, `integer`, `boolean`.
    pub ty: &'static str,
}

const QUERY: [(&str, &str, &str); 21] = [
    (
        "accept",
        "string",
        "The media type of the answers of a watch over a WebSocket, with its parameters, as the Accept header has it (a semicolon is %3B in a query): a browser can set no header there.",
    ),
    (
        "allowWatchBookmarks",
        "boolean",
        "Asks for watch events of type \"BOOKMARK\", whose objects have nothing but a resourceVersion. Without a watch it means nothing.",
    ),
    (
        "continue",
        "string",
        "The token of the page before, for the next one. The other parameters are to be those of the first page. A token whose revision is compacted gets 410 ResourceExpired, with a token by which the list goes on at the latest state.",
    ),
    (
        "dryRun",
        "string",
        "When present, nothing is written. The only valid value is All: every stage is gone through. An invalid one is refused.",
    ),
    (
        "fieldManager",
        "string",
        "The name of the actor that makes the change: at most 128 printable characters. Apply patches must have one.",
    ),
    ("fieldSelector", "string", "Restricts the objects by their fields. Defaults to everything."),
    (
        "fieldValidation",
        "string",
        "How fields that the kind does not have, and fields given twice, are answered: Ignore drops them, Warn (the default) also sends a warning for each, Strict refuses the request with all of them.",
    ),
    (
        "force",
        "boolean",
        "Whether an apply takes over fields of other managers that it conflicts with. Other patches must not set it.",
    ),
    (
        "gracePeriodSeconds",
        "integer",
        "Seconds before the object is deleted; zero means at once. The default is that of the object.",
    ),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Whether an object that cannot be read from the store is deleted without its finalizers and preconditions.",
    ),
    (
        "includeObject",
        "string",
        "The form of the objects in the rows of a Table: None, Metadata (the default) or Object.",
    ),
    ("labelSelector", "string", "Restricts the objects by their labels. Defaults to everything."),
    (
        "limit",
        "integer",
        "The most objects of one answer. If there are more, metadata.continue has the token of the next page.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Deprecated, use propagationPolicy: whether the finalizer \"orphan\" is added to the object or taken from it.",
    ),
    ("pretty", "string", "If 'true', the answer is indented. The default is 'false', but for browsers, curl and wget."),
    (
        "propagationPolicy",
        "string",
        "Whether and how dependents are deleted: Orphan, Background or Foreground. The default is that of the kind and the finalizers of the object.",
    ),
    (
        "resourceVersion",
        "string",
        "The revision that a read is to be of, or that a watch begins behind. Unset means the latest for lists, and any for watches.",
    ),
    ("resourceVersionMatch", "string", "How resourceVersion is meant by a list: Exact or NotOlderThan."),
    (
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with the state as ADDED events, ended by a bookmark with the annotation k8s.io/initial-events-end.",
    ),
    ("timeoutSeconds", "integer", "Limits the duration of a list or watch."),
    (
        "watch",
        "boolean",
        "Answers with a stream of the changes to the objects: ADDED, MODIFIED and DELETED. A resourceVersion says where it begins.",
    ),
];

/// Those of a list or watch.
pub(super) const LIST: &[&str] = &[
    "accept",
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "includeObject",
    "labelSelector",
    "limit",
    "pretty",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
/// Those of a read.
pub(super) const GET: &[&str] = &["pretty"];
/// Those of a get of a custom resource.
pub(super) const GET_CUSTOM: &[&str] = &["pretty", "resourceVersion"];
/// Those of a create or an update.
pub(super) const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "pretty"];
/// Those of a patch.
pub(super) const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force", "pretty"];
/// Those of a deletion.
pub(super) const DELETE: &[&str] = &[
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "pretty",
    "propagationPolicy",
];
/// Those of a deletion of all objects that are selected.
pub(super) const DELETE_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "labelSelector",
    "limit",
    "orphanDependents",
    "pretty",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];

/// Parameters of the query, by their names in the list of all.
pub(super) fn query(names: &[&'static str]) -> Vec<Parameter> {
    let named = QUERY.iter().filter(|(name, _, _)| names.contains(name));
    named
        .map(|(name, ty, description)| Parameter {
            name: (*name).into(),
            place: "query",
            description: (*description).into(),
            ty,
        })
        .collect()
}

/// The fields of a kind of options, which a stream takes as parameters.
pub(super) fn of_options(ty: &ObjectType) -> Vec<Parameter> {
    let fields = ty.def().fields.iter().filter(|field| !matches!(&*field.json_name, "apiVersion" | "kind"));
    fields
        .filter(|field| field.shape != Shape::Map)
        .filter_map(|field| {
            let ty = match field.ty {
                Type::Bool => "boolean",
                Type::Int32 | Type::Int64 => "integer",
                Type::String | Type::Time => "string",
                _ => return None,
            };
            Some(Parameter {
                name: field.json_name.to_string().into(),
                place: "query",
                description: field.description.to_string().into(),
                ty,
            })
        })
        .collect()
}

/// The variables of a path template; `kind`: whose name `{name}` is.
pub(super) fn path(template: &str, kind: &str) -> Vec<Parameter> {
    let all = [
        ("name", format!("name of the {kind}")),
        ("namespace", "object name and auth scope, such as for teams and projects".to_owned()),
        ("path", "path to the resource".to_owned()),
    ];
    let used = all.into_iter().filter(|(name, _)| template.contains(&format!("{{{name}}}")));
    used.map(|(name, description)| Parameter {
        name: name.into(),
        place: "path",
        description: description.into(),
        ty: "string",
    })
    .collect()
}
