use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::k8s::api::core::v1::Namespace;
use sampan_api::meta::GroupResource;
use sampan_api::status::{Status, StatusCause};
use sampan_api::{Object, Record, RecordKey};
use sampan_client::{Client, Informer};

/// Namespaces that must not go (k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle).
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Nothing is made in a namespace that is not there or is going; the cluster's own namespaces stay.
pub struct NamespaceLifecycle {
    namespaces: Informer,
    client: Client,
}

impl NamespaceLifecycle {
    /// `namespaces` answers nearly always; `client` is asked where it has not heard of a namespace yet, or hears that it goes.
    pub fn new(namespaces: Informer, client: Client) -> Self {
        Self { namespaces, client }
    }

    /// Whether the namespace is going. `None`: there is no such namespace.
    async fn terminating(&self, name: &str) -> Result<Option<bool>, Status> {
        let going = |namespace: &Namespace| {
            namespace.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Terminating")
        };
        let read = |record: &Record| match record.typed::<Namespace>() {
            Ok(namespace) => Ok(going(&namespace)),
            Err(error) => Err(Status::internal(&error.to_string())),
        };
        // One that goes may be gone by now, and another of its name be there.
        if let Some(record) = self.namespaces.store().get(&RecordKey::new("", name))
            && !read(&record)?
        {
            return Ok(Some(false));
        }
        match self.client.all::<Namespace>().get_record(name).await {
            Ok(record) => read(&record).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Status::internal(&error.to_string())),
        }
    }
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    async fn mutate(&self, attributes: &Attributes<'_>, _: &mut Object) -> Result<Mutated, Status> {
        if attributes.namespace.is_empty()
            || attributes.operation != Operation::Create
            || attributes.is("", "namespaces")
        {
            return Ok(Mutated::No);
        }
        // An access review is about a namespace, it does not live in one.
        if attributes.resource.group == "authorization.k8s.io" {
            return Ok(Mutated::No);
        }
        match self.terminating(attributes.namespace).await? {
            None => Err(Status::not_found(&GroupResource::new("", "namespaces"), attributes.namespace)),
            Some(true) => Err(attributes
                .forbidden(&format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    attributes.namespace
                ))
                .with_cause(StatusCause {
                    reason: "NamespaceTerminating".into(),
                    message: format!("namespace {} is being terminated", attributes.namespace),
                    field: "metadata.namespace".into(),
                })),
            Some(false) => Ok(Mutated::No),
        }
    }

    async fn admit_deletion(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let immortal = IMMORTAL.contains(&attributes.name);
        if attributes.is("", "namespaces") && immortal {
            return Err(attributes.forbidden("this namespace may not be deleted"));
        }
        Ok(())
    }
}
