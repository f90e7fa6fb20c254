//! The protobuf form of OpenAPI documents: gnostic's messages (`openapi.v2` and `openapi.v3` of
//! github.com/google/gnostic-models), described by tables and written by one walk over the JSON.

use serde_json::Value;

/// The meaning of a member of a JSON object, or of a whole value.
enum Kind {
    Text,
    Flag,
    Integer,
    Number,
    /// Any JSON, kept as YAML text, which JSON is.
    Any,
    /// A list, each element of this kind, in a field of its own.
    Each(&'static Kind),
    Message(&'static Message),
    /// An object with any names: in a message of pairs of a name and a message.
    Named(&'static Message),
}

enum Message {
    /// Members by their names in JSON and their tags; names that begin with `x-` are pairs at the tag of `extensions`.
    Members { members: &'static [(&'static str, u32, Kind)], extensions: u32 },
    /// A message with nothing but the value, at this tag.
    Wrapped(u32, Kind),
    /// An object with any names, as pairs of a name and a message at this tag.
    Pairs(u32, &'static Message),
    /// One of several messages, at their tags; none at tag 0.
    Choice(fn(&Value) -> (u32, &'static Message)),
    /// A value as it is; tags are of the message around it.
    Plain(Kind),
}

use Kind::Message as Inner;
use Kind::{Any, Each, Flag, Integer, Named, Number, Text};
use Message::{Choice, Members, Pairs, Plain, Wrapped};

/// The parts of a document that are written one by one.
pub(super) struct Layout {
    /// What stands around them.
    head: &'static Message,
    /// Path items by their paths.
    pub paths: Section,
    /// Schemas by their names.
    pub definitions: Section,
    /// Parameters that paths refer to, by their names: of v2.
    pub parameters: Option<Section>,
}

/// Pairs of a name and a message within a document.
#[derive(Clone, Copy)]
pub(super) struct Section {
    /// The tags that lead there from the document.
    way: &'static [u32],
    message: &'static Message,
}

pub(super) static V2: Layout = Layout {
    head: &DOCUMENT_2,
    paths: Section { way: &[8, 2], message: &PATH_ITEM_2 },
    definitions: Section { way: &[9, 1], message: &SCHEMA_2 },
    parameters: Some(Section { way: &[10, 1], message: &PARAMETER_2 }),
};

pub(super) static V3: Layout = Layout {
    head: &DOCUMENT_3,
    paths: Section { way: &[4, 1], message: &PATH_ITEM_3 },
    // The head's components come in a message of their own: two of one field are merged.
    definitions: Section { way: &[5, 1, 1], message: &SCHEMA_OR_REFERENCE_3 },
    parameters: None,
};

impl Layout {
    /// What stands around the sections.
    pub fn head(&self, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        message(self.head, value, &mut out);
        out
    }
}

impl Section {
    /// One pair of the section.
    pub fn pair(self, name: &str, value: &Value, out: &mut Vec<u8>) {
        let tag = self.way.last().copied().unwrap_or_default();
        pair(tag, name, out, |out| message(self.message, value, out));
    }

    /// The section, of its pairs.
    pub fn whole(self, pairs: Vec<u8>) -> Vec<u8> {
        let around = self.way.split_last().map_or(&[][..], |(_, around)| around);
        around.iter().rev().fold(pairs, |inner, tag| {
            let mut out = Vec::with_capacity(inner.len() + 12);
            bytes(*tag, &inner, &mut out);
            out
        })
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(tag) << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn nested(tag: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(tag, &inner, out);
}

fn pair(tag: u32, name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    nested(tag, out, |out| {
        bytes(1, name.as_bytes(), out);
        nested(2, out, write);
    });
}

fn pairs(tag: u32, inner: &Message, value: &Value, out: &mut Vec<u8>) {
    for (name, member) in value.as_object().into_iter().flatten() {
        pair(tag, name, out, |out| message(inner, member, out));
    }
}

fn any(tag: u32, value: &Value, out: &mut Vec<u8>) {
    nested(tag, out, |out| bytes(2, format!("{value}\n").as_bytes(), out));
}

fn message(message_of: &Message, value: &Value, out: &mut Vec<u8>) {
    match message_of {
        Wrapped(tag, kind) => field(*tag, kind, value, out),
        Choice(choose) => {
            let (tag, chosen) = choose(value);
            match chosen {
                _ if tag == 0 => {}
                Plain(kind) => field(tag, kind, value, out),
                other => nested(tag, out, |out| message(other, value, out)),
            }
        }
        Pairs(tag, inner) => pairs(*tag, inner, value, out),
        Plain(kind) => field(1, kind, value, out),
        Members { members, extensions } => {
            for (name, tag, kind) in *members {
                if let Some(member) = value.get(*name) {
                    field(*tag, kind, member, out);
                }
            }
            let all = value.as_object().into_iter().flatten();
            for (name, member) in all.filter(|(name, _)| name.starts_with("x-")) {
                pair(*extensions, name, out, |out| bytes(2, format!("{member}\n").as_bytes(), out));
            }
        }
    }
}

fn field(tag: u32, kind: &Kind, value: &Value, out: &mut Vec<u8>) {
    match kind {
        Text => bytes(tag, value.as_str().unwrap_or_default().as_bytes(), out),
        Flag => {
            varint(u64::from(tag) << 3, out);
            varint(u64::from(value.as_bool().unwrap_or_default()), out);
        }
        Integer => {
            varint(u64::from(tag) << 3, out);
            varint(value.as_i64().unwrap_or_default() as u64, out);
        }
        Number => {
            varint(u64::from(tag) << 3 | 1, out);
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
        }
        Any => any(tag, value, out),
        // A single element may stand for its list.
        Each(kind) => match value {
            Value::Array(list) => list.iter().for_each(|one| field(tag, kind, one, out)),
            one => field(tag, kind, one, out),
        },
        Inner(inner) => nested(tag, out, |out| message(inner, value, out)),
        Named(inner) => nested(tag, out, |out| pairs(1, inner, value, out)),
    }
}

fn is_reference(value: &Value) -> bool {
    value.get("$ref").is_some()
}

static INFO_2: Message = Members { members: &[("title", 1, Text), ("version", 2, Text)], extensions: 7 };
static DOCUMENT_2: Message = Members {
    members: &[
        ("swagger", 1, Text),
        ("info", 2, Inner(&INFO_2)),
        ("security", 12, Each(&Inner(&SECURITY))),
        ("securityDefinitions", 13, Named(&SECURITY_ITEM_2)),
    ],
    extensions: 16,
};
static SECURITY: Message = Pairs(1, &TEXTS);
static TEXTS: Message = Wrapped(1, Each(&Text));
static SECURITY_ITEM_2: Message = Choice(|_| (2, &API_KEY_2));
static API_KEY_2: Message = Members {
    members: &[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)],
    extensions: 5,
};
static PATH_ITEM_2: Message = Members {
    members: &[
        ("$ref", 1, Text),
        ("get", 2, Inner(&OPERATION_2)),
        ("put", 3, Inner(&OPERATION_2)),
        ("post", 4, Inner(&OPERATION_2)),
        ("delete", 5, Inner(&OPERATION_2)),
        ("options", 6, Inner(&OPERATION_2)),
        ("head", 7, Inner(&OPERATION_2)),
        ("patch", 8, Inner(&OPERATION_2)),
        ("parameters", 9, Each(&Inner(&PARAMETERS_ITEM_2))),
    ],
    extensions: 10,
};
static OPERATION_2: Message = Members {
    members: &[
        ("tags", 1, Each(&Text)),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Each(&Text)),
        ("consumes", 7, Each(&Text)),
        ("parameters", 8, Each(&Inner(&PARAMETERS_ITEM_2))),
        ("responses", 9, Inner(&RESPONSES_2)),
        ("schemes", 10, Each(&Text)),
        ("deprecated", 11, Flag),
    ],
    extensions: 13,
};
static PARAMETERS_ITEM_2: Message =
    Choice(|value| if is_reference(value) { (2, &REFERENCE) } else { (1, &PARAMETER_2) });
static REFERENCE: Message = Members { members: &[("$ref", 1, Text)], extensions: 0 };
static PARAMETER_2: Message =
    Choice(|value| if value["in"] == "body" { (1, &BODY_PARAMETER_2) } else { (2, &OTHER_PARAMETER_2) });
static BODY_PARAMETER_2: Message = Members {
    members: &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, Inner(&SCHEMA_2)),
    ],
    extensions: 6,
};
static OTHER_PARAMETER_2: Message =
    Choice(|value| if value["in"] == "path" { (4, &PATH_PARAMETER_2) } else { (3, &QUERY_PARAMETER_2) });
static QUERY_PARAMETER_2: Message = Members {
    members: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("format", 7, Text),
        ("uniqueItems", 20, Flag),
    ],
    extensions: 23,
};
static PATH_PARAMETER_2: Message = Members {
    members: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("format", 6, Text),
        ("uniqueItems", 19, Flag),
    ],
    extensions: 22,
};
static RESPONSES_2: Message = Pairs(1, &RESPONSE_VALUE_2);
static RESPONSE_VALUE_2: Message = Choice(|value| if is_reference(value) { (2, &REFERENCE) } else { (1, &RESPONSE_2) });
static RESPONSE_2: Message =
    Members { members: &[("description", 1, Text), ("schema", 2, Inner(&SCHEMA_ITEM_2))], extensions: 5 };
