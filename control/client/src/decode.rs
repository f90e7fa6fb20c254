//! Records out of what a remote server sends: encoded anew once, so that everything after the transport is the same.

use crate::Result;
use crate::error::Error;
use bytes::Bytes;
use sampan_api::object::OwnerReference;
use sampan_api::record::Deletion;
use sampan_api::{Record, RecordKey, RecordParts};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fields that built-in kinds declare selectable: a remote client cannot ask the resource table, so it keeps whichever
/// of them an object has.
const SELECTABLE: &[(&str, &[&str])] = &[
    ("involvedObject.kind", &["involvedObject", "kind"]),
    ("involvedObject.name", &["involvedObject", "name"]),
    ("involvedObject.namespace", &["involvedObject", "namespace"]),
    ("involvedObject.uid", &["involvedObject", "uid"]),
    ("pod.name", &["pod", "name"]),
    ("reason", &["reason"]),
    ("spec.nodeName", &["spec", "nodeName"]),
    ("spec.restartPolicy", &["spec", "restartPolicy"]),
    ("spec.schedulerName", &["spec", "schedulerName"]),
    ("spec.serviceAccountName", &["spec", "serviceAccountName"]),
    ("status.nominatedNodeName", &["status", "nominatedNodeName"]),
    ("status.phase", &["status", "phase"]),
    ("status.podIP", &["status", "podIP"]),
    ("type", &["type"]),
];

/// A record of an object as it came over the wire. `create_revision`, `version` and `writer` are not on the wire: they
/// are zero and empty.
///
/// # Errors
/// `Protocol` when it has no apiVersion, kind, name or numeric resourceVersion.
pub fn record_from_value(value: Value) -> Result<Record> {
    let missing = |what: &str| Error::Protocol(format!("an object without {what}"));
    let Value::Object(mut fields) = value else { return Err(Error::Protocol("an object that is none".into())) };
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(missing(name)),
    };
    let (api_version, kind) = (take("apiVersion")?, take("kind")?);
    let Some(Value::Object(mut metadata)) = fields.remove("metadata") else { return Err(missing("metadata")) };
    let mod_revision = match metadata.remove("resourceVersion") {
        Some(Value::String(text)) => text.parse().map_err(|_| missing("a numeric resourceVersion"))?,
        _ => return Err(missing("resourceVersion")),
    };
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or("");
    let key = RecordKey::new(text("namespace"), text("name"));
    let uid: Arc<str> = text("uid").into();
    if key.name.is_empty() {
        return Err(missing("a name"));
    }
    let labels: BTreeMap<String, String> = metadata
        .get("labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let owners: Vec<OwnerReference> = metadata
        .get("ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(OwnerReference::from_value)
        .collect();
    let finalizers = metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten();
    let deletion = Deletion::of(
        metadata.get("deletionTimestamp").is_some_and(Value::is_string),
        finalizers.filter_map(Value::as_str),
    );
    let selectable: Vec<(&'static str, String)> = SELECTABLE
        .iter()
        .filter_map(|(name, path)| {
            let (first, rest) = path.split_first()?;
            let value = rest.iter().try_fold(fields.get(*first)?, |value, key| value.get(*key))?;
            Some((*name, value.as_str()?.to_owned()))
        })
        .collect();

    let quoted = |text: &str| Value::from(text).to_string();
    let mut json = format!("{{\"apiVersion\":{},\"kind\":{},", quoted(&api_version), quoted(&kind));
    let type_meta_end = json.len() as u32;
    json.push_str("\"metadata\":{");
    let rv_offset = json.len() as u32;
    let metadata = Value::Object(metadata).to_string();
    json.push_str(metadata.strip_prefix('{').unwrap_or(&metadata));
    let rest = Value::Object(fields).to_string();
    if rest.len() > 2 {
        json.push(',');
        json.push_str(&rest[1..]);
    } else {
        json.push('}');
    }
    Ok(Record::new(RecordParts {
        key,
        api_version: api_version.into(),
        kind: kind.into(),
        uid,
        create_revision: 0,
        mod_revision,
        version: 0,
        labels: Arc::new(labels),
        owners: owners.into(),
        deletion,
        fields: selectable.into(),
        writer: Arc::default(),
        json: Bytes::from(json),
        type_meta_end,
        rv_offset,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_came_over_the_wire_reads_back_as_it_was() {
        let check = |value: Value| {
            let record = record_from_value(value.clone()).expect("a record");
            assert_eq!(serde_json::from_slice::<Value>(&record.to_json()).expect("JSON"), value);
            let mut item = Vec::new();
            record.write_item_json(&mut item);
            let item: Value = serde_json::from_slice(&item).expect("JSON");
            assert_eq!(item["metadata"], value["metadata"]);
            assert!(item.get("kind").is_none());
        };
        check(json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "7"}}));
        check(
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "b", "resourceVersion": "7",
            "labels": {"x": "\"\n"}}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}),
        );
    }

    #[test]
    fn what_informers_index_is_kept_aside() {
        let record = record_from_value(json!({"kind": "Pod", "apiVersion": "v1", "spec": {"nodeName": "n"},
            "metadata": {"name": "a", "namespace": "b", "resourceVersion": "7", "uid": "u", "labels": {"l": "v"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "o", "controller": true}]}}))
        .expect("a record");
        assert_eq!((&*record.uid, record.mod_revision, record.field("spec.nodeName")), ("u", 7, Some("n")));
        assert_eq!((record.owners[0].uid.as_str(), record.labels["l"].as_str()), ("o", "v"));
        assert_eq!(record.key.to_string(), "b/a");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for value in [
            json!([]),
            json!({}),
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}),
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}}),
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "x"}}),
        ] {
            assert!(matches!(record_from_value(value), Err(Error::Protocol(_))));
        }
    }
}
