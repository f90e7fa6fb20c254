//! JSON read as the types of k8s-openapi. Some of these must have a time that Kubernetes' own types may leave at Go's zero
//! time, which JSON writes as null: `lastTransitionTime` of a condition that came without one.

use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// The times that the types must have.
const TIMES: [&str; 3] = ["lastTransitionTime", "lastObservedTime", "expirationTimestamp"];
/// Go's zero time.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// # Errors
/// It is no JSON, or no such type.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).or_else(|error| {
        let mut value = serde_json::from_slice(json)?;
        if set_zero_times(&mut value) { serde_json::from_value(value) } else { Err(error) }
    })
}

/// Whether there was a null where one of [`TIMES`] stands.
fn set_zero_times(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter_mut().fold(false, |any, (name, value)| match value {
            Value::Null if TIMES.contains(&name.as_str()) => {
                *value = ZERO_TIME.into();
                true
            }
            value => set_zero_times(value) | any,
        }),
        Value::Array(items) => items.iter_mut().fold(false, |any, item| set_zero_times(item) | any),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::api::events::v1::Event;
    use serde_json::json;

    #[test]
    fn a_time_that_is_null_hides_no_object() {
        let condition =
            json!({"type": "T", "status": "True", "reason": "R", "message": "", "lastTransitionTime": null});
        let service = json!({"metadata": {"name": "s"}, "status": {"conditions": [condition]}});
        let service: Service = from_slice(service.to_string().as_bytes()).expect("a Service");
        let time = &service.status.expect("a status").conditions.expect("conditions")[0].last_transition_time;
        assert_eq!(time.0.to_string(), ZERO_TIME);
        let event = json!({"metadata": {"name": "e"}, "series": {"count": 2, "lastObservedTime": null}});
        from_slice::<Event>(event.to_string().as_bytes()).expect("an Event");
    }

    #[test]
    fn everything_else_is_read_as_it_stands() {
        let check = |json: &str, expected: Result<Value, ()>| {
            assert_eq!(from_slice::<Value>(json.as_bytes()).map_err(drop), expected, "{json}");
        };
        check(r#"{"lastTransitionTime":null}"#, Ok(json!({"lastTransitionTime": null})));
        check("{", Err(()));
        from_slice::<Service>(br#"{"metadata":[]}"#).expect_err("no Service");
    }
}
