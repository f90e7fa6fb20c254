//! Requests that are made of the schema and the resource table alone.

mod requests;
mod times;
