//! Patches, by their directives.

use sampan_api::limits::JSON_PATCH_OPERATIONS_MAX;
use sampan_schema::patch::{self, PatchError};
use sampan_schema::{Schema, json, managed};
use serde_json::{Value, json as value};

fn pod_spec(spec: Value) -> Value {
    value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

fn strategic(current: Value, change: Value) -> Result<Value, PatchError> {
    let schema = Schema::builtin();
    let id = schema.find("", "v1", "Pod").expect("Pod");
    patch::strategic(schema, id, pod_spec(current), value!({"spec": change})).map(|mut done| done["spec"].take())
}

fn check(current: Value, change: Value, expected: Value) {
    assert_eq!(strategic(current, change.clone()).unwrap_or_else(|e| panic!("{change}: {e}")), expected, "{change}");
}

#[test]
fn lists_merge_by_their_keys() {
    let two = value!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]});
    check(
        two.clone(),
        value!({"containers": [{"name": "b", "image": "2"}]}),
        value!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}),
    );
    check(
        two.clone(),
        value!({"containers": [{"name": "a", "$patch": "delete"}]}),
        value!({"containers": [{"name": "b", "image": "1"}]}),
    );
    check(
        two.clone(),
        value!({"containers": [{"$patch": "replace"}, {"name": "c", "image": "3"}]}),
        value!({"containers": [{"name": "c", "image": "3"}]}),
    );
    check(
        two.clone(),
        value!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
        value!({"containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "1"}]}),
    );
    check(
        two.clone(),
        value!({"containers": [{"name": "a", "image": null, "args": ["x"]}]}),
        value!({"containers": [{"name": "a", "args": ["x"]}, {"name": "b", "image": "1"}]}),
    );
    check(two.clone(), value!({"containers": null, "nodeName": "n"}), value!({"nodeName": "n"}));
    check(
        value!({"nodeSelector": {"a": "1", "b": "2"}}),
        value!({"nodeSelector": {"a": null, "c": "3", "d": null}}),
        value!({"nodeSelector": {"b": "2", "c": "3"}}),
    );
    check(
        value!({"nodeSelector": {"a": "1"}}),
        value!({"nodeSelector": {"$patch": "replace", "z": "1"}}),
        value!({"nodeSelector": {"z": "1"}}),
    );
    check(
        value!({"tolerations": [{"key": "a"}]}),
        value!({"tolerations": [{"key": "b"}]}),
        value!({"tolerations": [{"key": "b"}]}),
    );
    check(
        value!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        value!({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}),
        value!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
    );
}

#[test]
fn what_cannot_be_merged_is_said_as_kubernetes_says_it() {
    let one = value!({"containers": [{"name": "a"}]});
    let table = [
        (value!({"containers": [{"image": "q"}]}), "map: map[image:q] does not contain declared merge key: name"),
        (
            value!({"containers": [{"name": "a", "$patch": "bogus"}]}),
            "unknown patch type: bogus in map: map[$patch:bogus name:a]",
        ),
        (
            value!({"containers": [{"name": "c", "image": "n"}], "$setElementOrder/containers": [{"name": "d"}]}),
            "The order in patch list:\n[map[image:n name:c]]\n doesn't match $setElementOrder list:\n[map[name:d]]\n",
        ),
        (value!({"$patch": 5}), "unknown patch type: %!s(int64=5) in map: map[$patch:5]"),
        (value!({"$patch": null}), "unknown patch type: %!s(<nil>) in map: map[$patch:<nil>]"),
        (value!({"$patch": {"a": 1}}), "unknown patch type: map[a:%!s(int64=1)] in map: map[$patch:map[a:1]]"),
        (value!({"$setElementOrder/containers": 5}), "expected a []interface {}, but received a int64"),
        (value!({"$setElementOrder/containers": [5]}), "value for key 0 is not a map"),
        (value!({"$setElementOrder/containers": [null]}), "value for key 0 is not a map"),
        (value!({"$setElementOrder/containers": ["a"]}), "value for key 0 is not a map"),
        (
            value!({"$setElementOrder/containers": [{"name": "a"}, 5]}),
            "expected a map[string]interface {}, but received a int64",
        ),
        (value!({"containers": [null]}), "list element types are not identical: [[map[name:a]] [<nil>]]"),
        (
            value!({"containers": [{"name": "a"}, 5]}),
            "list element types are not identical: [[map[name:a]] [map[name:a] 5]]",
        ),
        (value!({"containers": [[]]}), "list element types are not identical: [[map[name:a]] [[]]]"),
        (
            value!({"$deleteFromPrimitiveList/containers": ["a"]}),
            "list element types are not identical: [[map[name:a]] [a]]",
        ),
    ];
    for (change, expected) in table {
        assert_eq!(strategic(one.clone(), change.clone()), Err(PatchError::Internal(expected.into())), "{change}");
    }
    for (change, expected) in [
        (value!({"$retainKeys": ["x"], "nodeName": "n"}), "invalid patch format of retainKeys"),
        (value!({"$retainKeys": "x"}), "invalid patch format of retainKeys"),
        (value!({"$retainKeys": null}), "invalid patch format of retainKeys"),
        (value!({"$setElementOrder": []}), "invalid patch format of setElementOrder list"),
        (value!({"$deleteFromPrimitiveList": []}), "invalid patch format of primitive list"),
    ] {
        assert_eq!(strategic(one.clone(), change.clone()), Err(PatchError::BadRequest(expected.into())), "{change}");
    }
}

#[test]
fn what_a_merge_makes_is_refused_in_the_converter_s_words() {
    let schema = Schema::builtin();
    let id = schema.find("apps", "v1", "Deployment").expect("Deployment");
    let check = |value: Value, expected: Option<&str>| {
        assert_eq!(json::restore(schema, id, &value).err().as_deref(), expected, "{value}");
    };
    let pod = |spec: Value| value!({"spec": {"template": {"spec": spec}}});
    check(value!({"spec": 5}), Some("cannot restore struct from: int64"));
    check(value!({"spec": "x"}), Some("cannot restore struct from: string"));
    check(value!({"spec": []}), Some("cannot restore struct from: slice"));
    check(value!({"kind": 5}), Some("cannot convert int64 to string"));
    check(value!({"metadata": {"labels": []}}), Some("cannot restore map from slice"));
    check(value!({"metadata": {"labels": {"a": {}}}}), Some("unrecognized type: string"));
    check(pod(value!({"containers": {}})), Some("cannot restore slice from map"));
    check(pod(value!({"containers": 5})), Some("cannot restore slice from int64"));
    check(pod(value!({"containers": [{"name": true}]})), Some("unrecognized type: string"));
    check(pod(value!({"containers": [{"ports": [{"containerPort": "x"}]}]})), Some("unrecognized type: int32"));
    check(pod(value!({"containers": [{"resources": {"limits": []}}]})), Some("cannot restore map from slice"));
    check(pod(value!({"containers": [{"name": "c", "image": null}]})), None);
    check(value!({"spec": {"replicas": 1.5}}), Some("cannot convert float64 to int32"));
    let number = "json: cannot unmarshal number into Go value of type string";
    check(value!({"metadata": {"creationTimestamp": 5}}), Some(number));
    let rolling = |surge: Value| value!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": surge}}}});
    check(rolling(value!([{}])), Some("json: cannot unmarshal array into Go value of type int32"));
    let beyond = "json: cannot unmarshal number 99999999999 into Go value of type int32";
    check(rolling(value!(99_999_999_999_i64)), Some(beyond));
    check(rolling(value!(1.0)), None);
}

#[test]
fn numbers_are_cut_to_their_fields_as_by_the_converter() {
    let schema = Schema::builtin();
    let id = schema.find("apps", "v1", "Deployment").expect("Deployment");
    let check = |sent: Value, replicas: i64| {
        let decoded = json::restore(schema, id, &value!({"spec": {"replicas": sent}})).expect("restored");
        assert_eq!(decoded.value["spec"]["replicas"], replicas, "{sent}");
    };
    check(value!(3), 3);
    check(value!(1.0), 1);
    check(value!(4_294_967_298_i64), 2);
    check(value!(4_294_967_298.0), 2);
    check(value!(-2_147_483_649_i64), 2_147_483_647);
    check(value!(i64::MAX), -1);
    check(value!(1e10), 1_410_065_408);
    check(value!(u64::MAX), 0);
    check(value!(-1e30), 0);
}

#[test]
fn in_what_is_of_any_kind_no_field_is_merged() {
    let schema = Schema::builtin();
    let id = schema.find("apps", "v1", "ControllerRevision").expect("ControllerRevision");
    let current = value!({"data": {"any": ["thing", 1], "other": "x"}});
    let merge = |change: Value| patch::strategic(schema, id, current.clone(), value!({"data": change}));
    for change in [value!({"any": ["thing", 1]}), value!({"$setElementOrder/any": [1]})] {
        let text = "unable to find api field in struct RawExtension for the json field \"any\"";
        assert_eq!(merge(change), Err(PatchError::Internal(text.into())));
    }
    let merged = merge(value!({"other": "y", "new": {"a": 1}})).expect("applies");
    assert_eq!(merged, value!({"data": {"any": ["thing", 1], "other": "y", "new": {"a": 1}}}));
}

#[test]
fn primitive_lists_merge_and_shrink() {
    let schema = Schema::builtin();
    let id = schema.find("", "v1", "ConfigMap").expect("ConfigMap");
    let current = value!({"metadata": {"finalizers": ["a", "b"]}});
    let table = [
        (value!({"finalizers": ["c"]}), value!(["a", "b", "c"]), true),
        (value!({"finalizers": ["a"]}), value!(["a", "b"]), true),
        (value!({"$deleteFromPrimitiveList/finalizers": ["a"]}), value!(["b"]), true),
        (value!({"$setElementOrder/finalizers": ["b", "n", "a"], "finalizers": ["n"]}), value!(["b", "n", "a"]), true),
    ];
    for (change, expected, ordered) in table {
        let done = patch::strategic(schema, id, current.clone(), value!({"metadata": change})).expect("applies");
        let mut got = done["metadata"]["finalizers"].as_array().cloned().expect("a list");
        let mut wanted = expected.as_array().cloned().expect("a list");
        if !ordered || change.get("finalizers") == Some(&value!(["c"])) {
            got.sort_by_key(ToString::to_string);
            wanted.sort_by_key(ToString::to_string);
        }
        assert_eq!(got, wanted, "{change}");
    }
}

#[test]
fn long_lists_merge_in_time() {
    const LONG: usize = 20_000;
    let schema = Schema::builtin();
    let id = schema.find("", "v1", "ConfigMap").expect("ConfigMap");
    let names = |from: usize| -> Value { (from..from + LONG).map(|n| format!("example.com/{n}")).collect() };
    let current = value!({"metadata": {"finalizers": names(0)}});
    let merged = |change: Value| {
        let mut done = patch::strategic(schema, id, current.clone(), value!({"metadata": change})).expect("applies");
        done["metadata"]["finalizers"].take()
    };
    let half = LONG / 2;
    let both = merged(value!({"finalizers": names(half)}));
    assert_eq!(both.as_array().map(Vec::len), Some(LONG + half));
    let order = merged(value!({"$setElementOrder/finalizers": names(0), "finalizers": names(0)}));
    assert_eq!(order, names(0));
    let left = merged(value!({"$deleteFromPrimitiveList/finalizers": names(half)}));
    assert_eq!(left.as_array().map(Vec::len), Some(half));

    let containers =
        |image: &str| -> Value { (0..LONG).map(|n| value!({"name": format!("c{n}"), "image": image})).collect() };
    check(
        value!({"containers": containers("1")}),
        value!({"containers": containers("2")}),
        value!({"containers": containers("2")}),
    );
    let deleted: Value = (1..LONG).map(|n| value!({"name": format!("c{n}"), "$patch": "delete"})).collect();
    check(
        value!({"containers": containers("1")}),
        value!({"containers": deleted}),
        value!({"containers": [{"name": "c0", "image": "1"}]}),
    );
}

#[test]
fn json_patches_apply_whole_or_not_at_all() {
    let current = value!({"data": {"a": "1"}, "list": [1, 2]});
    let apply = |change: Value| patch::json(current.clone(), &change);
    let good = value!([{"op": "test", "path": "/data/a", "value": "1"}, {"op": "copy", "from": "/data/a", "path": "/data/b"},
        {"op": "add", "path": "/list/-", "value": 3}, {"op": "remove", "path": "/data/a"}]);
    assert_eq!(apply(good), Ok(value!({"data": {"b": "1"}, "list": [1, 2, 3]})));
    let unprocessable = |text: &str| Err(PatchError::Unprocessable(text.to_string()));
    let table = [
        (
            value!([{"op": "test", "path": "/data/a", "value": "2"}]),
            Err(PatchError::TestFailed("testing value /data/a failed: test failed".into())),
        ),
        // Nothing but a replacement or a test may mean the whole.
        (
            value!([{"op": "copy", "from": "", "path": "/x"}]),
            unprocessable("copy operation does not apply: doc is missing from path: : missing value"),
        ),
        (
            value!([{"op": "replace", "path": "/list/2", "value": 1}]),
            unprocessable("replace operation does not apply: doc is missing key: /list/2: missing value"),
        ),
        (
            value!([{"op": "remove", "path": "/list/-3"}]),
            unprocessable(
                "error in remove for path: '/list/-3': Unable to access invalid index: -3: invalid index referenced",
            ),
        ),
        (
            value!([{"op": "add", "path": "/list/x", "value": 1}]),
            unprocessable(
                "error in add for path: '/list/x': value was not a proper array index: 'x': \
                 strconv.Atoi: parsing \"x\": invalid syntax",
            ),
        ),
        (
            value!([{"op": "test", "path": "/no/z"}]),
            unprocessable("test operation does not apply: is missing path: /no/z: missing value"),
        ),
        (
            value!([{"op": "move", "from": "/data", "path": "/data/b"}]),
            unprocessable("move operation does not apply: doc is missing destination path: /data/b: missing value"),
        ),
        (value!([{"op": "remove"}]), unprocessable("remove operation failed to decode path: missing value")),
        (
            value!([{"op": "test", "path": 1}]),
            unprocessable(
                "test operation failed to decode path: json: cannot unmarshal number into Go value of type string",
            ),
        ),
        (
            value!([1]),
            Err(PatchError::BadRequest(
                "json: cannot unmarshal number into Go value of type jsonpatch.Operation".into(),
            )),
        ),
        (value!([null]), unprocessable("Unexpected kind: unknown")),
        (
            value!([{"op": "remove", "path": "/data/z"}]),
            unprocessable("error in remove for path: '/data/z': Unable to remove nonexistent key: z: missing value"),
        ),
        (
            value!([{"op": "add", "path": "/no/z", "value": 1}]),
            unprocessable("add operation does not apply: doc is missing path: \"/no/z\": missing value"),
        ),
        (value!([{"op": "bogus", "path": "/a"}]), unprocessable("Unexpected kind: bogus")),
        (
            value!({}),
            Err(PatchError::BadRequest("json: cannot unmarshal object into Go value of type jsonpatch.Patch".into())),
        ),
    ];
    for (change, expected) in table {
        assert_eq!(apply(change.clone()), expected, "{change}");
    }
    let one = value!({"op": "test", "path": "/data/a", "value": "1"});
    let at = |count: usize| apply(Value::Array(vec![one.clone(); count]));
    assert!(at(JSON_PATCH_OPERATIONS_MAX).is_ok());
    let text = "The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!(at(JSON_PATCH_OPERATIONS_MAX + 1), Err(PatchError::TooLarge(text.into())));
    let more = value!({"op": "add", "path": "/data/long", "value": "x".repeat(1 << 20)});
    let doubling = (0..40).map(|n| value!({"op": "copy", "from": "/data", "path": format!("/data/x{n}")}));
    let Err(PatchError::Unprocessable(text)) = apply([more].into_iter().chain(doubling).collect()) else {
        panic!("it grows without end");
    };
    assert!(text.starts_with("Unable to complete the copy, the accumulated size increase of copy is "), "{text}");
}

/// Where Kubernetes' library does not what RFC 6902 says.
#[test]
fn json_patches_are_read_as_kubernetes_reads_them() {
    let check = |current: Value, operation: Value, expected: Value| {
        assert_eq!(patch::json(current, &value!([operation.clone()])), Ok(expected), "{operation}");
    };
    check(value!({}), value!({"op": "replace", "path": "/a", "value": 1}), value!({"a": 1}));
    check(value!({"a": 1}), value!({"op": "replace", "path": "", "value": {"b": 2}}), value!({"b": 2}));
    check(value!({}), value!({"op": "test", "path": "/a", "value": null}), value!({}));
    check(value!({}), value!({"op": "test", "path": "/a"}), value!({}));
    check(value!({"a": 1}), value!({"op": "test", "path": "", "value": {"a": 1}}), value!({"a": 1}));
    check(value!({}), value!({"op": "copy", "from": "/a", "path": "/b"}), value!({"b": null}));
    check(value!({}), value!({"op": "add", "path": "/a"}), value!({"a": null}));
    check(value!({"a": {}}), value!({"op": "add", "path": "x/a/b", "value": 1}), value!({"a": {"b": 1}}));
    check(value!({"a": [1, 2]}), value!({"op": "remove", "path": "/a/-1"}), value!({"a": [1]}));
    check(value!({"a": [1, 2]}), value!({"op": "add", "path": "/a/-1", "value": 3}), value!({"a": [1, 2, 3]}));
    check(value!({"a": [1, 2]}), value!({"op": "replace", "path": "/a/+1", "value": 3}), value!({"a": [1, 3]}));
    check(value!({"a": [1, 2]}), value!({"op": "test", "path": "/a/01", "value": 2}), value!({"a": [1, 2]}));
    check(value!({"~/": 1}), value!({"op": "move", "from": "/~0~1", "path": "/b"}), value!({"b": 1}));
    assert_eq!(patch::json(value!({"a": 1}), &Value::Null), Ok(value!({"a": 1})), "no operations");
}

#[test]
fn managers_share_take_and_lose_fields() {
    let schema = Schema::builtin();
    let id = schema.find("", "v1", "ConfigMap").expect("ConfigMap");
    let object =
        |data: Value| value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
    let write = |old: Option<&Value>, mut new: Value, manager: &str, time: &str| {
        let writer = managed::Writer { manager, subresource: "", time };
        let fields = new.as_object_mut().expect("an object");
        managed::update(schema, id, old.and_then(Value::as_object), fields, writer, &[], &managed::one_version);
        new
    };
    let of = |object: &Value| -> Vec<(String, Value, String)> {
        let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_string();
        list.iter().map(|entry| (text(entry, "manager"), entry["fieldsV1"].clone(), text(entry, "time"))).collect()
    };
    let one = write(None, object(value!({"x": "1", "y": "1"})), "m1", "2026-01-01T00:00:01Z");
    assert_eq!(
        of(&one),
        [("m1".into(), value!({"f:data": {".": {}, "f:x": {}, "f:y": {}}}), "2026-01-01T00:00:01Z".into())]
    );
    let two = write(Some(&one), object(value!({"x": "2", "y": "1"})), "m2", "2026-01-01T00:00:02Z");
    assert_eq!(
        of(&two),
        [
            ("m1".into(), value!({"f:data": {".": {}, "f:y": {}}}), "2026-01-01T00:00:01Z".into()),
            ("m2".into(), value!({"f:data": {"f:x": {}}}), "2026-01-01T00:00:02Z".into()),
        ]
    );
    let same = write(Some(&two), object(value!({"x": "2", "y": "1"})), "m3", "2026-01-01T00:00:03Z");
    assert_eq!(of(&same), of(&two), "nothing changed, nothing is noted");
    let gone = write(Some(&two), object(value!({"y": "1"})), "m1", "2026-01-01T00:00:04Z");
    assert_eq!(of(&gone), [("m1".into(), value!({"f:data": {".": {}, "f:y": {}}}), "2026-01-01T00:00:01Z".into())]);
    let mut forget = object(value!({"y": "1"}));
    forget["metadata"]["managedFields"] = value!([{}]);
    assert_eq!(of(&write(Some(&two), forget, "m1", "2026-01-01T00:00:05Z")), []);
    // Of the entries that a client sends those that own nothing go.
    let mut sent = object(value!({"x": "2", "y": "1"}));
    let entry = |manager: &str, fields: Value| {
        value!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:06Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    let fields = value!({"f:data": {"f:x": {}}});
    sent["metadata"]["managedFields"] = value!([entry("e", value!({})), entry("k", fields.clone())]);
    let kept = write(Some(&two), sent, "m1", "2026-01-01T00:00:07Z");
    assert_eq!(of(&kept), [("k".into(), fields, "2026-01-01T00:00:06Z".into())]);
    let mut many = one;
    for n in 0..20 {
        let mut data = many["data"].clone();
        data[format!("k{n:02}")] = "v".into();
        many = write(Some(&many), object(data), &format!("w{n:02}"), &format!("2026-01-01T00:01:{n:02}Z"));
    }
    let entries = of(&many);
    assert_eq!(entries.len(), 10);
    assert_eq!(entries[0].0, "ancient-changes");
}

#[test]
fn what_the_converter_takes_and_refuses_beside_numbers() {
    let schema = Schema::builtin();
    let find = |group: &str, kind: &str| schema.find(group, "v1", kind).expect("a kind");
    let (secret, deployment) = (find("", "Secret"), find("apps", "Deployment"));
    let refused = |id, value: Value, why: &str| {
        assert_eq!(json::restore(schema, id, &value).err().as_deref(), Some(why), "{value}");
    };
    let data = |value: Value| value!({"data": {"a": value}});
    refused(secret, data(value!("!!")), "error decoding from json: illegal base64 data at input byte 0");
    refused(secret, data(value!(5)), "cannot restore slice from int64");
    refused(secret, data(value!(true)), "cannot restore slice from bool");
    refused(secret, data(value!({})), "cannot restore slice from map");
    refused(secret, data(value!(["x"])), "unrecognized type: uint8");
    refused(secret, data(value!([1.5])), "cannot convert float64 to uint8");
    let spec = |name: &str, value: Value| value!({"spec": {"template": {"spec": {name: value}}}});
    refused(deployment, spec("hostNetwork", value!("x")), "unrecognized type: bool");
    refused(deployment, spec("restartPolicy", value!(5)), "cannot convert int64 to v1.RestartPolicy");
    refused(deployment, spec("terminationGracePeriodSeconds", value!(1.5)), "cannot convert float64 to int64");
    refused(deployment, value!({"metadata": {"labels": {"a": 1.5}}}), "unrecognized type: string");
    let update = |value: Value| value!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": value}}}});
    refused(deployment, update(value!(true)), "json: cannot unmarshal bool into Go value of type int32");
    refused(deployment, update(value!(2.5)), "json: cannot unmarshal number 2.5 into Go value of type int32");
    for (sent, made) in [(value!([1, 2]), "AQI="), (value!([300, -1]), "LP8="), (value!([1.0]), "AQ==")] {
        let decoded = json::restore(schema, secret, &data(sent.clone())).expect("bytes");
        assert_eq!(decoded.value["data"]["a"], made, "{sent}");
    }
    let decoded = json::restore(schema, deployment, &update(value!(2.0))).expect("a number");
    assert_eq!(decoded.value["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 2);
}