static SCHEMA_ITEM_2: Message = Wrapped(1, Inner(&SCHEMA_2));
static SCHEMA_2: Message = Members {
    members: &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Number),
        ("maximum", 7, Number),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Number),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Integer),
        ("minLength", 12, Integer),
        ("pattern", 13, Text),
        ("maxItems", 14, Integer),
        ("minItems", 15, Integer),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Integer),
        ("minProperties", 18, Integer),
        ("required", 19, Each(&Text)),
        ("enum", 20, Each(&Any)),
        ("additionalProperties", 21, Inner(&MORE_PROPERTIES_2)),
        ("type", 22, Inner(&TEXTS)),
        ("items", 23, Inner(&ITEMS_2)),
        ("allOf", 24, Each(&Inner(&SCHEMA_2))),
        ("properties", 25, Named(&SCHEMA_2)),
        ("readOnly", 27, Flag),
        ("example", 30, Any),
    ],
    extensions: 31,
};
static MORE_PROPERTIES_2: Message = Choice(|value| if value.is_boolean() { (2, &FLAG) } else { (1, &SCHEMA_2) });
static FLAG: Message = Plain(Flag);
static ITEMS_2: Message = Wrapped(1, Each(&Inner(&SCHEMA_2)));

static INFO_3: Message = Members { members: &[("title", 1, Text), ("version", 6, Text)], extensions: 7 };
static DOCUMENT_3: Message = Members {
    members: &[("openapi", 1, Text), ("info", 2, Inner(&INFO_3)), ("components", 5, Inner(&COMPONENTS_3))],
    extensions: 9,
};
static COMPONENTS_3: Message =
    Members { members: &[("securitySchemes", 7, Named(&SECURITY_SCHEME_OR_REFERENCE_3))], extensions: 10 };
