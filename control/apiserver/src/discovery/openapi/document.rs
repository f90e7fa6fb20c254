//! Whole documents: of a group and version (v3), or of all (v2), made of rows and written member by member.

use super::gnostic::{self, Layout, Section};
use super::operations::{self, PathItem, Row};
use super::write::{self, Shared};
use crate::negotiate::SERVED;
use sampan_registry::{Resource, ResourceTable};
use sampan_schema::openapi::{Definitions, Dialect};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The encoding of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Protobuf,
}

/// What a document is about, in the order in which v2 has them.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A path that lists others, or tells the version: fixed.
    Fixed(&'static str),
    /// `apis/GROUP`.
    Group(String),
    /// The rows of a group and version.
    Rows(Vec<Arc<Resource>>),
}

/// Paths beside those of groups: the path, its operation's id, its tag, what it says, and the kind of its answer.
const FIXED: [(&str, &str, &str, &str, &str); 2] = [
    ("api", "getCoreAPIVersions", "core", "get available API versions", "APIVersions"),
    ("apis", "getAPIVersions", "apis", "get available API versions", "APIGroupList"),
];
/// What relying parties of service accounts' tokens read, whose answers are no kinds: as [`FIXED`], with the media type.
const ISSUER: [(&str, &str, &str, &str, &[&str]); 2] = [
    (
        ".well-known/openid-configuration",
        "getServiceAccountIssuerOpenIDConfiguration",
        "WellKnown",
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        &["application/json"],
    ),
    (
        "openid/v1/jwks",
        "getServiceAccountIssuerOpenIDKeyset",
        "openid",
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        &["application/jwk-set+json"],
    ),
];
const VERSION: &str = "version";
const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";

/// The documents of v3 by what follows `/openapi/v3/`: `api/v1`, `apis/apps/v1`.
pub(super) fn parts(table: &ResourceTable) -> BTreeMap<String, Part> {
    let fixed = FIXED.iter().map(|(path, ..)| *path).chain(ISSUER.iter().map(|(path, ..)| *path)).chain([VERSION]);
    let mut parts: BTreeMap<String, Part> = fixed.map(|path| (path.to_owned(), Part::Fixed(path))).collect();
    for row in table.iter() {
        // Of a group that is defined its versions' resources are told alone.
        if !row.group.is_empty() && !row.defined {
            let path = format!("apis/{}", row.group);
            parts.entry(path).or_insert_with(|| Part::Group(row.group.to_string()));
        }
        let path = row.gvr().base_path().trim_start_matches('/').to_owned();
        match parts.entry(path).or_insert_with(|| Part::Rows(Vec::new())) {
            Part::Rows(rows) => rows.push(row.clone()),
            Part::Fixed(_) | Part::Group(_) => {}
        }
    }
    parts
}

impl Part {
    /// Whether a document of the one part is that of the other: rows are compared as what they are, not by their names.
    pub fn is(&self, other: &Part) -> bool {
        match (self, other) {
            (Self::Fixed(a), Self::Fixed(b)) => a == b,
            (Self::Group(a), Self::Group(b)) => a == b,
            (Self::Rows(a), Self::Rows(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b)),
            _ => false,
        }
    }

    fn items(&self, definitions: &mut Definitions, version: &mut bool, take: &mut dyn FnMut(PathItem)) {
        let meta = |definitions: &mut Definitions, kind: &str| {
            sampan_schema::meta::find(kind).map(|ty| definitions.add(&ty)).unwrap_or_default()
        };
        match self {
            Self::Fixed(VERSION) => {
                *version = true;
                take(operations::version(VERSION_INFO));
            }
            Self::Fixed(path) => {
                for (_, id, tag, text, kind) in FIXED.iter().filter(|(fixed, ..)| fixed == path) {
                    let definition = meta(definitions, kind);
                    take(operations::index(&format!("/{path}/"), id, tag, text, definition, &SERVED));
                }
                for (_, id, tag, text, produces) in ISSUER.iter().filter(|(fixed, ..)| fixed == path) {
                    take(operations::text(&format!("/{path}/"), id, tag, text, produces));
                }
            }
            Self::Group(group) => {
                let definition = meta(definitions, "APIGroup");
                take(operations::of_group(group, definition));
            }
            Self::Rows(rows) => {
                let Some(first) = rows.first() else { return };
                if !first.defined {
                    let (base, definition) = (first.gvr().base_path(), meta(definitions, "APIResourceList"));
                    take(operations::of_group_version(&first.group, &first.version, &base, definition));
                }
                for row in rows {
                    Row::new(row, definitions).items().into_iter().for_each(&mut *take);
                }
            }
        }
    }
}

