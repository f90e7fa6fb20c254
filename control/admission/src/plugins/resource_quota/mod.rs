//! Quota: what is created or grows is charged to the namespace's ResourceQuotas, in the transaction of its write
//! (k8s.io/apiserver/pkg/admission/plugin/resourcequota).

mod line;

use crate::chain::Plugin;
use async_trait::async_trait;
use line::Lines;
use sampan_api::admission::{Attributes, Charge, Charges, Operation};
use sampan_api::k8s::api::core::v1::ResourceQuota as Quota;
use sampan_api::{GroupVersionResource, Object, Record, Status};
use sampan_client::{Client, Informer};
use sampan_quota::{Amounts, Evaluator, Write};
use serde_json::Value;
use std::sync::Arc;

/// The plugin. Charges are exact: a quota is written in the transaction of what it is charged for, and only as it was read.
pub struct ResourceQuota {
    quotas: Informer,
    client: Client,
    lines: Arc<Lines>,
}

impl ResourceQuota {
    /// `quotas` says which namespaces have any; those are read anew through `client`.
    pub fn new(quotas: Informer, client: Client) -> Self {
        Self { quotas, client, lines: Arc::default() }
    }

    /// Whether a quota of the namespace limits what the evaluator counts.
    fn is_limited(&self, namespace: &str, evaluator: &Evaluator) -> Result<bool, Status> {
        for record in self.quotas.store().list_namespace(namespace) {
            let quota = record.typed::<Quota>().map_err(unreadable)?;
            let hard = quota.status.as_ref().and_then(|status| status.hard.as_ref());
            if hard.into_iter().flatten().any(|(name, _)| evaluator.limits(name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The namespace's quotas as they are, by name.
    async fn current(&self, namespace: &str) -> Result<Vec<Arc<Record>>, Status> {
        let api = self.client.namespaced::<Quota>(namespace);
        let mut current = Vec::new();
        for known in self.quotas.store().list_namespace(namespace) {
            match api.get_record(&known.key.name).await {
                Ok(record) => current.push(record),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(Status::internal(&format!("error resolving quota: {error}"))),
            }
        }
        Ok(current)
    }
}

fn unreadable(error: serde_json::Error) -> Status {
    Status::internal(&format!("resource quota evaluation: {error}"))
}

/// The charge that gives the quota this use.
fn charge_of(current: &Arc<Record>, used: &Amounts) -> Charge {
    let mut object = current.object();
    let list: serde_json::Map<String, Value> =
        used.to_list().into_iter().map(|(name, amount)| (name, amount.0.into())).collect();
    object.set(&["status", "used"], list);
    Charge { resource: GroupVersionResource::new("", "v1", "resourcequotas"), current: current.clone(), object }
}

#[async_trait]
impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        !attributes.namespace.is_empty()
            && matches!(attributes.operation, Operation::Create | Operation::Update)
            && !attributes.is("", "namespaces")
    }

    async fn charge(&self, attributes: &Attributes<'_>, object: &Object) -> Result<Charges, Status> {
        let Some(evaluator) = Evaluator::of(&attributes.group_resource()) else { return Ok(Charges::default()) };
        if !evaluator.may_concern(attributes.operation, attributes.subresource)
            || !self.is_limited(attributes.namespace, &evaluator)?
        {
            return Ok(Charges::default());
        }
        let new = evaluator.read(object).map_err(unreadable)?;
        let old = attributes.old.map(|old| evaluator.read(old)).transpose().map_err(unreadable)?;
        let (operation, subresource) = (attributes.operation, attributes.subresource);
        if !evaluator.concerns(operation, subresource, &new, old.as_ref()) {
            return Ok(Charges::default());
        }
        let turn = if attributes.dry_run { None } else { Some(self.lines.turn(attributes.namespace).await?) };
        let records = self.current(attributes.namespace).await?;
        let typed = records.iter().map(|record| record.typed::<Quota>().map(|quota| sampan_quota::Quota::of(&quota)));
        let quotas: Vec<sampan_quota::Quota> = typed.collect::<Result<_, _>>().map_err(unreadable)?;
        let write = Write { operation, subresource, new: &new, old: old.as_ref() };
        let charged = sampan_quota::charge(&evaluator, &write, &quotas, self.client.env().now());
        let charged = charged.map_err(|why| attributes.forbidden(&why))?;
        if charged.is_empty() {
            return Ok(Charges::default());
        }
        let writes = charged.iter().map(|(place, used)| charge_of(&records[*place], used)).collect();
        Ok(Charges { writes, turn: turn.map(|turn| Box::new(turn) as _) })
    }
}