static SECURITY_SCHEME_OR_REFERENCE_3: Message = Wrapped(1, Inner(&SECURITY_SCHEME_3));
static SECURITY_SCHEME_3: Message = Members {
    members: &[("type", 1, Text), ("description", 2, Text), ("name", 3, Text), ("in", 4, Text)],
    extensions: 9,
};
static PATH_ITEM_3: Message = Members {
    members: &[
        ("$ref", 1, Text),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("get", 4, Inner(&OPERATION_3)),
        ("put", 5, Inner(&OPERATION_3)),
        ("post", 6, Inner(&OPERATION_3)),
        ("delete", 7, Inner(&OPERATION_3)),
        ("options", 8, Inner(&OPERATION_3)),
        ("head", 9, Inner(&OPERATION_3)),
        ("patch", 10, Inner(&OPERATION_3)),
        ("parameters", 13, Each(&Inner(&PARAMETER_OR_REFERENCE_3))),
    ],
    extensions: 14,
};
static OPERATION_3: Message = Members {
    members: &[
        ("tags", 1, Each(&Text)),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("parameters", 6, Each(&Inner(&PARAMETER_OR_REFERENCE_3))),
        ("requestBody", 7, Inner(&BODY_OR_REFERENCE_3)),
        ("responses", 8, Inner(&RESPONSES_3)),
        ("deprecated", 10, Flag),
    ],
    extensions: 13,
};
static PARAMETER_OR_REFERENCE_3: Message =
    Choice(|value| if is_reference(value) { (2, &REFERENCE) } else { (1, &PARAMETER_3) });
