//! Writes the table in the form that `src/table.rs` reads.

use std::collections::HashMap;
use std::path::Path;

use crate::join::{Entry, Field, Table};
use crate::protobuf::Shape;

#[derive(Default)]
struct Writer {
    words: Vec<u32>,
    text: String,
    known: HashMap<String, u32>,
}

impl Writer {
    fn number(&mut self, value: usize) {
        self.words.push(u32::try_from(value).expect("the table fits 32-bit words"));
    }

    fn string(&mut self, value: &str) {
        let at = match self.known.get(value) {
            Some(at) => *at,
            None => {
                let at = u32::try_from(self.text.len()).expect("the strings fit 32-bit offsets");
                self.text.push_str(value);
                self.known.insert(value.to_string(), at);
                at
            }
        };
        self.words.push(at);
        self.number(value.len());
    }

    fn field(&mut self, field: &Field) {
        let marker = |name: &str| field.markers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        let strategies: Vec<&str> = marker("patchStrategy").unwrap_or_default().split(',').collect();
        let flags = [
            field.required,
            field.form.pointer,
            field.form.emit_empty,
            field.form.omit_zero,
            field.form.by_value,
            marker("mapType") == Some("atomic") || marker("structType") == Some("atomic"),
            strategies.contains(&"merge"),
            strategies.contains(&"replace"),
            strategies.contains(&"retainKeys"),
        ];
        let flags = flags.iter().enumerate().fold(0, |all, (bit, on)| all | (usize::from(*on) << bit));
        self.string(&field.json);
        self.string(&field.doc);
        self.string(&field.go_type);
        self.string(&field.inlined_from);
        self.number(field.ty as usize);
        self.number(field.target as usize);
        self.number(match field.shape {
            Shape::One => 0,
            Shape::List => 1,
            Shape::Map => 2,
        });
        self.number(flags);
        self.number(match marker("listType") {
            Some("atomic") => 1,
            Some("set") => 2,
            Some("map") => 3,
            _ => 0,
        });
        self.string(marker("patchMergeKey").unwrap_or_default());
        // `ref(...)` names a Go constant: its value stands in data/defaults.
        self.string(marker("default").filter(|value| !value.starts_with("ref(")).unwrap_or_default());
        let keys: Vec<&str> =
            field.markers.iter().filter(|(k, _)| k == "listMapKey").map(|(_, v)| v.as_str()).collect();
        self.number(keys.len());
        for key in keys {
            self.string(key);
        }
    }
}

pub fn write(table: &Table, folder: &Path) {
    let mut out = Writer::default();
    out.number(table.types.len());
    for ty in &table.types {
        out.string(&ty.package);
        out.string(&ty.name);
        out.string(&ty.doc);
        out.number(usize::from(ty.atomic));
        out.number(ty.fields.len());
        for field in &ty.fields {
            out.field(field);
        }
        out.number(ty.messages.len());
        for message in &ty.messages {
            out.number(message.len());
            for (tag, entry) in message {
                out.number(*tag as usize);
                let (inline, at) = match entry {
                    Entry::Field(at) => (0, *at),
                    Entry::Inline(at) => (1, *at),
                };
                out.number(inline);
                out.number(at);
            }
        }
    }
    out.number(table.kinds.len());
    for kind in &table.kinds {
        out.string(&kind.group);
        out.string(&kind.version);
        out.string(&kind.kind);
        out.number(kind.ty as usize);
    }
    let bytes: Vec<u8> = out.words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    };
    write("schema.bin", &bytes);
    write("schema.txt", out.text.as_bytes());
}
