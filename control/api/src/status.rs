//! `metav1.Status`: what every refused request is answered with. Texts are those of `k8s.io/apimachinery/pkg/api/errors`.

use crate::field::{FieldErrors, go_quote};
use crate::meta::{GroupKind, GroupResource};
use serde::{Deserialize, Serialize};

/// Machine-readable reasons (`metav1.StatusReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    StoreReadError,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

impl Reason {
    /// As `Status.reason` has it; empty for an unknown one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Invalid => "Invalid",
            Self::ServerTimeout => "ServerTimeout",
            Self::StoreReadError => "StorageReadError",
            Self::Timeout => "Timeout",
            Self::TooManyRequests => "TooManyRequests",
            Self::BadRequest => "BadRequest",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::InternalError => "InternalError",
            Self::Expired => "Expired",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// The HTTP code that goes with it.
    pub fn code(self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::Invalid => 422,
            Self::Timeout => 504,
            Self::TooManyRequests => 429,
            Self::BadRequest => 400,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::ServiceUnavailable => 503,
            Self::Unknown | Self::ServerTimeout | Self::StoreReadError | Self::InternalError => 500,
        }
    }
}

/// The wire form, and the error type of every verb. It is written through [`Status::whole`]; members stand in the order of Go's
/// struct.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// `Success` or `Failure`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For machines.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The object or kind that it is about, and causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<StatusDetails>>,
    /// The HTTP code; 0 where there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
    /// `metadata.continue`: with which token an expired list may go on, inconsistently.
    #[serde(skip)]
    pub continue_token: Option<String>,
}

/// A status as it is written: see [`Status::whole`].
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WholeStatus<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata<'a>,
    #[serde(flatten)]
    status: &'a Status,
}

/// The ListMeta of a status.
#[derive(Clone, Copy, Debug, Serialize)]
struct Metadata<'a> {
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(code: &u16) -> bool {
    *code == 0
}

