//! ObjectMeta: what is filled in, kept and refused for every kind, in apimachinery's words
//! (pkg/api/validation/objectmeta.go).

use crate::error::Error;
use crate::limits::CONTROLLER_ERRORS_MAX;
use crate::resource::Resource;
use crate::strategy::MetadataOfUpdate;
use sampan_api::admission::Warnings;
use sampan_api::field::{BadValue, FieldError, FieldErrors, Path};
use sampan_api::limits::{ANNOTATIONS_MAX, SUBRESOURCE_NAME_MAX};
use sampan_api::names;
use sampan_api::object::Object;
use sampan_schema::gates::Gates;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Members that only the server writes; a creator's are dropped (rest.WipeObjectMetaSystemFields).
const SYSTEM: [&str; 5] = ["creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "selfLink", "uid"];

/// Drops what a creator may not set.
pub(crate) fn wipe_system_fields(object: &mut Object) {
    let metadata = object.metadata_mut();
    for name in SYSTEM {
        metadata.remove(name);
    }
}

/// Ensures that the object is of the request's namespace (rest.EnsureObjectNamespaceMatchesRequestNamespace): one that names
/// none gets it, and one of a row without namespaces loses its own.
///
/// # Errors
/// `BadRequest` when it names another.
pub fn settle_namespace(row: &Resource, object: &mut Object, namespace: &str) -> Result<(), Error> {
    let expected = if row.namespaced { namespace } else { "" };
    match object.namespace() {
        found if found == expected => {
            if expected.is_empty() {
                object.metadata_mut().remove("namespace");
            }
        }
        "" => object.set_meta("namespace", expected),
        _ if expected.is_empty() => drop(object.metadata_mut().remove("namespace")),
        _ => {
            let text = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Error::BadRequest(text.to_owned()));
        }
    }
    Ok(())
}

/// Ensures that the object has the name that the request's path has.
///
/// # Errors
/// `BadRequest` when it has none or another.
pub fn check_name(object: &Object, name: &str) -> Result<(), Error> {
    match object.name() {
        "" => {
            let text =
                format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
            Err(Error::BadRequest(text))
        }
        found if found == name => Ok(()),
        found => Err(Error::BadRequest(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        ))),
    }
}

/// Gives the entries of `managedFields` the times that they had, where nothing but these times changed
/// (fieldmanager.IgnoreManagedFieldsTimestampsTransformer): such a write would be none but for them.
pub(crate) fn keep_times(object: &mut Object, old: &Object) {
    let (new, before) = (object.metadata().get("managedFields"), old.metadata().get("managedFields"));
    let (Some(Value::Array(new)), Some(Value::Array(list))) = (new, before) else { return };
    if new == list || !new.iter().map(timeless).eq(list.iter().map(timeless)) {
        return;
    }
    if rest(object).eq(rest(old)) && rest_of_metadata(object).eq(rest_of_metadata(old)) {
        let list = list.clone();
        object.set_meta("managedFields", list);
        object.set_meta("resourceVersion", old.resource_version());
    }
}

/// What of an object is no metadata.
fn rest(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    object.fields().iter().filter(|(name, _)| *name != "metadata")
}

/// What of an object's metadata says neither who wrote it nor of which revision it is.
fn rest_of_metadata(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    object.metadata().iter().filter(|(name, _)| !matches!(name.as_str(), "managedFields" | "resourceVersion"))
}

/// The members of an entry of `managedFields`, its time apart.
fn timeless(entry: &Value) -> Vec<(&String, &Value)> {
    entry.as_object().into_iter().flatten().filter(|(name, _)| *name != "time").collect()
}

/// When owner references are looked through for repeated ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnersFrom {
    /// As the request has them.
    Request,
    /// Once admission has changed the object, and what a patch makes.
    Admission,
}

/// Leaves one of owner references that are equal, and warns of those that were repeated.
pub fn dedup_owners(object: &mut Object, from: OwnersFrom, warnings: &Warnings) {
    if let Some(repeated) = take_repeated(object) {
        let when = match from {
            OwnersFrom::Request => "",
            OwnersFrom::Admission => " after mutating admission happens",
        };
        warnings.add(format!(
            ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and \
             may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {repeated}"
        ));
    }
}

