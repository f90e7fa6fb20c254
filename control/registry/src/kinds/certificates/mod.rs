//! `certificates.k8s.io`.

mod certificate_signing_request;
mod cluster_trust_bundle;
mod issued;
mod pod_certificate_request;
mod public_key;
mod signer;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    let bundle = cluster_trust_bundle::row();
    let alpha = bundle.also_in("v1alpha1").deprecated_since(34, 37, None);
    vec![certificate_signing_request::row(), bundle, pod_certificate_request::row(), alpha]
}
