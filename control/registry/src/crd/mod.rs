//! Definitions of kinds that users add, as rows of the table: what a CustomResourceDefinition says becomes rows like any
//! other, which come and go while the server runs.

mod columns;
mod custom;
mod follow;
mod rows;
mod versions;

pub use follow::follow;
pub use versions::compare_versions;