/// Takes repeated owner references out; the answer is their UIDs.
fn take_repeated(object: &mut Object) -> Option<String> {
    // Most objects have one owner or none: nothing is touched.
    object.metadata().get("ownerReferences")?.as_array().filter(|list| list.len() > 1)?;
    let list = object.metadata_mut().get_mut("ownerReferences")?.as_array_mut()?;
    let mut kept: Vec<Value> = Vec::with_capacity(list.len());
    let (mut seen, mut repeated) = (HashSet::new(), Vec::new());
    for reference in list.drain(..) {
        // Equal references are one; those that differ are validation's business.
        if seen.insert(reference.to_string()) {
            kept.push(reference);
        } else {
            repeated.push(reference["uid"].as_str().unwrap_or("").to_owned());
        }
    }
    *list = kept;
    (!repeated.is_empty()).then(|| repeated.join(", "))
}

/// Everything wrong with the metadata of a new object (ValidateObjectMeta).
pub(crate) fn validate(row: &Resource, object: &Object, gates: &Gates) -> FieldErrors {
    let path = Path::new("metadata");
    let mut errors = new_identity(row, object, &path, gates);
    common(object, &path, &mut errors);
    errors.extend(finalizers(row, object, &path));
    errors.extend(managers(object, &path));
    errors
}

/// Everything wrong with the metadata of a resource that is embedded in another: it may have a namespace and need not have a
/// name.
pub(crate) fn validate_embedded(metadata: &Map<String, Value>, path: &Path) -> FieldErrors {
    let object = Object::from_map(Map::from_iter([("metadata".to_owned(), Value::Object(metadata.clone()))]));
    let mut errors = FieldErrors::default();
    for name in ["generateName", "name"] {
        let given = object.metadata().get(name).and_then(Value::as_str).unwrap_or_default();
        if !given.is_empty() {
            errors.extend(
                names::path_segment(given).into_iter().map(|text| FieldError::invalid(&path.child(name), given, text)),
            );
        }
    }
    let namespace = object.namespace();
    if !namespace.is_empty() {
        let wrong = names::dns1123_label(namespace).into_iter();
        errors.extend(wrong.map(|text| FieldError::invalid(&path.child("namespace"), namespace, text)));
    }
    common(&object, path, &mut errors);
    errors.extend(qualified_finalizers(&object, &path.child("finalizers"), |_, _| None));
    errors
}

/// A prefix of names as a name is looked at. It may end in a dash: Go looks at one without it (`maskTrailingDash`), and without
/// what stands before it.
pub(crate) fn masked(prefix: &str) -> String {
    let mut kept = prefix.chars();
    match (kept.next_back(), kept.next_back()) {
        (Some('-'), Some(_)) => format!("{}a", kept.as_str()),
        _ => prefix.to_owned(),
    }
}

/// Names, namespace and generation by the rules of the kind.
fn new_identity(row: &Resource, object: &Object, path: &Path, gates: &Gates) -> FieldErrors {
    let of_name = |name: &str| row.strategy.validate_name(name, gates);
    let of_prefix = |prefix: &str| if row.strategy.prefix_unchecked() { Vec::new() } else { of_name(prefix) };
    identity(row, object, path, of_prefix, of_name)
}

/// Names, namespace and generation. `prefix_errors` checks the prefix of names, `name_errors` names.
fn identity(
    row: &Resource,
    object: &Object,
    path: &Path,
    prefix_errors: impl Fn(&str) -> Vec<String>,
    name_errors: impl Fn(&str) -> Vec<String>,
) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let wrong = |found: Vec<String>, sent: &str| if found.is_empty() { names::control_characters(sent) } else { found };
    let generate_name = object.generate_name();
    if !generate_name.is_empty() {
        for text in wrong(prefix_errors(&masked(generate_name)), generate_name) {
            errors.push(FieldError::invalid(&path.child("generateName"), generate_name, text));
        }
    }
    let name = object.name();
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        for text in wrong(name_errors(name), name) {
            errors.push(FieldError::invalid(&path.child("name"), name, text));
        }
    }
    let namespace = object.namespace();
    if row.namespaced {
        if namespace.is_empty() {
            errors.push(FieldError::required(&path.child("namespace"), ""));
        } else {
            for text in names::dns1123_label(namespace) {
                errors.push(FieldError::invalid(&path.child("namespace"), namespace, text));
            }
        }
    } else if !namespace.is_empty() {
        errors.push(FieldError::forbidden(&path.child("namespace"), "not allowed on this type"));
    }
    if object.generation() < 0 {
        let text = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), object.generation(), text));
    }
    errors
}

