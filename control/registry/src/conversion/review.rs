//! `ConversionReview` of `apiextensions.k8s.io`: what a conversion webhook is asked, and what it may answer
//! (apiextensions-apiserver's `conversion/webhook_converter.go`).

use bytes::Bytes;
use sampan_api::field::FieldErrors;
use sampan_api::meta::GroupVersionKind;
use sampan_api::object::Object;
use serde_json::{Map, Value, json};

/// The version of ConversionReview that a webhook is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReviewVersion {
    V1,
    V1Beta1,
}

impl ReviewVersion {
    /// The first of a definition's `conversionReviewVersions` that is spoken here.
    pub(crate) fn of(offered: &Value) -> Option<Self> {
        offered.as_array()?.iter().find_map(|version| match version.as_str()? {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        })
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "apiextensions.k8s.io/v1",
            Self::V1Beta1 => "apiextensions.k8s.io/v1beta1",
        }
    }
}

/// A question to a conversion webhook.
pub(crate) struct Review<'a> {
    pub(crate) version: ReviewVersion,
    pub(crate) uid: &'a str,
    pub(crate) objects: &'a [Object],
    /// The version that is wanted; the kind stays.
    pub(crate) wanted: &'a GroupVersionKind,
    /// What is wrong with labels or annotations, which a webhook may change.
    pub(crate) check: &'a (dyn Fn(&str, &Value) -> FieldErrors + Sync),
}

const KIND: &str = "ConversionReview";

impl Review<'_> {
    /// The body of the question.
    pub(crate) fn body(&self) -> Result<Bytes, serde_json::Error> {
        let objects: Vec<&Map<String, Value>> = self.objects.iter().map(Object::fields).collect();
        let request = json!({"uid": self.uid, "desiredAPIVersion": self.wanted.api_version(), "objects": objects});
        let review = json!({"kind": KIND, "apiVersion": self.version.api_version(), "request": request});
        Ok(serde_json::to_vec(&review)?.into())
    }

    /// The converted objects of an answer, with the metadata that a webhook may not change as it was.
    ///
    /// # Errors
    /// What is wrong with the answer, in Kubernetes' words.
    pub(crate) fn read(&self, answer: &[u8]) -> Result<Vec<Object>, String> {
        let (from, expected) = (shown(self.objects.first()), self.objects.len());
        let failed = |why: String| format!("conversion webhook for {from} failed: {why}");
        let converted = self.converted(answer).map_err(failed)?;
        if converted.len() != expected {
            let found = converted.len();
            return Err(format!("conversion webhook for {from} returned {found} objects, expected {expected}"));
        }
        let pairs = self.objects.iter().zip(converted).enumerate();
        pairs.map(|(index, (original, converted))| self.object(original, converted, index)).collect()
    }

    fn converted(&self, answer: &[u8]) -> Result<Vec<Value>, String> {
        let mut answer: Value = serde_json::from_slice(answer).map_err(|error| unreadable(&error.to_string()))?;
        if !answer.is_object() {
            return Err(unreadable("it is no object"));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if self.version == ReviewVersion::V1 {
            let (api_version, kind) = (text(&answer["apiVersion"]), text(&answer["kind"]));
            if (api_version.as_str(), kind.as_str()) != (self.version.api_version(), KIND) {
                let (wanted, found) = (self.version.api_version(), display(&api_version, &kind));
                return Err(format!("expected webhook response of {}, got {found}", display(wanted, KIND)));
            }
        }
        let response = &mut answer["response"];
        if !response.is_object() {
            return Err("no response provided".to_owned());
        }
        let uid = text(&response["uid"]);
        if self.version == ReviewVersion::V1 && uid != self.uid {
            return Err(format!("expected response.uid={:?}, got {:?}", self.uid, uid));
        }
        let (status, message) = (text(&response["result"]["status"]), text(&response["result"]["message"]));
        if status != "Success" {
            return Err(match message.is_empty() {
                false => message,
                true => format!("response.result.status was '{status}', not 'Success'"),
            });
        }
        match response["convertedObjects"].take() {
            Value::Array(objects) => Ok(objects),
            _ => Ok(Vec::new()),
        }
    }

    fn object(&self, original: &Object, converted: Value, index: usize) -> Result<Object, String> {
        let from = shown(Some(original));
        let (invalid, metadata) = if self.objects.len() == 1 {
            let wrong =
                |why: String| format!("conversion webhook for {from} returned invalid object at index 0: {why}");
            let metadata = format!("conversion webhook for {from} returned invalid metadata");
            (Box::new(wrong) as Box<dyn Fn(String) -> String>, metadata)
        } else {
            let before = format!("conversion webhook for {from} returned invalid converted object at index {index}");
            let metadata =
                format!("conversion webhook for {from} returned invalid metadata in object at index {index}");
            (Box::new(move |why| format!("{before}: {why}")) as Box<dyn Fn(String) -> String>, metadata)
        };
        let found = (text_of(&converted, "apiVersion"), text_of(&converted, "kind"));
        let wanted = self.wanted.api_version();
        if found.0 != wanted {
            return Err(invalid(format!("invalid groupVersion (expected {wanted}, received {})", found.0)));
        }
        if found.1 != original.kind() {
            return Err(invalid(format!("invalid kind (expected {}, received {})", original.kind(), found.1)));
        }
        let Value::Object(fields) = converted else { return Err(invalid("it is no object".to_owned())) };
        let kept = metadata_of(original, &fields, self.check).map_err(|wrong| match wrong {
            Wrong::Identity(why) if self.objects.len() == 1 => {
                format!("conversion webhook for {from} returned invalid object: {why}")
            }
            Wrong::Identity(why) => invalid(why),
            Wrong::Metadata(why) => format!("{metadata}: {why}"),
        })?;
        let mut object = Object::from_map(fields);
        *object.metadata_mut() = kept;
        Ok(object)
    }
}

