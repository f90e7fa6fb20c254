//! Checks the expressions of ValidatingAdmissionPolicies by the types of what they are about, and writes what is wrong into
//! their status (pkg/controller/validatingadmissionpolicystatus).

mod check;
mod schema;
#[cfg(test)]
mod tests;

pub use check::{Warning, kinds, warnings};
pub use schema::type_of;

use crate::{Context, Error, limits};
use bytes::Bytes;
use http::Request;
use sampan_api::k8s::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use sampan_api::{GroupVersion, GroupVersionKind, RecordKey, UserInfo};
use sampan_cel::Type;
use sampan_client::{Client, Informer, Patch, WriteParams};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The field manager that Kubernetes' controller has.
const MANAGER: &str = "validatingadmissionpolicy-status";

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let (env, tasks) = (&context.config.env, &context.config.tasks);
    let policies = context.informers.of::<ValidatingAdmissionPolicy>()?;
    let name = "validatingadmissionpolicy-status-controller";
    let client = context.client(UserInfo::service_account("kube-system", name), name)?;
    let mut runtime: Runtime = Runtime::new(name, env, tasks);
    runtime.watch(&policies);
    runtime.start(PolicyStatus { policies, client }, limits::WORKERS);
    Ok(())
}

struct PolicyStatus {
    policies: Informer,
    client: Client,
}

impl Reconcile for PolicyStatus {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(record) = self.policies.store().get(key) else { return Ok(Requeue::Never) };
        let policy = record.object();
        let observed = policy.get(&["status", "observedGeneration"]).and_then(Value::as_i64).unwrap_or_default();
        if policy.generation() <= observed {
            return Ok(Requeue::Never);
        }
        let spec = policy.get(&["spec"]).cloned().unwrap_or_default();
        let served = self.client.discover().await?;
        let kinds = kinds(&spec, &served);
        let params = check::param_kind(&spec);
        let types = self.types(kinds.iter().chain(&params)).await?;
        let generation = policy.generation();
        let found = sampan_env::blocking(move || {
            let typed = kinds.into_iter().filter_map(|kind| Some((types.get(&kind)?.clone(), kind)));
            let typed: Vec<(Type, GroupVersionKind)> = typed.collect();
            warnings(&spec, &typed, params.and_then(|kind| types.get(&kind).cloned()).as_ref())
        });
        let found = found.await.map_err(|error| Error::Panicked(error.to_string()))?;
        let warnings: Vec<Value> =
            found.into_iter().map(|one| json!({"fieldRef": one.field, "warning": one.text})).collect();
        let checked = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
        let status = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": &*key.name},
            "status": {"observedGeneration": generation, "typeChecking": checked},
        });
        let params = WriteParams { field_manager: Some(MANAGER.to_owned()), force: true, ..WriteParams::default() };
        let api = self.client.all::<ValidatingAdmissionPolicy>();
        match api.patch_with(&key.name, Some("status"), &Patch::Apply(status), &params).await {
            Err(error) if error.is_not_found() => Ok(Requeue::Never),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Requeue::Never),
        }
    }
}

impl PolicyStatus {
    /// The types of kinds, as the server's OpenAPI describes them; what it does not describe is left out.
    async fn types(
        &self,
        kinds: impl Iterator<Item = &GroupVersionKind>,
    ) -> Result<BTreeMap<GroupVersionKind, Type>, Error> {
        let mut by_version: BTreeMap<GroupVersion, Vec<GroupVersionKind>> = BTreeMap::new();
        for kind in kinds {
            by_version.entry(kind.group_version()).or_default().push(kind.clone());
        }
        let mut types = BTreeMap::new();
        for (version, kinds) in by_version {
            let Some(document) = self.document(&version).await? else { continue };
            let found = sampan_env::blocking(move || {
                let Ok(document) = serde_json::from_slice::<Value>(&document) else { return Vec::new() };
                let found = kinds.into_iter().filter_map(|kind| Some((type_of(&document, &kind)?, kind)));
                found.collect::<Vec<_>>()
            });
            let found = found.await.map_err(|error| Error::Panicked(error.to_string()))?;
            types.extend(found.into_iter().map(|(ty, kind)| (kind, ty)));
        }
        Ok(types)
    }

    /// The OpenAPI of a group version; `None`: there is none.
    async fn document(&self, version: &GroupVersion) -> Result<Option<Bytes>, Error> {
        let place = if version.group.is_empty() { "api" } else { "apis" };
        let path = format!("/openapi/v3/{place}/{version}");
        let request = Request::get(path).body(Bytes::new()).map_err(|error| Error::Invalid(error.to_string()))?;
        match self.client.request_bytes(request).await {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
