//! Limits that belong to the API itself, so that every room agrees on them.

/// Largest request body, bytes (kube-apiserver's default).
pub const REQUEST_BODY_MAX: usize = 3 * 1024 * 1024;
/// Largest encoded object, bytes (etcd's default request limit, which clients meet on a real cluster).
pub const OBJECT_MAX: usize = 1536 * 1024;
/// Operations in one JSON patch (kube-apiserver's `maxJSONPatchOperations`).
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;
/// Total size of an object's annotations, bytes (apimachinery's `TotalAnnotationSizeLimitB`).
pub const ANNOTATIONS_MAX: usize = 256 * 1024;
/// Depth to which JSON, YAML and protobuf may nest.
pub const NESTING_MAX: usize = 128;
/// Longest selector string, bytes.
pub const SELECTOR_MAX: usize = 64 * 1024;
