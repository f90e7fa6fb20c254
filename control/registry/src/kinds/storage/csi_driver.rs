//! CSIDrivers: storage drivers.

use super::super::columns::Tabled;
use super::super::rules::{Rules, facts_alone};
use crate::resource::Resource;
use crate::strategy::{Context, Generation, Warned};
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "csidrivers", "CSIDriver").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    unconditional_update: false,
    validate_update: Some(facts_alone),
    generation: Generation::Changes,
    warnings: &[(Warned::Object, |ctx, driver, old| {
        let tokens = |driver: &Object| driver.get(&["spec", "tokenRequests"]).cloned();
        let new = old.is_none_or(|old| tokens(driver) != tokens(old));
        token_warning(ctx, driver).filter(|_| new).into_iter().collect()
    })],
    ..Rules::NONE
};

/// Tokens that are not asked for among secrets stand among attributes, which drivers log.
fn token_warning(ctx: &Context<'_>, driver: &Object) -> Option<String> {
    let tokens = driver.get(&["spec", "tokenRequests"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let told = tokens
        && driver.get(&["spec", "serviceAccountTokenInSecrets"]).is_none()
        && ctx.gates.enabled("CSIServiceAccountTokenSecrets");
    told.then(|| {
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible \
         logging of tokens in volume attributes"
            .to_owned()
    })
}