static PARAMETER_3: Message = Members {
    members: &[
        ("name", 1, Text),
        ("in", 2, Text),
        ("description", 3, Text),
        ("required", 4, Flag),
        ("schema", 10, Inner(&SCHEMA_OR_REFERENCE_3)),
    ],
    extensions: 14,
};
static BODY_OR_REFERENCE_3: Message = Wrapped(1, Inner(&BODY_3));
static BODY_3: Message =
    Members { members: &[("content", 2, Named(&MEDIA_TYPE_3)), ("required", 3, Flag)], extensions: 4 };
static MEDIA_TYPE_3: Message = Members { members: &[("schema", 1, Inner(&SCHEMA_OR_REFERENCE_3))], extensions: 5 };
/// The answers stand at the second tag; the first is that of a default, which none has.
static RESPONSES_3: Message = Pairs(2, &RESPONSE_OR_REFERENCE_3);
static RESPONSE_OR_REFERENCE_3: Message = Wrapped(1, Inner(&RESPONSE_3));
static RESPONSE_3: Message =
    Members { members: &[("description", 1, Text), ("content", 3, Named(&MEDIA_TYPE_3))], extensions: 5 };
static SCHEMA_OR_REFERENCE_3: Message =
    Choice(|value| if is_reference(value) { (2, &REFERENCE) } else { (1, &SCHEMA_3) });
static SCHEMA_3: Message = Members {
    members: &[
        ("nullable", 1, Flag),
        ("readOnly", 3, Flag),
        ("example", 7, Any),
        ("title", 9, Text),
        ("multipleOf", 10, Number),
        ("maximum", 11, Number),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Number),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Integer),
        ("minLength", 16, Integer),
        ("pattern", 17, Text),
        ("maxItems", 18, Integer),
        ("minItems", 19, Integer),
        ("uniqueItems", 20, Flag),
        ("maxProperties", 21, Integer),
        ("minProperties", 22, Integer),
        ("required", 23, Each(&Text)),
        ("enum", 24, Each(&Any)),
        ("type", 25, Text),
        ("allOf", 26, Each(&Inner(&SCHEMA_OR_REFERENCE_3))),
        ("oneOf", 27, Each(&Inner(&SCHEMA_OR_REFERENCE_3))),
        ("anyOf", 28, Each(&Inner(&SCHEMA_OR_REFERENCE_3))),
        ("not", 29, Inner(&SCHEMA_3)),
        ("items", 30, Inner(&ITEMS_3)),
        ("properties", 31, Named(&SCHEMA_OR_REFERENCE_3)),
        ("additionalProperties", 32, Inner(&MORE_PROPERTIES_3)),
        ("default", 33, Inner(&DEFAULT_3)),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    extensions: 36,
};
static ITEMS_3: Message = Wrapped(1, Each(&Inner(&SCHEMA_OR_REFERENCE_3)));
static MORE_PROPERTIES_3: Message =
    Choice(|value| if value.is_boolean() { (2, &FLAG) } else { (1, &SCHEMA_OR_REFERENCE_3) });
/// There is no form of a default that is a list or an object: it is left empty, as gnostic leaves it.
static DEFAULT_3: Message = Choice(|value| match value {
    Value::Number(_) => (1, &NUMBER),
    Value::Bool(_) => (2, &FLAG),
    Value::String(_) => (3, &TEXT),
    _ => (0, &TEXT),
});
static NUMBER: Message = Plain(Number);
static TEXT: Message = Plain(Text);
