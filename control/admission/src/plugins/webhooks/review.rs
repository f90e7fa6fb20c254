//! AdmissionReviews: the question to a webhook, and reading its answer.

use super::hook::ReviewVersion;
use crate::scene::Scene;
use base64::Engine as _;
use sampan_api::Status;
use serde_json::{Value as Json, json};

/// Which of the two sorts of webhooks is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Mutating,
    Validating,
}

/// The answer of a webhook.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) allowed: bool,
    /// The operations of a JSON patch; empty for none.
    pub(super) patch: Json,
    pub(super) result: Json,
    pub(super) warnings: Vec<String>,
}

/// The body of a question.
pub(super) fn question(scene: &Scene, version: ReviewVersion, uid: &str) -> Vec<u8> {
    let review =
        json!({"kind": "AdmissionReview", "apiVersion": version.api_version(), "request": scene.review_request(uid)});
    review.to_string().into_bytes()
}

/// Reads an answer.
///
/// # Errors
/// Why it is none, in the reference's words.
pub(super) fn answer(body: &[u8], version: ReviewVersion, sort: Sort, uid: &str) -> Result<Answer, String> {
    let review: Json =
        serde_json::from_slice(body).map_err(|error| format!("couldn't decode the response: {error}"))?;
    let response = &review["response"];
    if !response.is_object() {
        return Err("webhook response was absent".into());
    }
    let text = |name: &str| response[name].as_str().unwrap_or_default();
    let (patch, kind) = (text("patch"), response["patchType"].as_str());
    if version == ReviewVersion::V1 {
        if text("uid") != uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", text("uid")));
        }
        let (api_version, name) = (review["apiVersion"].as_str(), review["kind"].as_str());
        if api_version != Some(version.api_version()) || name != Some("AdmissionReview") {
            return Err(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {}, Kind={}",
                api_version.unwrap_or_default(),
                name.unwrap_or_default()
            ));
        }
        match (sort, patch.is_empty(), kind) {
            (Sort::Mutating, false, None) => {
                return Err("webhook returned response.patch but not response.patchType".into());
            }
            (Sort::Mutating, true, Some(_)) => {
                return Err("webhook returned response.patchType but not response.patch".into());
            }
            (Sort::Mutating, false, Some("")) => {
                return Err("webhook returned invalid response.patchType of \"\"".into());
            }
            (Sort::Mutating, false, Some(kind)) if kind != "JSONPatch" => {
                return Err(format!("unsupported patch type {kind:?}"));
            }
            (Sort::Validating, false, _) => return Err("validating webhook may not return response.patch".into()),
            (Sort::Validating, _, Some(_)) => {
                return Err("validating webhook may not return response.patchType".into());
            }
            _ => {}
        }
    }
    let patch = match (sort, patch) {
        (Sort::Validating, _) | (_, "") => Json::Null,
        (Sort::Mutating, patch) => decoded(patch)?,
    };
    let warnings = response["warnings"].as_array().into_iter().flatten().filter_map(Json::as_str);
    Ok(Answer {
        allowed: response["allowed"] == true,
        patch,
        result: response["status"].clone(),
        warnings: warnings.map(str::to_owned).collect(),
    })
}

fn decoded(patch: &str) -> Result<Json, String> {
    let undecodable = |why: String| format!("received undecodable patch in webhook response: {why}");
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(patch).map_err(|error| undecodable(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| undecodable(error.to_string()))
}

/// The refusal that a webhook gave, in the form in which it is passed on.
pub(super) fn refusal(hook: &str, result: &Json) -> Status {
    let mut status: Status = serde_json::from_value(result.clone()).unwrap_or_default();
    let denied = format!("admission webhook {hook:?} denied the request");
    if status.code < 400 {
        status.code = 400;
    }
    if status.status.is_empty() || status.status == "Success" {
        status.status = "Failure".into();
    }
    status.message = match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("{denied} without explanation"),
        ("", why) | (why, _) => format!("{denied}: {why}"),
    };
    status
}
