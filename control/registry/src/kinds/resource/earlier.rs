//! `resource.k8s.io/v1beta1`, whose requests and devices are of another shape (pkg/apis/resource/v1beta1/conversion.go).

use crate::resource::Resource;
use sampan_api::object::Object;
use serde_json::{Map, Value, json};

/// The rows of `v1beta1` beside those of `v1`.
pub(super) fn rows(stable: &[Resource]) -> Vec<Resource> {
    let all = stable.iter().map(|row| {
        let row = row.also_in("v1beta1").deprecated_since(35, 38, None);
        match FORMS.iter().find(|form| form.kind == row.kind) {
            None => row,
            Some(form) => {
                let storage = row.stored_as.as_ref().map(|stored_as| stored_as.storage.clone());
                storage.into_iter().fold(row, |row, storage| row.stored_as(storage, form.to_v1, form.to_v1beta1))
            }
        }
    });
    all.collect()
}

/// The conversions of a kind.
struct Form {
    kind: &'static str,
    to_v1: fn(&mut Object),
    to_v1beta1: fn(&mut Object),
}

const FORMS: [Form; 3] = [
    Form {
        kind: "ResourceClaim",
        to_v1: |claim| each(claim, REQUESTS, gather),
        to_v1beta1: |claim| each(claim, REQUESTS, spread),
    },
    Form {
        kind: "ResourceClaimTemplate",
        to_v1: |template| each(template, TEMPLATE_REQUESTS, gather),
        to_v1beta1: |template| each(template, TEMPLATE_REQUESTS, spread),
    },
    Form { kind: "ResourceSlice", to_v1: slice_to_v1, to_v1beta1: |slice| each(slice, DEVICES, device_to_v1beta1) },
];

const REQUESTS: &[&str] = &["spec", "devices", "requests"];
const TEMPLATE_REQUESTS: &[&str] = &["spec", "spec", "devices", "requests"];
const DEVICES: &[&str] = &["spec", "devices"];
/// What v1 has in `exactly`.
const EXACT: [&str; 7] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"];

fn each(object: &mut Object, list: &[&str], change: fn(&mut Map<String, Value>)) {
    let items = object.get_mut(list).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
}

/// The fields of a request of one device class go into `exactly`, where any of them is set.
fn gather(request: &mut Map<String, Value>) {
    let mut exactly = Map::new();
    for name in EXACT {
        exactly.extend(request.remove(name).map(|value| (name.to_owned(), value)));
    }
    let zero = |value: &Value| value.is_null() || *value == json!("") || *value == json!(0);
    if exactly.values().any(|value| !zero(value)) {
        exactly.entry("deviceClassName").or_insert_with(|| "".into());
        request.insert("exactly".to_owned(), Value::Object(exactly));
    }
}

fn spread(request: &mut Map<String, Value>) {
    if let Some(Value::Object(exactly)) = request.remove("exactly") {
        request.extend(exactly);
    }
}

fn slice_to_v1(slice: &mut Object) {
    each(slice, DEVICES, |device| {
        if let Some(Value::Object(basic)) = device.remove("basic") {
            device.extend(basic);
        }
    });
    // Held by value in v1beta1, by pointer in v1: the zero is nothing.
    for (field, zero) in [("nodeName", json!("")), ("allNodes", json!(false))] {
        if slice.get(&["spec", field]) == Some(&zero) {
            slice.remove(&["spec", field]);
        }
    }
}

fn device_to_v1beta1(device: &mut Map<String, Value>) {
    let name = device.remove("name");
    let basic = std::mem::take(device);
    device.extend(name.map(|name| ("name".to_owned(), name)));
    device.insert("basic".to_owned(), Value::Object(basic));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_go_there_and_back() {
        let check = |kind: &str, beta: Value, stable: Value| {
            let form = FORMS.iter().find(|form| form.kind == kind).expect("a form");
            let object = |value: &Value| Object::from_value(value.clone()).expect("an object");
            let mut converted = object(&beta);
            (form.to_v1)(&mut converted);
            assert_eq!(converted.to_value()["spec"], stable["spec"], "{kind}");
            (form.to_v1beta1)(&mut converted);
            assert_eq!(converted.to_value()["spec"], beta["spec"], "{kind}");
        };
        let beta = json!([{"name": "a", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
            {"name": "b", "firstAvailable": [{"name": "c", "deviceClassName": "gpu"}]}]);
        let stable = json!([
            {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}},
            {"name": "b", "firstAvailable": [{"name": "c", "deviceClassName": "gpu"}]}]);
        check(
            "ResourceClaim",
            json!({"metadata": {}, "spec": {"devices": {"requests": beta}}}),
            json!({"spec": {"devices": {"requests": stable}}}),
        );
        check(
            "ResourceClaimTemplate",
            json!({"metadata": {}, "spec": {"spec": {"devices": {"requests": beta}}}}),
            json!({"spec": {"spec": {"devices": {"requests": stable}}}}),
        );
        check(
            "ResourceSlice",
            json!({"metadata": {}, "spec": {"nodeName": "n", "devices": [{"name": "d",
                "basic": {"attributes": {"a": {"int": 1}}, "capacity": {"c": {"value": "1"}}}}]}}),
            json!({"spec": {"nodeName": "n", "devices": [{"name": "d",
                "attributes": {"a": {"int": 1}}, "capacity": {"c": {"value": "1"}}}]}}),
        );
    }

    #[test]
    fn nothing_of_a_request_is_no_exact_request() {
        let mut request = json!({"name": "a", "count": 0, "deviceClassName": ""});
        gather(request.as_object_mut().expect("a map"));
        assert_eq!(request, json!({"name": "a"}));
    }
}
