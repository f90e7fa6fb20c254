//! What becomes of a certificate request: pure.

use crate::limits::{
    CERTIFICATE_LIFETIME_MAX, CERTIFICATE_LIFETIME_MIN, REQUEST_CHECKED_AGAIN, REQUEST_DONE_STAYS, REQUEST_OPEN_STAYS,
};
use sampan_api::certificate::{CertificateAuthority, RequestedCertificate};
use sampan_api::k8s::api::certificates::v1::CertificateSigningRequest;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::Time;
use sampan_reconcile::time;
use std::time::{Duration, SystemTime};

const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// The built-in signers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// `kubernetes.io/kube-apiserver-client`
    Client,
    /// `kubernetes.io/kube-apiserver-client-kubelet`
    KubeletClient,
    /// `kubernetes.io/kubelet-serving`
    KubeletServing,
    /// `kubernetes.io/legacy-unknown`
    Legacy,
}

fn has(request: &CertificateSigningRequest, kind: &str) -> bool {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == kind)
}

/// Whether somebody said that it is approved: a condition that is not true says nothing.
fn is_approved(request: &CertificateSigningRequest) -> bool {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Approved" && condition.status == "True")
}

fn certificate(request: &CertificateSigningRequest) -> &[u8] {
    let certificate = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    certificate.map_or(&[], |bytes| bytes.0.as_slice())
}

impl Signer {
    /// The signer that is to sign this request now: it is approved, and neither signed, nor denied, nor failed.
    pub fn of(request: &CertificateSigningRequest) -> Option<Self> {
        let due = is_approved(request) && !has(request, "Denied") && !has(request, "Failed");
        if !due || !certificate(request).is_empty() {
            return None;
        }
        match request.spec.signer_name.as_str() {
            "kubernetes.io/kube-apiserver-client" => Some(Self::Client),
            KUBELET_CLIENT => Some(Self::KubeletClient),
            KUBELET_SERVING => Some(Self::KubeletServing),
            "kubernetes.io/legacy-unknown" => Some(Self::Legacy),
            _ => None,
        }
    }
}

/// The lifetime of a certificate for which `expirationSeconds` was asked.
pub fn lifetime(seconds: Option<i32>) -> Duration {
    let asked = seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    asked.map_or(CERTIFICATE_LIFETIME_MAX, |asked| asked.clamp(CERTIFICATE_LIFETIME_MIN, CERTIFICATE_LIFETIME_MAX))
}

/// Whether the signer signs this, else why not, in kube-controller-manager's words.
///
/// # Errors
/// The first rule that it breaks.
pub fn judge(signer: Signer, asked: &RequestedCertificate, usages: &[&str]) -> Result<(), String> {
    match signer {
        Signer::Legacy => Ok(()),
        Signer::Client => {
            let known = ["digital signature", "key encipherment", "client auth"];
            match usages.iter().find(|usage| !known.contains(usage)) {
                Some(usage) => Err(format!("invalid usage for client certificate: {usage}")),
                None if !usages.contains(&"client auth") => {
                    Err("missing required usage for client certificate: client auth".into())
                }
                None => Ok(()),
            }
        }
        Signer::KubeletClient => kubelet_client(asked, usages),
        Signer::KubeletServing => kubelet_serving(asked, usages),
    }
}

const NOT_OF_NODES: &str = "subject organization is not system:nodes";
const NO_NODES_NAME: &str = "subject common name does not begin with system:node:";

fn is_of_nodes(asked: &RequestedCertificate) -> bool {
    matches!(asked.organizations.as_slice(), [only] if only == "system:nodes")
}

/// The usages are these, with or without `key encipherment`, which is of RSA alone.
fn usages_are(usages: &[&str], purpose: &str) -> Result<(), String> {
    let mut wanted = ["digital signature", "key encipherment", purpose];
    wanted.sort_unstable();
    let within = usages.iter().all(|usage| wanted.contains(usage));
    let complete = ["digital signature", purpose].iter().all(|usage| usages.contains(usage));
    if within && complete { Ok(()) } else { Err(format!("usages did not match [{}]", wanted.join(" "))) }
}

