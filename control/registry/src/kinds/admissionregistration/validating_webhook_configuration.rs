//! ValidatingWebhookConfigurations: webhooks that accept or refuse objects on their way in.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::{Generation, MetadataOfUpdate};

pub(super) fn row() -> Resource {
    Resource::new(
        "admissionregistration.k8s.io",
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
    )
    .cluster_scoped()
    .categories(["api-extensions"])
    .strategy(RULES)
    .table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    finalizers_without_domain: true,
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        super::webhooks(At::object(object).get("webhooks"), &mut errors);
        errors
    }),
    unconditional_update: false,
    generation: Generation::By(|new, old| new.get(&["webhooks"]) != old.get(&["webhooks"])),
    ..Rules::NONE
};
