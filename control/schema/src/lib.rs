//! The one schema of all kinds, and the walkers over it: codecs (JSON, YAML, protobuf), pruning, defaulting, plain facts
//! of fields, patches, field sets and managedFields.
//!
//! Allowed: `sampan-api`, serde, serde-saphyr (its YAML parser), pem and x509-parser (certificates in fields). Never: I/O, clock, randomness.
//!
//! Invariant: a kind is described once, in the table that `build.rs` joins from the sources of `k8s-pb` and
//! `k8s-openapi`. What no crate has is data in `data/`: Go's struct forms, defaults, our own kinds.
//! Invariant: a decoded value is what Go's own decode and encode of the same bytes would give: quantities and times
//! canonical, nulls and empty `omitempty` fields gone, structs held by value present.
//! Invariant: input is hostile; every recursion and expansion has a limit in [`limits`] or in `sampan_api::limits`.

pub mod apply;
mod builtin;
pub mod certificates;
pub mod columns;
pub mod default;
pub mod facts;
pub mod fields;
pub mod gates;
pub mod go_print;
pub mod json;
pub mod limits;
pub mod managed;
pub mod meta;
pub mod nesting;
pub mod openapi;
pub mod patch;
pub mod pattern;
mod plan;
pub mod problems;
pub mod protobuf;
pub mod retired;
mod scalar;
mod schema;
pub mod stored;
mod structural;
mod syntax;
mod table;
pub mod values;
pub mod yaml;
mod zero;

pub use builtin::StructuralError;
pub use problems::{DecodeError, Decoded, Problem, ProblemKind};
pub use scalar::parse_duration;
pub use schema::{ObjectType, Schema};
pub use table::{
    Checks, Element, Facts, Field, Kind, ListType, Notes, Origin, Patch, Shape, Text, Type, TypeDef, TypeId,
    ValueSchema, Wire, WireEntry,
};