/// Labels, annotations, owners.
fn common(object: &Object, path: &Path, errors: &mut FieldErrors) {
    let metadata = object.metadata();
    labels(metadata.get("labels"), || path.child("labels"), errors);
    annotations(metadata.get("annotations"), || path.child("annotations"), errors);
    owners(metadata, &path.child("ownerReferences"), errors);
}

/// `metav1validation.ValidateLabels`: every error is the map's, none the key's.
pub(crate) fn labels(labels: Option<&Value>, path: impl Fn() -> Path, errors: &mut FieldErrors) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        for text in names::qualified_name(key) {
            errors.push(FieldError::invalid(&path(), key, text));
        }
        let value = value.as_str().unwrap_or("");
        for text in names::label_value(value) {
            errors.push(FieldError::invalid(&path(), value, text));
        }
    }
}

/// `ValidateAnnotations`.
pub(crate) fn annotations(annotations: Option<&Value>, path: impl Fn() -> Path, errors: &mut FieldErrors) {
    let mut bytes = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        // Annotation keys may have capitals where names may not.
        for text in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(&path(), key, text));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(&path(), ANNOTATIONS_MAX));
    }
}

fn owners(metadata: &Map<String, Value>, path: &Path, errors: &mut FieldErrors) {
    let mut controller: Option<String> = None;
    let mut all: Option<String> = None;
    let mut too_many = 0;
    let list = metadata.get("ownerReferences").and_then(Value::as_array);
    for reference in list.into_iter().flatten() {
        let text = |name: &str| reference.get(name).and_then(Value::as_str).unwrap_or("");
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        // What is no group and version has none.
        let version = match api_version.split_once('/') {
            None => api_version,
            Some((_, version)) if !version.contains('/') => version,
            Some(_) => "",
        };
        if version.is_empty() {
            errors.push(FieldError::invalid(&path.child("apiVersion"), api_version, "version must not be empty"));
        }
        for name in ["kind", "name", "uid"] {
            if text(name).is_empty() {
                errors.push(FieldError::invalid(&path.child(name), "", "must not be empty"));
            }
        }
        if api_version == "v1" && kind == "Event" {
            let shown = BadValue::Raw(owner_in_go_order(reference));
            errors.push(FieldError::invalid(path, shown, "/v1, Kind=Event is disallowed from being an owner"));
        }
        if reference.get("controller").and_then(Value::as_bool) == Some(true) {
            let this = format!("{kind}/{}", text("name"));
            match &controller {
                None => controller = Some(this),
                Some(first) if too_many < CONTROLLER_ERRORS_MAX => {
                    too_many += 1;
                    let all = all.get_or_insert_with(|| {
                        let owners: Vec<String> = list.into_iter().flatten().map(owner_in_go_order).collect();
                        format!("[{}]", owners.join(","))
                    });
                    let text = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.push(FieldError::invalid(path, BadValue::Raw(all.clone()), text));
                }
                Some(_) => {}
            }
        }
    }
}

