use async_trait::async_trait;
use sampan_api::admission::{Admission, Attributes, Mutated};
use sampan_api::{Object, Status};
use std::sync::Arc;

/// One concern of admission. Both methods do nothing unless overridden.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// As in kube-apiserver's `--enable-admission-plugins`.
    fn name(&self) -> &'static str;

    /// Changes the object or refuses it. Not called for deletions.
    async fn mutate(&self, _attributes: &Attributes<'_>, _object: &mut Object) -> Result<Mutated, Status> {
        Ok(Mutated::No)
    }

    /// Refuses or lets pass what will be written. `object` is `None` for deletions.
    async fn validate(&self, _attributes: &Attributes<'_>, _object: Option<&Object>) -> Result<(), Status> {
        Ok(())
    }
}

/// Plugins in Kubernetes' order. The first refusal ends it.
#[derive(Clone, Default)]
pub struct Chain {
    plugins: Vec<Arc<dyn Plugin>>,
}

impl Chain {
    /// A chain that asks `plugins` in this order.
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Self {
        Self { plugins }
    }

    /// The names of the plugins, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.plugins.iter().map(|plugin| plugin.name())
    }
}

#[async_trait]
impl Admission for Chain {
    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        let mut changed = Mutated::No;
        for plugin in &self.plugins {
            changed = changed.or(plugin.mutate(attributes, object).await?);
        }
        Ok(changed)
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        for plugin in &self.plugins {
            plugin.validate(attributes, object).await?;
        }
        Ok(())
    }
}
