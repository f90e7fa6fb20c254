//! Limits that belong to the API itself, so that every room agrees on them.

/// Largest request body, bytes (kube-apiserver's default).
pub const REQUEST_BODY_MAX: usize = 3 * 1024 * 1024;
/// Largest encoded object, bytes (etcd's default request limit, which clients meet on a real cluster).
pub const OBJECT_MAX: usize = 1536 * 1024;
/// Operations in one JSON patch (kube-apiserver's `maxJSONPatchOperations`).
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;
/// Total size of an object's annotations, bytes (apimachinery's `TotalAnnotationSizeLimitB`).
pub const ANNOTATIONS_MAX: usize = 256 * 1024;
/// Depth to which the lists and objects of an object may nest, in JSON, YAML and protobuf alike. Go's decoder goes to
/// 10,000; nothing that a kind describes comes near this, and whoever reads the object must get through it.
pub const NESTING_MAX: usize = 120;
/// Depth to which serde_json reads: a list, a watch event or a review around the deepest object must stay below it.
const READERS_NESTING_MAX: usize = 127;
/// Longest selector in a query, bytes.
pub const SELECTOR_MAX: usize = 64 * 1024;
/// Characters of a field manager's name, and of a subresource's in managedFields (apimachinery's limits).
pub const FIELD_MANAGER_MAX: usize = 128;
/// Field errors that are kept of one object; later ones are dropped.
pub const FIELD_ERRORS_MAX: usize = 1_000;
/// Bytes of text in the field errors that are kept of one object: those that show a whole list stand there once an item.
pub const FIELD_ERRORS_BYTES_MAX: usize = 128 * 1024;
/// Warnings of one response (apiserver's maxTotalLength bounds bytes; we bound texts).
pub const WARNINGS_MAX: usize = 100;
/// Audit annotations of one request.
pub const AUDIT_ANNOTATIONS_MAX: usize = 100;

const _: () = assert!(NESTING_MAX + 5 <= READERS_NESTING_MAX);
const _: () = assert!(OBJECT_MAX < REQUEST_BODY_MAX);

/// Values that a JSONPath looks at before it ends with what it has found.
pub const JSONPATH_VISITS_MAX: usize = 100_000;
/// Filters of a JSONPath within each other.
pub const JSONPATH_FILTERS_MAX: usize = 8;
