//! Requests that are made of the schema and the resource table alone.

mod cost;
mod generate;
mod requests;
mod times;
