//! No number of a user's overflows a time, and no time is stored that RFC 3339 cannot write.

use crate::requests::{Kind, World};
use sampan_api::admission::{AdmitAll, Warnings};
use sampan_api::object::Object;
use sampan_api::time;
use sampan_registry::{Caller, DeleteOptions, ListOptions, UpdateOptions};
use sampan_schema::Type;
use sampan_testing::generate::{Long, places};
use serde_json::Value;
use std::time::SystemTime;

const NUMBERS: [i64; 8] =
    [i64::MIN, i64::MIN + 1, i32::MIN as i64, -1, i32::MAX as i64, 300_000_000_000, i64::MAX - 1, i64::MAX];

/// Every time in the value, by its field's name.
fn times<'a>(value: &'a Value, found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name.ends_with("Time") || name.ends_with("Timestamp") => {
                        found.push((name, text));
                    }
                    value => times(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| times(value, found)),
        _ => {}
    }
}

fn check(what: &str, object: &Object, now: SystemTime) {
    let value = object.to_value();
    let mut found = Vec::new();
    times(&value, &mut found);
    for (name, text) in found {
        let date =
            text.get(..4).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit())) && text.get(4..5) == Some("-");
        assert!(date && time::parse(text).is_some(), "{what}: {name} is {text}");
        if name == "deletionTimestamp" {
            assert!(time::parse(text) >= Some(now), "{what}: it was to end at {text}, before it began");
        }
    }
}

#[tokio::test]
async fn no_number_overflows_a_time() {
    let world = World::new().await;
    let now = world.registry.env().now();
    let warnings = Warnings::default();
    let caller = Caller {
        user: &world.user,
        verb: "test",
        user_agent: "test/1",
        request_id: "r",
        field_manager: "test",
        dry_run: false,
        options: &Value::Null,
        admission: &AdmitAll,
        warnings: &warnings,
    };
    let mut tried = 0;
    for kind in Kind::all() {
        let (row, namespace) = (&*kind.row, kind.namespace());
        for place in places(kind.type_id).iter().filter(|place| matches!(place.field().ty, Type::Int32 | Type::Int64)) {
            for number in NUMBERS {
                let body = kind.object(place, Long::Number(number), 0).to_string();
                let Some(object) = World::decode(&kind, body.as_bytes()) else { continue };
                let what = format!("{kind} {place} = {number}");
                tried += 1;
                let dry = Caller { dry_run: true, ..caller };
                if let Ok(record) = world.registry.create(&dry, row, namespace, object.clone()).await {
                    check(&what, &record.object(), now);
                }
                world.put(&kind, &object).await;
                let transform = |current: Option<&Object>| Ok(current.cloned().unwrap_or_default());
                let how = UpdateOptions::default();
                if let Ok(updated) = world.registry.update(&dry, row, namespace, "x", &how, &transform).await {
                    check(&what, &updated.record.object(), SystemTime::UNIX_EPOCH);
                }
                if let Some(columns) = &row.columns {
                    std::hint::black_box((columns.cells)(&object, now));
                }
                // Each later deletion hastens the one before, or is no longer needed.
                for seconds in [None, Some(i64::MAX), Some(number), Some(30), Some(1), Some(0)] {
                    let options = DeleteOptions { grace_period_seconds: seconds, ..DeleteOptions::default() };
                    if let Ok(deleted) = world.registry.delete(&caller, row, namespace, "x", &options).await {
                        // What its writer made up is not the server's to mend.
                        let sound = &*place.field().json_name != "deletionGracePeriodSeconds";
                        let began = if sound { now } else { SystemTime::UNIX_EPOCH };
                        check(&format!("{what}, deleted in {seconds:?}"), &deleted.record.object(), began);
                    }
                }
            }
        }
        let options = ListOptions { timeout_seconds: Some(u64::MAX), ..ListOptions::default() };
        drop(world.registry.watch(row, namespace, &options).await.expect("it begins"));
    }
    println!("{tried} numbers tried");
    assert!(tried > 3_000, "{tried}");
}

/// A deletion whose time of grace is longer than the calendar can still be hastened to a time from now.
#[tokio::test]
async fn an_endless_grace_can_be_shortened() {
    let world = World::new().await;
    let kind = Kind::all().into_iter().find(|kind| kind.row.kind == "Pod").expect("a row");
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {
        "nodeName": "n", "terminationGracePeriodSeconds": i64::MAX, "containers": [{"name": "c", "image": "i"}]}});
    world.put(&kind, &Object::from_value(pod).expect("an object")).await;
    let warnings = Warnings::default();
    let caller = Caller {
        user: &world.user,
        verb: "delete",
        user_agent: "test/1",
        request_id: "r",
        field_manager: "test",
        dry_run: false,
        options: &Value::Null,
        admission: &AdmitAll,
        warnings: &warnings,
    };
    let delete = async |seconds| {
        let options = DeleteOptions { grace_period_seconds: seconds, ..DeleteOptions::default() };
        let deleted = world.registry.delete(&caller, &kind.row, "default", "x", &options).await.expect("deleted");
        let object = deleted.record.object();
        (object.deletion_timestamp().expect("a time").to_owned(), object.deletion_grace_period_seconds())
    };
    assert_eq!(delete(None).await, ("9999-12-30T22:00:00Z".to_owned(), Some(i64::MAX)));
    assert_eq!(delete(Some(30)).await, ("2026-01-01T00:00:30Z".to_owned(), Some(30)));
    assert_eq!(delete(Some(40)).await, ("2026-01-01T00:00:30Z".to_owned(), Some(30)), "it is not put off");
}