fn kubelet_client(asked: &RequestedCertificate, usages: &[&str]) -> Result<(), String> {
    let refused = [
        (!is_of_nodes(asked), NOT_OF_NODES),
        (asked.dns_names > 0, "DNS subjectAltNames are not allowed"),
        (asked.email_addresses > 0, "Email subjectAltNames are not allowed"),
        (asked.ip_addresses > 0, "IP subjectAltNames are not allowed"),
        (asked.uris > 0, "URI subjectAltNames are not allowed"),
        (!asked.common_name.starts_with("system:node:"), NO_NODES_NAME),
    ];
    match refused.iter().find(|(is, _)| *is) {
        Some((_, why)) => Err((*why).into()),
        None => usages_are(usages, "client auth"),
    }
}

fn kubelet_serving(asked: &RequestedCertificate, usages: &[&str]) -> Result<(), String> {
    let refused = [
        (!is_of_nodes(asked), NOT_OF_NODES),
        (asked.dns_names == 0 && asked.ip_addresses == 0, "DNS or IP subjectAltName is required"),
        (asked.email_addresses > 0, "Email subjectAltNames are not allowed"),
        (asked.uris > 0, "URI subjectAltNames are not allowed"),
    ];
    if let Some((_, why)) = refused.iter().find(|(is, _)| *is) {
        return Err((*why).into());
    }
    usages_are(usages, "server auth")?;
    if asked.common_name.starts_with("system:node:") { Ok(()) } else { Err(NO_NODES_NAME.into()) }
}

/// The rights by which a kubelet's request for a client certificate is approved, one of them: each a subresource of
/// certificate requests that its user may create, and what the approval says. None: it is no such request, or is decided.
pub fn approval(
    request: &CertificateSigningRequest,
    authority: &dyn CertificateAuthority,
) -> Vec<(&'static str, &'static str)> {
    let decided = has(request, "Approved") || has(request, "Denied") || !certificate(request).is_empty();
    if decided || request.spec.signer_name != KUBELET_CLIENT {
        return Vec::new();
    }
    // One that cannot be read was refused when it was made.
    let Ok(asked) = authority.read(&request.spec.request.0) else { return Vec::new() };
    let usages: Vec<&str> = request.spec.usages.iter().flatten().map(String::as_str).collect();
    if kubelet_client(&asked, &usages).is_err() {
        return Vec::new();
    }
    let mut rights = Vec::new();
    if request.spec.username.as_deref() == Some(asked.common_name.as_str()) {
        let message = "Auto approving self kubelet client certificate after SubjectAccessReview.";
        rights.push(("selfnodeclient", message));
    }
    rights.push(("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."));
    rights
}

/// Whether a request has had its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clean {
    /// It has.
    Delete,
    /// It is to be looked at again after this time.
    After(Duration),
}

/// Open requests stay for a day, as do approved ones that nobody signs; those that are signed, denied or failed for an
/// hour; and none longer than its certificate holds. `ends`: the end of a certificate.
pub fn clean(
    request: &CertificateSigningRequest,
    now: SystemTime,
    ends: impl FnOnce(&[u8]) -> Option<SystemTime>,
) -> Clean {
    let since = |then: &Time| time::since(now, then);
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let issued = !certificate(request).is_empty();
    let mut over = false;
    if conditions.is_empty() {
        over = request.metadata.creation_timestamp.as_ref().is_some_and(|made| since(made) > REQUEST_OPEN_STAYS);
    }
    for condition in conditions {
        let stays = match condition.type_.as_str() {
            "Approved" if issued => REQUEST_DONE_STAYS,
            "Approved" => REQUEST_OPEN_STAYS,
            "Denied" | "Failed" => REQUEST_DONE_STAYS,
            _ => continue,
        };
        over |= condition.last_update_time.as_ref().is_some_and(|then| since(then) > stays);
    }
    let expired = issued && has(request, "Approved") && ends(certificate(request)).is_some_and(|end| now > end);
    if over || expired { Clean::Delete } else { Clean::After(REQUEST_CHECKED_AGAIN) }
}
