//! Definitions of kinds that users add, as rows of the table: what a CustomResourceDefinition says becomes rows like any
//! other, which come and go while the server runs.

mod columns;
mod custom;
mod follow;
mod jsonpath;
mod rows;
mod versions;

pub use follow::follow;
pub use jsonpath::{JsonPath, PathError};
pub(crate) use rows::is_true;
pub use versions::compare_versions;