/// The object or kind that a status is about, and causes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The resource's or kind's group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind, or for many reasons the resource, as Kubernetes has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's UID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// All that is wrong, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatusCause>,
    /// Wait before the next try, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<i32>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusCause {
    /// For machines.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The path of the field; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    /// A refusal, with the reason's code.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            status: "Failure".into(),
            message: message.into(),
            reason: reason.as_str().into(),
            details: None,
            code: reason.code(),
            continue_token: None,
        }
    }

    /// The answer of a delete that has no object to show.
    pub fn success() -> Self {
        Self { status: "Success".into(), ..Self::default() }
    }

    fn about(mut self, resource: &GroupResource, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        details.group.clone_from(&resource.group);
        details.kind.clone_from(&resource.resource);
        name.clone_into(&mut details.name);
        self
    }

    /// With one more cause.
    pub fn with_cause(mut self, cause: StatusCause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// With the seconds after which to try again.
    pub fn with_retry_after(mut self, seconds: i32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = Some(seconds);
        self
    }

    /// With the UID of the object that it is about.
    pub fn with_uid(mut self, uid: impl Into<String>) -> Self {
        self.details.get_or_insert_default().uid = uid.into();
        self
    }

    /// The HTTP code: its own, or what its kind of status goes with.
    pub fn code(&self) -> u16 {
        if self.code == 0 { if self.status == "Success" { 200 } else { 500 } } else { self.code }
    }

    /// Whether it has that reason.
    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason.as_str()
    }

    /// The whole object, `kind` and `apiVersion` and an empty `metadata` included, with its members in the order of Go's struct.
    pub fn whole(&self) -> WholeStatus<'_> {
        let metadata = Metadata { token: self.continue_token.as_deref() };
        WholeStatus { kind: "Status", api_version: "v1", metadata, status: self }
    }

    /// [`Status::whole`] as a tree, whose members are in the order of their names.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self.whole()).unwrap_or_default()
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::failure(Reason::NotFound, format!("{resource} {} not found", go_quote(name))).about(resource, name)
    }

    /// 404: there is no such path, resource or subresource.
    pub fn no_such_resource() -> Self {
        let text = "the server could not find the requested resource";
        Self { details: Some(Box::default()), ..Self::failure(Reason::NotFound, text) }
    }

    /// 409: there is one of that name.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::failure(Reason::AlreadyExists, format!("{resource} {} already exists", go_quote(name)))
            .about(resource, name)
    }

    /// Every name tried for a `generateName` was taken.
    pub fn generate_name_conflict(resource: &GroupResource, name: &str, retry_after_seconds: i32) -> Self {
        Self::failure(
            Reason::AlreadyExists,
            format!(
                "{resource} {} already exists, the server was not able to generate a unique name for the object",
                go_quote(name)
            ),
        )
        .about(resource, name)
        .with_retry_after(retry_after_seconds)
    }

    /// 401: nobody knows who asks.
    pub fn unauthorized() -> Self {
        Self::failure(Reason::Unauthorized, "Unauthorized")
    }

    /// 403: who asks may not. `message` says what and why.
    pub fn forbidden(resource: &GroupResource, name: &str, message: &str) -> Self {
        let text = if resource.resource.is_empty() {
            format!("forbidden: {message}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {message}")
        } else {
            format!("{resource} {} is forbidden: {message}", go_quote(name))
        };
        Self::failure(Reason::Forbidden, text).about(resource, name)
    }

    /// 409: the object is not as the request takes it to be.
    pub fn conflict(resource: &GroupResource, name: &str, message: &str) -> Self {
        Self::failure(
            Reason::Conflict,
            format!("Operation cannot be fulfilled on {resource} {}: {message}", go_quote(name)),
        )
        .about(resource, name)
    }

    /// 410: what is asked for is there no more.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(Reason::Gone, message)
    }

    /// The revision asked for has been compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(Reason::Expired, message)
    }

    /// 422: all that is wrong with the object, each a cause.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &FieldErrors) -> Self {
        let text = if errors.is_empty() {
            format!("{kind} {} is invalid", go_quote(name))
        } else {
            format!("{kind} {} is invalid: {errors}", go_quote(name))
        };
        let mut status = Self::failure(Reason::Invalid, text);
        status.details = Some(Box::new(StatusDetails {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes: errors
                .iter()
                .map(|error| StatusCause {
                    reason: error.kind.reason().into(),
                    message: error.body(),
                    field: error.field.clone(),
                })
                .collect(),
            ..StatusDetails::default()
        }));
        status
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(Reason::BadRequest, message)
    }

    /// 405: the resource has no such verb.
    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Self {
        Self::failure(
            Reason::MethodNotAllowed,
            format!("{action} is not supported on resources of kind {}", go_quote(&resource.to_string())),
        )
        .about(resource, "")
    }

    /// 504: it was not done in time. With 0 seconds it is not said when to try again.
    pub fn timeout(message: &str, retry_after_seconds: i32) -> Self {
        let status = Self::failure(Reason::Timeout, format!("Timeout: {message}"));
        if retry_after_seconds == 0 { status } else { status.with_retry_after(retry_after_seconds) }
    }

    /// A `resourceVersion` that the server has not reached yet.
    pub fn too_large_resource_version(wanted: u64, current: u64, retry_after_seconds: i32) -> Self {
        Self::timeout(&format!("Too large resource version: {wanted}, current: {current}"), retry_after_seconds)
            .with_cause(StatusCause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".into(),
                field: String::new(),
            })
    }

    /// 500: a defect or a failure of the server's own.
    pub fn internal(message: &str) -> Self {
        Self::failure(Reason::InternalError, format!("Internal error occurred: {message}"))
            .with_cause(StatusCause { message: message.to_owned(), ..StatusCause::default() })
    }

    /// 429: come back later.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: i32) -> Self {
        Self::failure(Reason::TooManyRequests, message).with_retry_after(retry_after_seconds)
    }

    /// 413: the body is larger than it may be.
    pub fn request_entity_too_large(message: &str) -> Self {
        Self::failure(Reason::RequestEntityTooLarge, format!("Request entity too large: {message}"))
    }

    /// 415: the body is in no form that is read.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::failure(
            Reason::UnsupportedMediaType,
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 406: the answer has no form that the request accepts.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        Self::failure(
            Reason::NotAcceptable,
            format!("only the following media types are accepted: {}", accepted.join(", ")),
        )
    }

    /// 503: not now.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(Reason::ServiceUnavailable, message)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{FieldError, Path};

    #[test]
    fn messages_are_kubernetes_own() {
        let pods = GroupResource::new("", "pods");
        let deployments = GroupResource::new("apps", "deployments");
        let check = |status: Status, code: u16, message: &str| {
            assert_eq!((status.code(), status.message.as_str()), (code, message));
        };
        check(Status::not_found(&deployments, "a"), 404, "deployments.apps \"a\" not found");
        check(Status::already_exists(&pods, "a"), 409, "pods \"a\" already exists");
        check(Status::forbidden(&pods, "", "no"), 403, "pods is forbidden: no");
        check(Status::conflict(&pods, "a", "no"), 409, "Operation cannot be fulfilled on pods \"a\": no");
        check(Status::too_large_resource_version(9, 5, 1), 504, "Timeout: Too large resource version: 9, current: 5");
        check(
            Status::method_not_supported(&pods, "patch"),
            405,
            "patch is not supported on resources of kind \"pods\"",
        );
    }

    #[test]
    fn a_status_is_written_in_the_order_of_go_s_struct() {
        let check = |status: Status, expected: &str| {
            assert_eq!(serde_json::to_string(&status.whole()).expect("JSON"), expected);
        };
        check(
            Status::not_found(&GroupResource::new("apps", "deployments"), "a"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"a\" not found","reason":"NotFound","details":{"name":"a","group":"apps","kind":"deployments"},"code":404}"#,
        );
        check(
            Status { continue_token: Some("t".to_owned()), ..Status::expired("x") },
            r#"{"kind":"Status","apiVersion":"v1","metadata":{"continue":"t"},"status":"Failure","message":"x","reason":"Expired","code":410}"#,
        );
    }

    #[test]
    fn invalid_lists_every_cause() {
        let errors: FieldErrors =
            [FieldError::required(&Path::new("a"), ""), FieldError::invalid(&Path::new("b"), 1, "x")]
                .into_iter()
                .collect();
        let status = Status::invalid(&GroupKind::new("apps", "Deployment"), "d", &errors);
        assert_eq!(status.message, "Deployment.apps \"d\" is invalid: [a: Required value, b: Invalid value: 1: x]");
        let value = status.to_value();
        assert_eq!(value["details"]["causes"][1]["reason"], "FieldValueInvalid");
        assert_eq!((&value["kind"], &value["code"]), (&"Status".into(), &422.into()));
    }
}
