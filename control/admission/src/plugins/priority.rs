use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::k8s::api::scheduling::v1::PriorityClass;
use sampan_api::{Object, Status};
use sampan_client::{Client, Informer};
use std::sync::Arc;

/// Resolves a pod's priority class to its number (Kubernetes' Priority plugin).
pub struct Priority {
    classes: Informer,
    client: Client,
}

impl Priority {
    /// `classes` answers nearly always; `client` is asked where it has not heard of a class yet.
    pub fn new(classes: Informer, client: Client) -> Self {
        Self { classes, client }
    }

    async fn class(&self, name: &str) -> Result<Option<Arc<PriorityClass>>, Status> {
        if let Some(class) = self.classes.lister::<PriorityClass>().get("", name) {
            return Ok(Some(class));
        }
        match self.client.all::<PriorityClass>().get_opt(name).await {
            Ok(class) => Ok(class.map(Arc::new)),
            Err(error) => Err(Status::internal(&error.to_string())),
        }
    }

    /// The class of pods that name none: of several global defaults, the one with the lowest value.
    fn default_class(&self) -> Option<Arc<PriorityClass>> {
        let classes = self.classes.lister::<PriorityClass>().list();
        classes.into_iter().filter(|class| class.global_default == Some(true)).min_by_key(|class| class.value)
    }

    async fn admit_pod(&self, attributes: &Attributes<'_>, pod: &mut Object) -> Result<Mutated, Status> {
        let named = pod.get_str(&["spec", "priorityClassName"]).unwrap_or_default().to_owned();
        let (value, policy) = if named.is_empty() {
            match self.default_class() {
                None => (0, None),
                Some(class) => {
                    pod.set(&["spec", "priorityClassName"], class.metadata.name.clone().unwrap_or_default());
                    (class.value, class.preemption_policy.clone())
                }
            }
        } else {
            match self.class(&named).await? {
                Some(class) => (class.value, class.preemption_policy.clone()),
                None => return Err(attributes.forbidden(&format!("no PriorityClass with name {named} was found"))),
            }
        };
        let policy = policy.unwrap_or_else(|| "PreemptLowerPriority".into());
        if pod.get(&["spec", "priority"]).and_then(serde_json::Value::as_i64).is_some_and(|own| own != i64::from(value))
        {
            return Err(attributes.forbidden(&format!(
                "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name",
                pod.get(&["spec", "priority"]).cloned().unwrap_or_default()
            )));
        }
        if pod.get_str(&["spec", "preemptionPolicy"]).is_some_and(|own| own != policy) {
            return Err(attributes.forbidden(&format!(
                "the string value of PreemptionPolicy ({}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name",
                pod.get_str(&["spec", "preemptionPolicy"]).unwrap_or_default()
            )));
        }
        pod.set(&["spec", "priority"], value);
        pod.set(&["spec", "preemptionPolicy"], policy);
        Ok(Mutated::Yes)
    }
}

#[async_trait]
impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "pods") || attributes.is("scheduling.k8s.io", "priorityclasses")
    }

    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        if !attributes.is("", "pods") {
            return Ok(Mutated::No);
        }
        match (attributes.operation, attributes.old) {
            (Operation::Create, _) => self.admit_pod(attributes, object).await,
            // An update that leaves them out means the ones it has.
            (Operation::Update, Some(old)) => {
                let mut changed = Mutated::No;
                for field in ["priority", "preemptionPolicy"] {
                    if let (None, Some(kept)) = (object.get(&["spec", field]), old.get(&["spec", field])) {
                        object.set(&["spec", field], kept.clone());
                        changed = Mutated::Yes;
                    }
                }
                Ok(changed)
            }
            _ => Ok(Mutated::No),
        }
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let wants_default = object.is_some_and(|one| one.get(&["globalDefault"]) == Some(&true.into()));
        if !attributes.is("scheduling.k8s.io", "priorityclasses") || !wants_default {
            return Ok(());
        }
        match self.default_class().and_then(|class| class.metadata.name.clone()) {
            // One that is there already is refused as such only after this.
            Some(other) if attributes.operation == Operation::Create || other != attributes.name => Err(attributes
                .forbidden(&format!("PriorityClass {other} is already marked as default. Only one default can exist"))),
            _ => Ok(()),
        }
    }
}
