//! Tables: the columns and cells of a row, the objects beside them, as `k8s.io/apiserver` assembles them.

use crate::metadata;
use crate::negotiate::MetaVersion;
use sampan_api::{Object, Outline, Record, Status};
use sampan_registry::{Column, Resource};
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::SystemTime;

/// `includeObject=`: what of the object stands in each row of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    Nothing,
    #[default]
    Metadata,
    Object,
}

impl Include {
    /// `None` and an empty text: the default.
    ///
    /// # Errors
    /// 400 for a text that is none of `None`, `Metadata` and `Object`.
    pub fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text.unwrap_or("") {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::Nothing),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', \
                 'None', or empty",
                sampan_api::field::go_quote(other)
            ))),
        }
    }
}

/// The maker of one request's tables.
#[derive(Clone, Copy)]
pub struct Tables<'a> {
    /// Whose columns and cells they have.
    pub row: &'a Resource,
    /// The version of `meta.k8s.io` that is answered in.
    pub version: MetaVersion,
    /// What stands beside the cells of a row.
    pub include: Include,
    /// When the request came: ages are counted from it.
    pub now: SystemTime,
}

impl Tables<'_> {
    /// Begins a table: `{..., "columnDefinitions":...,"rows":[`. A watch's second and later tables have no columns.
    pub fn begin(&self, out: &mut Vec<u8>, metadata: &[u8], columns: bool) {
        out.extend_from_slice(b"{\"kind\":\"Table\",\"apiVersion\":\"");
        out.extend_from_slice(self.version.api_version().as_bytes());
        out.extend_from_slice(b"\",\"metadata\":");
        out.extend_from_slice(metadata);
        out.extend_from_slice(b",\"columnDefinitions\":");
        if columns {
            let definitions: Vec<Value> = match &self.row.columns {
                Some(columns) => columns.definitions.iter().map(definition).collect(),
                None => default_columns(),
            };
            write(out, &Value::Array(definitions));
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"rows\":[");
    }

    /// Begins a row: its cells.
    pub fn begin_row(&self, out: &mut Vec<u8>, object: &Object) {
        let cells = match &self.row.columns {
            Some(columns) => (columns.cells)(object, self.now),
            None => default_cells(object),
        };
        out.extend_from_slice(b"{\"cells\":");
        write(out, &Value::Array(cells));
    }

    /// One row. What its cells are made of is parsed: a table is computed, not copied.
    pub fn row(&self, out: &mut Vec<u8>, record: &Record) {
        let columns = self.row.columns.as_ref();
        let conditions = columns.and_then(|columns| columns.conditions);
        let part = match columns {
            Some(_) if conditions.is_some() => &Outline::Whole,
            Some(columns) => &columns.reads,
            None => default_part(),
        };
        let object = record.outline(part);
        self.begin_row(out, &object);
        let conditions = conditions.map_or_else(Vec::new, |conditions| conditions(&object));
        if !conditions.is_empty() {
            out.extend_from_slice(b",\"conditions\":");
            write(out, &Value::Array(conditions));
        }
        match self.include {
            Include::Nothing => out.extend_from_slice(b",\"object\":null"),
            Include::Metadata => {
                out.extend_from_slice(b",\"object\":");
                metadata::write_json(out, record, self.version, self.row);
            }
            Include::Object => {
                out.extend_from_slice(b",\"object\":");
                record.write_json(out);
            }
        }
        out.push(b'}');
    }

    /// Ends what [`Tables::begin`] began.
    pub fn end(out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}");
    }
}

fn write(out: &mut Vec<u8>, value: &Value) {
    // A Vec takes every write, and a Value always encodes.
    serde_json::to_writer(out, value).unwrap_or_default();
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.type_,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

/// A column that is always shown.
pub fn column(name: &str, type_: &str, format: &str, description: &str) -> Value {
    json!({"name": name, "type": type_, "format": format, "description": description, "priority": 0})
}

/// A table of one object that is not stored.
pub fn of_value(value: &Value, columns: &[Value], cells: &[Value], version: MetaVersion, include: Include) -> Value {
    let object = match include {
        Include::Nothing => Value::Null,
        Include::Metadata => metadata::of_value(value, version),
        Include::Object => value.clone(),
    };
    let revision = &value["metadata"]["resourceVersion"];
    json!({
        "kind": "Table",
        "apiVersion": version.api_version(),
        "metadata": if revision.is_null() { json!({}) } else { json!({"resourceVersion": revision}) },
        "columnDefinitions": columns,
        "rows": [{"cells": cells, "object": object}],
    })
}

/// Columns of kinds without any of their own (k8s.io/apiserver's defaultTableConvertor).
fn default_columns() -> Vec<Value> {
    vec![column("Name", "string", "name", NAME_DESCRIPTION), column("Created At", "date", "", CREATED_DESCRIPTION)]
}

/// What the metadata's `name` is described as.
pub const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
/// What the metadata's `creationTimestamp` is described as.
pub const CREATED_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// What [`default_cells`] reads.
fn default_part() -> &'static Outline {
    static PART: LazyLock<Outline> = LazyLock::new(|| {
        let mut part = Outline::default();
        for field in ["name", "creationTimestamp"] {
            part.add(["metadata", field], Outline::Whole);
        }
        part
    });
    &PART
}

fn default_cells(object: &Object) -> Vec<Value> {
    vec![object.name().into(), object.creation_timestamp().into()]
}
