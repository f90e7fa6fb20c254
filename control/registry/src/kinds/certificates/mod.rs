//! `certificates.k8s.io`.

mod certificate_signing_request;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![certificate_signing_request::row()]
}
