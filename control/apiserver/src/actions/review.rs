//! Reviews: what somebody may do, who the caller is. Asked of the same authorizer that guards the chain.

use super::Action;
use crate::ask::Ask;
use crate::body::Body;
use crate::respond;
use async_trait::async_trait;
use http::Response;
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::selector::{FieldSelector, LabelSelector};
use sampan_api::{Attributes, GroupKind, Object, Status, UserInfo, Verdict, names};
use serde_json::{Map, Value, json};

/// The three reviews that ask about one action.
pub(super) enum AccessReview {
    /// Of any user, anywhere.
    Subject,
    /// Of any user, in the request's namespace.
    Local,
    /// Of the caller.
    Own,
}

#[async_trait]
impl Action for AccessReview {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        let gvk = ask.row().gvk();
        let (mut review, _) = ask.read_object(body).await?;
        if matches!(self, Self::Local) {
            sampan_registry::settle_namespace(ask.row(), &mut review, ask.namespace()).map_err(Status::from)?;
        }
        let errors = self.problems(ask, &review);
        if !errors.is_empty() {
            return Err(Status::invalid(&GroupKind::new(gvk.group, ""), "", &errors));
        }
        let user = match self {
            Self::Own => (**ask.user()).clone(),
            Self::Subject | Self::Local => subject(&review),
        };
        let attributes = attributes(&review, user);
        let decision = ask.authorize(&attributes).await;
        let mut status = Map::from_iter([("allowed".to_owned(), Value::Bool(decision.allowed()))]);
        if decision.verdict == Verdict::Deny {
            status.insert("denied".into(), true.into());
        }
        if !decision.reason.is_empty() {
            status.insert("reason".into(), decision.reason.into());
        }
        let ignored = ignored(&review);
        if !ignored.is_empty() {
            status.insert("evaluationError".into(), ignored.into());
        }
        review.set(&["status"], Value::Object(status));
        review.metadata_mut();
        ask.answer(201, &review.into_value())
    }
}

impl AccessReview {
    fn problems(&self, ask: &Ask, review: &Object) -> FieldErrors {
        let spec = Path::new("spec");
        let mut errors = FieldErrors::new();
        let resource = review.get(&["spec", "resourceAttributes"]).filter(|value| value.is_object());
        let path = review.get(&["spec", "nonResourceAttributes"]).filter(|value| value.is_object());
        if resource.is_some() && path.is_some() {
            let text = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid(&spec.child("nonResourceAttributes"), attributes_shown(path), text));
        }
        if resource.is_none() && path.is_none() {
            let text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid(&spec.child("resourceAttributes"), Value::Null, text));
        }
        if !matches!(self, Self::Own) && review.get_str(&["spec", "user"]).unwrap_or("").is_empty() {
            let groups = review.get(&["spec", "groups"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
            if !groups {
                let text = "at least one of user or group must be specified";
                errors.push(FieldError::invalid(&spec.child("user"), "", text));
            }
        }
        if let Some(resource) = resource {
            check_selectors(&mut errors, &spec.child("resourceAttributes"), resource);
        }
        let local = matches!(self, Self::Local);
        let metadata = review.get(&["metadata"]).and_then(Value::as_object);
        let own = |name: &str| name == "managedFields" || (local && name == "namespace");
        if let Some(metadata) = metadata.filter(|it| it.iter().any(|(name, value)| !own(name) && !value.is_null())) {
            let text = if local { "must be empty except for namespace" } else { "must be empty" };
            errors.push(FieldError::invalid(&Path::new("metadata"), Value::Object(metadata.clone()), text));
        }
        if !local {
            return errors;
        }
        let namespace = resource.map(|it| it.get("namespace").and_then(Value::as_str).unwrap_or(""));
        if let Some(namespace) = namespace.filter(|namespace| *namespace != ask.namespace()) {
            let path = spec.child("resourceAttributes").child("namespace");
            errors.push(FieldError::invalid(&path, namespace, "must match metadata.namespace"));
        }
        if path.is_some() {
            let at = spec.child("nonResourceAttributes");
            errors.push(FieldError::invalid(&at, attributes_shown(path), "disallowed on this kind of request"));
        }
        errors
    }
}

/// Non-resource attributes as Go prints the struct.
fn attributes_shown(value: Option<&Value>) -> Value {
    let text = |name: &str| value.and_then(|value| value.get(name)).and_then(Value::as_str).unwrap_or("");
    json!({"Path": text("path"), "Verb": text("verb")})
}

fn check_selectors(errors: &mut FieldErrors, path: &Path, resource: &Value) {
    for name in ["fieldSelector", "labelSelector"] {
        let Some(selector) = resource.get(name) else { continue };
        let raw = selector.get("rawSelector").and_then(Value::as_str).unwrap_or("");
        let asked = selector.get("requirements").and_then(Value::as_array);
        let requirements = asked.map_or(0, Vec::len);
        if !raw.is_empty() && requirements > 0 {
            let path = path.child(name).child("rawSelector");
            errors.push(FieldError::invalid(&path, raw, "may not specified at the same time as requirements"));
        }
        if raw.is_empty() && requirements == 0 {
            errors.push(FieldError::required(
                &path.child(name).child("requirements"),
                format!("when {} is specified, requirements or rawSelector is required", path.child(name)),
            ));
        }
        for (i, requirement) in asked.into_iter().flatten().enumerate() {
            check_requirement(errors, &path.child(name).child("requirements").index(i), name, requirement);
        }
    }
}

