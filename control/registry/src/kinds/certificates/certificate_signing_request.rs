//! A certificate that is asked for.

use super::super::columns::{Cell, Tabled, human_duration};
use super::super::core::condition;
use super::super::rules::Rules;
use sampan_api::object::Object;
use serde_json::Value;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest").cluster_scoped().short_names(["csr"]).view("approval").view("status").selectable("spec.signerName").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("requested-duration", |request, _| {
        let seconds = request.get(&["spec", "expirationSeconds"]).and_then(Value::as_i64);
        seconds.map_or_else(|| "<none>".into(), |seconds| human_duration(seconds).into())
    }),
    ("condition", |request, _| state(request).into()),
];

fn state(request: &Object) -> String {
    let has = |type_: &str| condition(request, type_).is_some();
    let mut text = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if request.get_str(&["status", "certificate"]).is_some_and(|certificate| !certificate.is_empty()) {
        text.push_str(",Issued");
    }
    text
}