/// Writes the document of some parts: one for v3, all for v2. `version`: of the server, as `v1.35.0`.
pub(super) fn write<'a>(
    dialect: Dialect,
    encoding: Encoding,
    parts: impl Iterator<Item = &'a Part>,
    version: &str,
) -> Vec<u8> {
    let layout = match dialect {
        Dialect::V2 => &gnostic::V2,
        Dialect::V3 => &gnostic::V3,
    };
    let mut paths = Members::new(encoding, layout.paths);
    let mut all = Members::new(encoding, layout.definitions);
    let (mut definitions, mut shared, mut names) = (Definitions::new(dialect), Shared::new(), BTreeSet::new());
    let mut of_version = false;
    for part in parts {
        part.items(&mut definitions, &mut of_version, &mut |item| {
            // Rows of one group and version may name the same path: the first is served.
            if names.insert(item.path.clone()) {
                paths.add(&item.path, &write::item(dialect, &item, &mut shared));
            }
        });
    }
    definitions.each(|name, value| all.add(name, &value));
    if of_version {
        all.add(VERSION_INFO, &version_info(dialect));
    }
    let shared = layout.parameters.map(|section| {
        let mut members = Members::new(encoding, section);
        shared.iter().for_each(|(name, value)| members.add(name, value));
        members
    });
    let minor: Vec<&str> = version.trim_start_matches('v').split('.').take(2).collect();
    let info = json!({"title": "Kubernetes", "version": minor.join(".")});
    let bearer = json!({
        "BearerToken": {
            "description": "Bearer Token authentication",
            "type": "apiKey",
            "name": "authorization",
            "in": "header",
        }
    });
    let head = match dialect {
        Dialect::V2 => json!({
            "swagger": "2.0",
            "info": info,
            "securityDefinitions": bearer,
            "security": [{"BearerToken": []}],
        }),
        Dialect::V3 => json!({"openapi": "3.0.0", "info": info, "components": {"securitySchemes": bearer}}),
    };
    match encoding {
        Encoding::Json => json_document(dialect, head, paths, all, shared),
        Encoding::Protobuf => protobuf_document(layout, &head, paths, all, shared),
    }
}

fn json_document(dialect: Dialect, head: Value, paths: Members, all: Members, shared: Option<Members>) -> Vec<u8> {
    let (mut head, schemes) = match head {
        Value::Object(mut head) => {
            let schemes = head.remove("components");
            (Value::Object(head).to_string().into_bytes(), schemes)
        }
        _ => (Vec::new(), None),
    };
    head.pop();
    let mut put = |name: &str, members: Vec<u8>| {
        head.extend_from_slice(format!(",\"{name}\":{{").as_bytes());
        head.extend_from_slice(&members);
        head.push(b'}');
    };
    put("paths", paths.bytes);
    match dialect {
        Dialect::V2 => put("definitions", all.bytes),
        Dialect::V3 => {
            let mut inner = b"\"schemas\":{".to_vec();
            inner.extend_from_slice(&all.bytes);
            inner.push(b'}');
            if let Some(schemes) = schemes.as_ref().and_then(|schemes| schemes.get("securitySchemes")) {
                inner.extend_from_slice(format!(",\"securitySchemes\":{schemes}").as_bytes());
            }
            put("components", inner);
        }
    }
    if let Some(shared) = shared {
        put("parameters", shared.bytes);
    }
    head.push(b'}');
    head
}

fn protobuf_document(layout: &Layout, head: &Value, paths: Members, all: Members, shared: Option<Members>) -> Vec<u8> {
    let mut out = layout.head(head);
    for members in [Some(paths), Some(all), shared].into_iter().flatten() {
        out.extend(members.section.whole(members.bytes));
    }
    out
}

/// Named members of a document, written one after the other.
struct Members {
    encoding: Encoding,
    section: Section,
    bytes: Vec<u8>,
}

impl Members {
    fn new(encoding: Encoding, section: Section) -> Self {
        Self { encoding, section, bytes: Vec::new() }
    }

    fn add(&mut self, name: &str, value: &Value) {
        match self.encoding {
            Encoding::Protobuf => self.section.pair(name, value, &mut self.bytes),
            Encoding::Json => {
                if !self.bytes.is_empty() {
                    self.bytes.push(b',');
                }
                self.bytes.extend_from_slice(format!("{}:{value}", Value::from(name)).as_bytes());
            }
        }
    }
}

/// The answer of `/version`, which is no kind of the schema.
fn version_info(dialect: Dialect) -> Value {
    let text = |description: &str, required: bool| {
        let mut value = json!({"type": "string"});
        if !description.is_empty() {
            value["description"] = description.into();
        }
        if required && dialect == Dialect::V3 {
            value["default"] = "".into();
        }
        value
    };
    let required =
        ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];
    let optional = [
        ("emulationMajor", "EmulationMajor is the major version of the emulation version"),
        ("emulationMinor", "EmulationMinor is the minor version of the emulation version"),
        ("minCompatibilityMajor", "MinCompatibilityMajor is the major version of the minimum compatibility version"),
        ("minCompatibilityMinor", "MinCompatibilityMinor is the minor version of the minimum compatibility version"),
    ];
    let mut properties = serde_json::Map::new();
    for name in required {
        let description = match name {
            "major" => "Major is the major version of the binary version",
            "minor" => "Minor is the minor version of the binary version",
            _ => "",
        };
        properties.insert(name.into(), text(description, true));
    }
    for (name, description) in optional {
        properties.insert(name.into(), text(description, false));
    }
    json!({
        "description": "Info contains versioning information. how we'll want to distribute that information.",
        "type": "object",
        "required": required,
        "properties": properties,
    })
}