/// One requirement of a selector. Operators that are not known are taken: a client may be newer than the server.
fn check_requirement(errors: &mut FieldErrors, path: &Path, selector: &str, requirement: &Value) {
    let text = |field: &str| requirement.get(field).and_then(Value::as_str).unwrap_or("");
    let listed = requirement.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if selector == "fieldSelector" && text("key").is_empty() {
        errors.push(FieldError::required(&path.child("key"), "must be specified"));
    }
    match text("operator") {
        "In" | "NotIn" if listed.is_empty() => {
            errors.push(FieldError::required(
                &path.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            ));
        }
        "Exists" | "DoesNotExist" if !listed.is_empty() => {
            errors.push(FieldError::forbidden(
                &path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ));
        }
        _ => {}
    }
    if selector != "labelSelector" {
        return;
    }
    for problem in names::qualified_name(text("key")) {
        errors.push(FieldError::invalid(&path.child("key"), text("key"), problem));
    }
    for (i, value) in listed.iter().filter_map(Value::as_str).enumerate() {
        for problem in names::label_value(value) {
            errors.push(FieldError::invalid(&path.child("values").index(i), value, problem));
        }
    }
}

/// The requirements of a review's selector as a list or a watch would name them. Those that have no such form are left
/// out: then more is asked for than is meant, and nothing is allowed for it that should not be.
fn raw_selector(of: &Value) -> String {
    let requirement = |one: &Value| {
        let key = one.get("key").and_then(Value::as_str)?;
        let values = one.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match (one.get("operator").and_then(Value::as_str)?, values) {
            ("In", [value]) => Some(format!("{key}={}", value.as_str()?)),
            ("NotIn", [value]) => Some(format!("{key}!={}", value.as_str()?)),
            _ => None,
        }
    };
    let raw = of.get("rawSelector").and_then(Value::as_str).unwrap_or("");
    if !raw.is_empty() {
        return raw.to_owned();
    }
    let all = of.get("requirements").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(requirement).collect::<Vec<_>>().join(",")
}

/// What is told of selectors that cannot be read (BuildEvaluationError, pkg/registry/authorization/util).
fn ignored(review: &Object) -> String {
    let mut told = Vec::new();
    for name in ["fieldSelector", "labelSelector"] {
        let Some(selector) = review.get(&["spec", "resourceAttributes", name]) else { continue };
        let raw = selector.get("rawSelector").and_then(Value::as_str).unwrap_or("");
        let mut unread = match name {
            _ if raw.is_empty() => 0,
            "fieldSelector" => usize::from(FieldSelector::parse(raw).is_err()),
            _ => usize::from(LabelSelector::parse(raw).is_err()),
        };
        let requirements =
            selector.get("requirements").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_read = |one: &&Value| {
            let values = one.get("values").and_then(Value::as_array).map_or(0, Vec::len);
            match one.get("operator").and_then(Value::as_str).unwrap_or("") {
                "In" | "NotIn" => name == "labelSelector" || values == 1,
                "Exists" | "DoesNotExist" => name == "labelSelector",
                _ => false,
            }
        };
        let read = requirements.iter().filter(is_read).count();
        unread += requirements.len() - read;
        if unread > 0 {
            let partially = if read > 0 { "partially " } else { "" };
            told.push(format!("spec.resourceAttributes.{name} {partially}ignored due to parse error"));
        }
    }
    told.join("; ")
}

