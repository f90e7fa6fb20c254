//! `admissionregistration.k8s.io`: who is asked as objects come in.

mod mutating_webhook_configuration;
mod validating_admission_policy;
mod validating_admission_policy_binding;
mod validating_webhook_configuration;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![mutating_webhook_configuration::row(), validating_admission_policy::row(), validating_admission_policy_binding::row(), validating_webhook_configuration::row()]
}