/// Go prints the struct, in its own order.
fn owner_in_go_order(reference: &Value) -> String {
    let names = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let members = names.into_iter().filter_map(|name| Some(format!("\"{name}\":{}", reference.get(name)?)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn managers(object: &Object, path: &Path) -> FieldErrors {
    let (mut errors, path) = (FieldErrors::default(), path.child("managedFields"));
    let list = object.metadata().get("managedFields").and_then(Value::as_array);
    for (index, entry) in list.into_iter().flatten().enumerate() {
        if errors.is_full() {
            break;
        }
        let path = path.index(index);
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("");
        if !matches!(text("operation"), "Apply" | "Update") {
            let detail = "must be `Apply` or `Update`";
            errors.push(FieldError::invalid(&path.child("operation"), text("operation"), detail));
        }
        if !matches!(text("fieldsType"), "" | "FieldsV1") {
            let detail = "must be `FieldsV1`";
            errors.push(FieldError::invalid(&path.child("fieldsType"), text("fieldsType"), detail));
        }
        errors.extend(names::field_manager(&path.child("manager"), text("manager")));
        if text("subresource").len() > SUBRESOURCE_NAME_MAX {
            errors.push(FieldError::too_long(&path.child("subresource"), SUBRESOURCE_NAME_MAX));
        }
    }
    errors
}

/// Those of Kubernetes' own kinds name a domain, or are known (pkg/apis/core/validation: validateKubeFinalizerName).
fn finalizers(row: &Resource, object: &Object, path: &Path) -> FieldErrors {
    let path = path.child("finalizers");
    qualified_finalizers(object, &path, |index, finalizer| domain(row, &path, index, finalizer))
}

/// What is wrong with finalizers that name no domain, alone.
fn domains(row: &Resource, object: &Object, path: &Path) -> FieldErrors {
    let path = path.child("finalizers");
    object.finalizers().enumerate().filter_map(|(index, finalizer)| domain(row, &path, index, finalizer)).collect()
}

/// `path`: of the finalizers.
fn domain(row: &Resource, path: &Path, index: usize, finalizer: &str) -> Option<FieldError> {
    let asked = !row.strategy.finalizers_without_domain() && !row.strategy.bare_metadata();
    let known = matches!(finalizer, FINALIZER_ORPHAN | FINALIZER_FOREGROUND | "kubernetes");
    let text = "name is neither a standard finalizer name nor is it fully qualified";
    let wrong = asked && !finalizer.contains('/') && !known;
    wrong.then(|| FieldError::invalid(&path.index(index), finalizer, text))
}

/// The rules of every kind (apimachinery, api/validation: ValidateFinalizers); `further` are more of a single one.
fn qualified_finalizers(
    object: &Object,
    path: &Path,
    further: impl Fn(usize, &str) -> Option<FieldError>,
) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let (mut orphan, mut foreground) = (false, false);
    for (index, finalizer) in object.finalizers().enumerate() {
        for text in names::qualified_name(finalizer) {
            errors.push(FieldError::invalid(path, finalizer, text));
        }
        orphan |= finalizer == FINALIZER_ORPHAN;
        foreground |= finalizer == FINALIZER_FOREGROUND;
        errors.extend(further(index, finalizer));
    }
    if orphan && foreground {
        let all: Vec<&str> = object.finalizers().collect();
        let text = format!("finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, Value::from(all), text));
    }
    errors
}

/// The finalizers of propagation: somebody else deletes, or lets go of, what the object owns.
pub(crate) const FINALIZER_ORPHAN: &str = "orphan";
pub(crate) const FINALIZER_FOREGROUND: &str = "foregroundDeletion";

/// Fills in what an update may leave out, and says what is wrong with the rest: all that a creation's metadata may not have
/// either, and what may not change. Go asks twice (the generic code for the object and for the change), and the kind's strategy for
/// the change, for the object, for both or for neither: as often stands an error among the causes. `view`: the subresource that is
/// written.
pub(crate) fn settle_update(
    row: &Resource,
    object: &mut Object,
    old: &Object,
    view: &str,
    gates: &Gates,
) -> FieldErrors {
    let path = Path::new("metadata");
    let metadata = object.metadata_mut();
    let unset = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    for name in ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        // A deletion that has begun keeps its time, whatever is sent.
        let fixed = name == "deletionTimestamp" && !unset(old.metadata().get(name));
        if fixed || unset(metadata.get(name)) {
            match old.metadata().get(name) {
                Some(value) => drop(metadata.insert(name.to_owned(), value.clone())),
                None => drop(metadata.remove(name)),
            }
        }
    }
    match old.metadata().get("creationTimestamp") {
        Some(value) => drop(metadata.insert("creationTimestamp".to_owned(), value.clone())),
        None => drop(metadata.remove("creationTimestamp")),
    }
    metadata.remove("selfLink");
    let mut shared = FieldErrors::default();
    common(object, &path, &mut shared);
    let qualified = qualified_finalizers(object, &path.child("finalizers"), |_, _| None);
    let (managers, domains) = (managers(object, &path), domains(row, object, &path));
    let change = change(object, old, &path);
    // What is stored has such a name: it may be none that the kind's rules allow today.
    let mut errors = identity(row, object, &path, names::path_segment, names::path_segment);
    let asked = match row.strategy.metadata_of_update() {
        // Of the writes to a view no more is asked than what may not change.
        MetadataOfUpdate::Creation | MetadataOfUpdate::Both if !view.is_empty() => MetadataOfUpdate::Change,
        asked => asked,
    };
    let mut all = vec![&shared, &qualified, &managers, &change, &shared, &managers];
    if matches!(asked, MetadataOfUpdate::Change | MetadataOfUpdate::Both) {
        all.extend([&change, &shared, &managers, &domains]);
    }
    let again = matches!(asked, MetadataOfUpdate::Creation | MetadataOfUpdate::Both)
        .then(|| (new_identity(row, object, &path, gates), finalizers(row, object, &path)));
    if let Some((identity, finalizers)) = &again {
        all.extend([identity, &shared, finalizers, &managers]);
    }
    for part in all {
        errors.extend(part.iter().cloned());
    }
    errors
}

/// What may not change.
fn change(object: &Object, old: &Object, path: &Path) -> FieldErrors {
    let mut errors = FieldErrors::default();
    if old.deletion_timestamp().is_some() {
        let had: HashSet<&str> = old.finalizers().collect();
        let new: Vec<&str> = object.finalizers().filter(|new| !had.contains(new)).collect();
        if !new.is_empty() {
            let list: Vec<String> = new.iter().map(|new| sampan_api::field::go_quote(new)).collect();
            let text = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), text));
        }
    }
    for name in ["name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, was) = (object.metadata().get(name), old.metadata().get(name));
        if new != was {
            let shown = new.cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(&path.child(name), shown, "field is immutable"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::limits::FIELD_ERRORS_BYTES_MAX;
    use serde_json::json;

    fn object(metadata: Value) -> Object {
        Object::from_value(json!({"metadata": metadata})).expect("an object")
    }

    fn row() -> Resource {
        Resource::new("", "v1", "things", "Thing")
    }

    #[test]
    fn metadata_is_checked_in_kubernetes_words() {
        let row = row();
        let check = |metadata: Value, expected: &[&str]| {
            let errors = validate(&row, &object(metadata), &Gates::default());
            let found: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found}\n{expected}");
            }
        };
        check(json!({"name": "a", "namespace": "b"}), &[]);
        check(json!({"namespace": "b"}), &["metadata.name: Required value: name or generateName is required"]);
        check(json!({"name": "a", "namespace": "b", "generateName": "a_-"}), &[]);
        check(
            json!({"name": "a", "namespace": "b", "generateName": "_a-"}),
            &["metadata.generateName: Invalid value: \"_a-\": a lowercase RFC 1123 subdomain"],
        );
        check(
            json!({"name": "a", "namespace": "b", "generateName": "-"}),
            &["metadata.generateName: Invalid value: \"-\": a lowercase RFC 1123 subdomain"],
        );
        check(
            json!({"name": "a\nb", "namespace": "b"}),
            &["metadata.name: Invalid value: \"a\\nb\": a lowercase RFC 1123 subdomain"],
        );
        check(
            json!({"name": "A", "labels": {"a b": "c d"}, "annotations": {"x y": "z"}}),
            &[
                "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
                "metadata.namespace: Required value",
                "metadata.labels: Invalid value: \"a b\": name part must consist",
                "metadata.labels: Invalid value: \"c d\": a valid label must",
                "metadata.annotations: Invalid value: \"x y\": name part must consist",
            ],
        );
        check(
            json!({"name": "a", "namespace": "b", "ownerReferences": [{"name": "", "uid": ""}]}),
            &[
                "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
                "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
                "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
                "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
            ],
        );
        check(
            json!({"name": "a", "namespace": "b", "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1", "controller": true},
                {"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "2", "controller": true}]}),
            &[
                "metadata.ownerReferences: Invalid value: [{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"a\",\"uid\":\"1\",\
               \"controller\":true},{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"b\",\"uid\":\"2\",\"controller\":true}]: \
               Only one reference can have Controller set to true. Found \"true\" in references for Pod/a and Pod/b",
            ],
        );
        check(
            json!({"name": "a", "namespace": "b", "finalizers": ["bad name", "orphan", "foregroundDeletion"]}),
            &[
                "metadata.finalizers: Invalid value: \"bad name\": name part must consist",
                "metadata.finalizers[0]: Invalid value: \"bad name\": name is neither a standard finalizer name",
                "metadata.finalizers: Invalid value: [\"bad name\",\"orphan\",\"foregroundDeletion\"]: finalizer orphan and",
            ],
        );
    }

    #[test]
    fn an_update_keeps_what_it_leaves_out_and_may_not_change_the_rest() {
        let old = object(
            json!({"name": "a", "namespace": "b", "uid": "u", "creationTimestamp": "t", "deletionTimestamp": "d", "finalizers": ["x/y"]}),
        );
        let mut new = object(json!({"name": "a", "namespace": "b"}));
        assert!(settle_update(&row(), &mut new, &old, "", &Gates::default()).is_empty());
        assert_eq!((new.uid(), new.deletion_timestamp()), ("u", Some("d")));
        let mut new = object(json!({"name": "a", "namespace": "b", "deletionTimestamp": "later"}));
        assert!(settle_update(&row(), &mut new, &old, "", &Gates::default()).is_empty());
        assert_eq!(new.deletion_timestamp(), Some("d"), "a deletion's time is not the client's to change");
        let alive = object(json!({"name": "a", "namespace": "b"}));
        let mut new = object(json!({"name": "a", "namespace": "b", "deletionTimestamp": "d"}));
        assert!(!settle_update(&row(), &mut new, &alive, "", &Gates::default()).is_empty(), "nor to begin");
        let mut new = object(json!({"name": "a", "namespace": "b", "uid": "other", "finalizers": ["x/y", "x/z"]}));
        let found: Vec<String> = settle_update(&row(), &mut new, &old, "", &Gates::default())
            .iter()
            .map(|error| error.to_string())
            .collect();
        let once = [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/z\"}",
            "metadata.uid: Invalid value: \"other\": field is immutable",
        ];
        assert_eq!(found, [once, once].concat());
    }
    #[test]
    fn an_update_may_have_nothing_that_a_creation_may_not() {
        let row = row();
        let good = json!({"name": "a", "namespace": "b"});
        let check = |name: &str, value: Value, times: usize| {
            let mut metadata = good.clone();
            metadata[name] = value;
            let created = validate(&row, &object(metadata.clone()), &Gates::default());
            assert!(!created.is_empty(), "{name} is refused at a creation");
            let updated = settle_update(&row, &mut object(metadata), &object(good.clone()), "", &Gates::default());
            let texts = |errors: &FieldErrors| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
            for error in texts(&created) {
                let found = texts(&updated).iter().filter(|other| **other == error).count();
                assert_eq!(found, times, "{error}");
            }
        };
        let mut new = object(json!({"name": "a", "namespace": "b", "generateName": "a/b"}));
        let told = settle_update(&row, &mut new, &object(good.clone()), "", &Gates::default()).to_string();
        assert_eq!(told, "metadata.generateName: Invalid value: \"a/b\": may not contain '/'");
        check("labels", json!({"a b": "c"}), 3);
        check("annotations", json!({"a b": "c"}), 3);
        check("ownerReferences", json!([{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": "u"}]), 3);
        check("managedFields", json!([{"operation": "Guess"}]), 3);
        for finalizers in [json!(["noslash"]), json!(["a b/c"]), json!(["orphan", "foregroundDeletion"]), json!([""])] {
            check("finalizers", finalizers, 1);
        }
    }

    #[test]
    fn long_lists_are_checked_in_time() {
        const LONG: usize = 20_000;
        let owner = |n: usize| json!({"apiVersion": "v1", "kind": "Pod", "name": format!("p{n}"), "uid": "u", "controller": true});
        let owners: Vec<Value> = (0..LONG).chain(0..LONG).map(owner).collect();
        let finalizers: Vec<String> = (0..LONG).map(|n| format!("example.com/{n}")).collect();
        let mut new =
            object(json!({"name": "a", "namespace": "b", "ownerReferences": owners, "finalizers": finalizers}));
        take_repeated(&mut new).expect("half of them are repeated");
        assert_eq!(new.metadata()["ownerReferences"].as_array().map(Vec::len), Some(LONG));
        let mut old = new.clone();
        old.set_meta("deletionTimestamp", "d");
        let errors = settle_update(&row(), &mut new, &old, "", &Gates::default());
        assert!((1..=2 * CONTROLLER_ERRORS_MAX).contains(&errors.len()), "{}", errors.len());
        let shown: usize = errors.iter().map(|error| error.to_string().len()).sum();
        assert!(errors.len() == 1 || shown <= FIELD_ERRORS_BYTES_MAX, "each shows all owners: {shown} bytes");
    }
}