/// The user of `spec`, with exactly the groups that it names.
fn subject(review: &Object) -> UserInfo {
    let list = |value: Option<&Value>| -> Vec<String> {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut user = UserInfo {
        name: review.get_str(&["spec", "user"]).unwrap_or("").to_owned(),
        uid: review.get_str(&["spec", "uid"]).unwrap_or("").to_owned(),
        groups: list(review.get(&["spec", "groups"])),
        ..UserInfo::default()
    };
    for (key, values) in review.get(&["spec", "extra"]).and_then(Value::as_object).into_iter().flatten() {
        user.extra.insert(key.to_lowercase(), list(Some(values)));
    }
    user
}

fn attributes(review: &Object, user: UserInfo) -> Attributes {
    let resource = review.get(&["spec", "resourceAttributes"]).filter(|value| value.is_object());
    let of = resource.or_else(|| review.get(&["spec", "nonResourceAttributes"]));
    let text = |name: &str| of.and_then(|of| of.get(name)).and_then(Value::as_str).unwrap_or("").to_owned();
    let selector = |name: &str| of.and_then(|of| of.get(name)).map(raw_selector).unwrap_or_default();
    Attributes {
        user: user.into(),
        verb: text("verb"),
        namespace: text("namespace"),
        group: text("group"),
        version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        name: text("name"),
        resource_request: resource.is_some(),
        path: text("path"),
        field_selector: selector("fieldSelector"),
        label_selector: selector("labelSelector"),
    }
}

/// An identity as reviews show it (`authentication.k8s.io` UserInfo).
pub(super) fn user_info(user: &UserInfo) -> Value {
    let mut info = Map::from_iter([("username".to_owned(), Value::from(user.name.clone()))]);
    if !user.uid.is_empty() {
        info.insert("uid".into(), user.uid.clone().into());
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        let extra = user.extra.iter().map(|(key, values)| (key.clone(), values.clone().into()));
        info.insert("extra".into(), extra.collect::<Map<_, Value>>().into());
    }
    Value::Object(info)
}

/// A review of the kind that was sent, with nothing else of it.
fn unsaid(mut review: Object) -> Object {
    review.fields_mut().retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind"));
    review
}

/// SelfSubjectReview: who the server takes the caller for.
pub(super) struct WhoAmI;

#[async_trait]
impl Action for WhoAmI {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        // Nothing of what was sent comes back.
        let mut review = unsaid(ask.read_object(body).await?.0);
        review.set_meta("creationTimestamp", sampan_api::time::rfc3339(ask.env().now()));
        review.set(&["status", "userInfo"], user_info(ask.user()));
        ask.answer(201, &review.into_value())
    }
}

/// SelfSubjectRulesReview: all that the caller may do in a namespace, where somebody can list it.
pub(super) struct RulesReview;

#[async_trait]
impl Action for RulesReview {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        let Some(rules) = ask.core.rules.clone() else { return Err(respond::not_served("selfsubjectrulesreviews")) };
        let (review, _) = ask.read_object(body).await?;
        let namespace = review.get_str(&["spec", "namespace"]).unwrap_or("").to_owned();
        if namespace.is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        let user = ask.user().clone();
        ask.answer_made(201, move || {
            let mut review = unsaid(review);
            review.set(&["spec"], json!({}));
            review.set(&["status"], rules.rules(&user, &namespace));
            review.metadata_mut();
            review.into_value()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_that_cannot_be_read_are_told() {
        let check = |resource: Value, expected: &str| {
            let review = Object::from_value(json!({"spec": {"resourceAttributes": resource}})).expect("an object");
            assert_eq!(ignored(&review), expected, "{resource}");
        };
        let requirement = |operator: &str, values: &[&str]| json!({"key": "a", "operator": operator, "values": values});
        let field = "spec.resourceAttributes.fieldSelector";
        let label = "spec.resourceAttributes.labelSelector";
        check(json!({"fieldSelector": {"rawSelector": "a=b"}, "labelSelector": {"rawSelector": "a in (b)"}}), "");
        check(
            json!({"fieldSelector": {"rawSelector": "a"}, "labelSelector": {"rawSelector": "!!"}}),
            &format!("{field} ignored due to parse error; {label} ignored due to parse error"),
        );
        let newer = json!({"labelSelector": {"requirements": [requirement("Foo", &["x"])]}});
        check(newer, &format!("{label} ignored due to parse error"));
        let both =
            json!({"labelSelector": {"requirements": [requirement("Foo", &["x"]), requirement("In", &["x", "y"])]}});
        check(both, &format!("{label} partially ignored due to parse error"));
        let both =
            json!({"fieldSelector": {"requirements": [requirement("In", &["x", "y"]), requirement("In", &["x"])]}});
        check(both, &format!("{field} partially ignored due to parse error"));
        check(
            json!({"fieldSelector": {"requirements": [requirement("Exists", &[])]}}),
            &format!("{field} ignored due to parse error"),
        );
    }

    #[test]
    fn selectors_of_reviews_are_checked_and_read() {
        let check = |name: &str, selector: Value, raw: &str, expected: &[&str]| {
            let mut errors = FieldErrors::new();
            let resource = Value::Object(Map::from_iter([(name.to_owned(), selector.clone())]));
            check_selectors(&mut errors, &Path::new("r"), &resource);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told, expected, "{selector}");
            assert_eq!(raw_selector(&selector), raw, "{selector}");
        };
        check("fieldSelector", json!({"rawSelector": "a=b"}), "a=b", &[]);
        let one = json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n"]}]});
        check("fieldSelector", one, "spec.nodeName=n", &[]);
        let two = json!({"requirements": [
            {"key": "a", "operator": "NotIn", "values": ["b"]}, {"key": "c", "operator": "Newer", "values": ["d"]},
        ]});
        check("labelSelector", two, "a!=b", &[]);
        check(
            "fieldSelector",
            json!({}),
            "",
            &[
                "r.fieldSelector.requirements: Required value: when r.fieldSelector is specified, requirements or rawSelector is required",
            ],
        );
        check(
            "fieldSelector",
            json!({"requirements": [{"operator": "In"}, {"key": "k", "operator": "Exists", "values": ["v"]}]}),
            "",
            &[
                "r.fieldSelector.requirements[0].key: Required value: must be specified",
                "r.fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                "r.fieldSelector.requirements[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ],
        );
    }
}
