use async_trait::async_trait;
use sampan_api::meta::{GroupResource, GroupVersionResource};
use sampan_api::{Object, Status, UserInfo};
use std::sync::Arc;

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// What is to be admitted (k8s.io/apiserver's `admission.Attributes`, the new object apart).
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub operation: Operation,
    pub resource: &'a GroupVersionResource,
    /// `""` for the object itself.
    pub subresource: &'a str,
    /// `""` for a cluster-scoped object.
    pub namespace: &'a str,
    /// May be empty at a create with `generateName`.
    pub name: &'a str,
    pub user: &'a UserInfo,
    pub dry_run: bool,
    /// The object as it is stored, at updates and deletions.
    pub old: Option<&'a Object>,
}

impl Request<'_> {
    /// Whether this is about the objects of a resource themselves, no subresource.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.resource.group == group && self.resource.resource == resource
    }

    pub fn group_resource(&self) -> GroupResource {
        self.resource.group_resource()
    }

    /// 403 in the words of `admission.NewForbidden`.
    pub fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.group_resource(), self.name, why)
    }
}

/// One concern of admission. Both methods do nothing unless overridden.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// As in kube-apiserver's `--enable-admission-plugins`.
    fn name(&self) -> &'static str;

    /// Changes the object (true if it did) or refuses it. Not called for deletions.
    async fn mutate(&self, _request: &Request<'_>, _object: &mut Object) -> Result<bool, Status> {
        Ok(false)
    }

    /// Refuses or lets pass what will be written. `object` is `None` for deletions.
    async fn validate(&self, _request: &Request<'_>, _object: Option<&Object>) -> Result<(), Status> {
        Ok(())
    }
}

/// Plugins in Kubernetes' order. The first refusal ends it.
#[derive(Clone, Default)]
pub struct Chain {
    plugins: Vec<Arc<dyn Plugin>>,
}

impl Chain {
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Self {
        Self { plugins }
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.plugins.iter().map(|plugin| plugin.name())
    }

    pub async fn mutate(&self, request: &Request<'_>, object: &mut Object) -> Result<bool, Status> {
        let mut changed = false;
        for plugin in &self.plugins {
            changed |= plugin.mutate(request, object).await?;
        }
        Ok(changed)
    }

    pub async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        for plugin in &self.plugins {
            plugin.validate(request, object).await?;
        }
        Ok(())
    }
}
