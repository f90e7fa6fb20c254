//! Kinds as data: the resource table, strategies, and the one generic registry that reads and writes all of them.
//!
//! A [`Resource`] is a row; [`ResourceTable`] finds it; [`Registry`] does what a verb asks on the row's objects, with the
//! row's [`Strategy`] for what is its own and an [`Admission`](sampan_api::admission::Admission) handed in by the caller. A new kind is a row in `kinds/`.
//!
//! Allowed dependencies: `sampan-api`, `sampan-env`, `sampan-schema`, `sampan-store`, `sampan-watch`. Never axum or any
//! HTTP, never `sampan-admission`.
//!
//! Invariants:
//! - No kind's name stands outside `kinds/`.
//! - Every write is a compare-and-swap: patch, defaults, admission, strategy and validation run inside its loop.
//! - An object is encoded once, at its write; a read of a current object copies bytes.
//! - An update that changes nothing writes nothing.
//! - [`Error`] becomes a Status in one place.

pub mod allocate;
mod cells;
mod changes;
mod charge;
pub mod codec;
mod compaction;
mod computed;
mod continuation;
mod conversion;
mod converted;
pub mod crd;
mod create;
mod delete;
mod encode;
mod error;
mod history;
mod interfaces;
pub mod kinds;
mod lifetime;
pub mod limits;
mod log;
mod metadata;
pub mod options;
/// The order of groups and versions.
pub mod priorities;
mod read;
mod registry;
pub mod resource;
mod retention;
pub mod runtime;
mod scale;
mod seal;
mod selectable;
mod selection;
pub mod shapes;
mod stage;
pub mod strategy;
mod subresource;
mod table;
mod update;
mod verbs;
mod versioned;
/// Objects in other versions of their kinds.
pub mod versions;
mod word;
mod write;

pub use allocate::{Pool, Pools};
pub use codec::Codec;
pub use conversion::{Conversion, Conversions};
pub use delete::Deleted;
pub use error::Error;
pub use log::{Change, Changes, Span};
pub use metadata::{OwnersFrom, check_name, dedup_owners, settle_namespace};
pub use options::{
    Caller, CreateValidation, Creation, DeleteOptions, Face, FaceManagers, GetOptions, HistoryRight, ListOptions,
    Managers, OfferedRight, Past, Propagation, UpdateOptions,
};
pub use read::{List, ListVerb, check_fields, check_list_options};
pub use registry::{Config, Registry};
pub use resource::{
    Body, Column, Columns, Extract, HistoryClass, OldValues, Resource, ScalePaths, SelectableField, Subresource,
    SubresourceBody, Verbs,
};
pub use runtime::RuntimeConfig;
pub use selection::Selection;
pub use shapes::{ManagedWrite, defaults_of};
pub use strategy::{Capabilities, Context, Generation, MetadataOfUpdate, OwnAddresses, Strategy, Warned};
pub use table::{ResourceTable, TableChanges, TableError};
pub use update::{Transform, Updated};
