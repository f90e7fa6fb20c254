//! `application/vnd.kubernetes.protobuf`, both ways.
//!
//! A body is the magic `k8s\0` and a `runtime.Unknown` that carries the kind and the object's message; a watch is a
//! row of `WatchEvent` messages, each behind its length in four bytes.

mod decode;
mod encode;
mod envelope;
mod wire;

pub use decode::decode;
pub use encode::{EncodeError, begin_list, encode, encode_object, end_list, list_item_len, put_list_item, watch_frame};
pub use envelope::{Envelope, unwrap, wrap};