fn unreadable(why: &str) -> String {
    format!("couldn't get version/kind; json parse error: {why}")
}

/// The words for a webhook that did not answer.
pub(crate) fn failed(objects: &[Object], why: &str) -> String {
    format!("conversion webhook for {} failed: {why}", shown(objects.first()))
}

fn shown(object: Option<&Object>) -> String {
    object.map_or_else(String::new, |object| display(object.api_version(), object.kind()))
}

/// As Go shows a group, version and kind.
fn display(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

enum Wrong {
    /// It is another object.
    Identity(String),
    Metadata(String),
}

/// The metadata of a converted object: the original's, with the labels and annotations of the answer.
fn metadata_of(
    original: &Object,
    converted: &Map<String, Value>,
    check: &dyn Fn(&str, &Value) -> FieldErrors,
) -> Result<Map<String, Value>, Wrong> {
    let none = Value::Null;
    let answered = converted.get("metadata").unwrap_or(&none);
    for (name, called) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let before = original.metadata().get(name).and_then(Value::as_str).unwrap_or_default();
        let after = text_of(answered, name);
        if before != after {
            return Err(Wrong::Identity(format!("must have the same {called}: {before} != {after}")));
        }
    }
    let wrong = |why: String| Wrong::Metadata(why);
    let answered = match converted.get("metadata") {
        None => return Err(wrong("missing metadata in converted object".to_owned())),
        Some(Value::Object(answered)) => answered,
        Some(other) => return Err(wrong(format!("invalid metadata of type {} in converted object", go_type(other)))),
    };
    let mut kept = original.metadata().clone();
    for name in ["labels", "annotations"] {
        let texts = match answered.get(name) {
            None | Some(Value::Null) => {
                kept.remove(name);
                continue;
            }
            Some(Value::Object(texts)) => texts,
            Some(other) => {
                let why = format!("invalid metadata.{name} of type {} in converted object", go_type(other));
                return Err(wrong(why));
            }
        };
        if let Some((key, value)) = texts.iter().find(|(_, value)| !value.is_string()) {
            let type_ = go_type(value);
            return Err(wrong(format!("metadata.{name}[{key}] must be a string, but is {type_} in converted object")));
        }
        if kept.get(name).and_then(Value::as_object) != Some(texts) {
            aggregate(&check(name, &Value::Object(texts.clone()))).map_err(wrong)?;
        }
        kept.insert(name.to_owned(), Value::Object(texts.clone()));
    }
    Ok(kept)
}

/// Errors as Go tells several at once.
fn aggregate(errors: &FieldErrors) -> Result<(), String> {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match all.len() {
        0 => Ok(()),
        1 => Err(all.concat()),
        _ => Err(format!("[{}]", all.join(", "))),
    }
}

/// The type that Go's decoder makes of a value.
pub(crate) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
