//! The words that every room shares: group, version and kind; objects in flight; records at rest; quantities, selectors,
//! names, field paths; `Status`; who asks and whether they may; what admission is told.
//!
//! Allowed dependencies: serde, k8s-openapi, jiff, bytes, memchr, http, async-trait, parking_lot. Never tokio, a clock or I/O: everything here is a pure
//! function of its arguments.
//!
//! Invariant: small. Every other crate is rebuilt when this one changes, so what only one room needs lives there.

pub mod admission;
pub mod certificate;
pub mod condition;
pub mod field;
pub mod jsonpath;
pub mod limits;
pub mod meta;
pub mod names;
pub mod object;
pub mod outline;
pub mod percent;
pub mod quantity;
pub mod record;
pub mod scheduling;
pub mod selector;
pub mod status;
pub mod time;
pub mod typed;
pub mod user;
pub mod webhook;

pub use field::{FieldError, FieldErrors, Path};
pub use meta::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use object::Object;
pub use outline::Outline;
pub use quantity::Quantity;
pub use record::{EventKind, Record, RecordEvent, RecordKey, RecordParts, Records, WantRecords, Writer};
pub use selector::{FieldSelector, LabelSelector};
pub use status::{Reason, Status, StatusCause, StatusDetails, WholeStatus};
pub use user::{Attributes, Authorizer, Decision, UserInfo, Verdict};

/// The typed API of Kubernetes v1.35, for those who act on a kind (controllers, scheduler, node).
pub use k8s_openapi as k8s;
