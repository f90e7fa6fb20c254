//! What OpenAPI says beside the table: `data/openapi.json`.

use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

#[derive(Default, Deserialize)]
struct File {
    enums: Vec<Enum>,
    unions: HashMap<String, Value>,
    texts: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Enum {
    values: Vec<String>,
    text: String,
    fields: Vec<String>,
}

/// The file, findable by names of types and fields.
pub(super) struct Facts {
    file: File,
    /// By `io.k8s.api.core.v1.Container.imagePullPolicy`: indexes into the file's enums.
    fields: HashMap<String, usize>,
}

impl Facts {
    /// Reads the file. It is compiled in: what is wrong in it is found by the first test that walks.
    pub fn read() -> Self {
        let read = serde_json::from_str(include_str!("../../data/openapi.json"));
        let mut file: File = read.unwrap_or_else(|error| panic!("data/openapi.json: {error}"));
        let mut fields = HashMap::new();
        for (at, one) in file.enums.iter_mut().enumerate() {
            fields.extend(std::mem::take(&mut one.fields).into_iter().map(|field| (field, at)));
        }
        Self { file, fields }
    }

    /// The values of an enumerated field, and what is said of them behind its description.
    pub fn values(&self, definition: &str, field: &str) -> Option<(&[String], &str)> {
        let found = &self.file.enums[*self.fields.get(&format!("{definition}.{field}"))?];
        Some((&found.values, &found.text))
    }

    /// `x-kubernetes-unions` of a type.
    pub fn unions(&self, definition: &str) -> Option<&Value> {
        self.file.unions.get(definition)
    }

    /// The description of a scalar type.
    pub fn text(&self, definition: &str) -> &str {
        self.file.texts.get(definition).map_or("", String::as_str)
    }
}
