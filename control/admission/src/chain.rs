use crate::escalation::Escalation;
use async_trait::async_trait;
use sampan_api::admission::{Admission, Attributes, Charges, Mutated};
use sampan_api::{Object, Status};
use std::any::Any;
use std::sync::Arc;

/// What a plugin remembers of its first look at an object, for a second one.
pub type Remembered = Box<dyn Any + Send>;

/// One concern of admission. Methods do nothing unless overridden.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// As in kube-apiserver's `--enable-admission-plugins`.
    fn name(&self) -> &'static str;

    /// Whether the request may be the plugin's concern: a comparison or two. Where not, nothing else of it is asked.
    fn concerns(&self, _attributes: &Attributes<'_>) -> bool {
        true
    }

    /// Changes the object or refuses it. Not called for deletions.
    async fn mutate(&self, _attributes: &Attributes<'_>, _object: &mut Object) -> Result<Mutated, Status> {
        Ok(Mutated::No)
    }

    /// As [`Self::mutate`], of a plugin that remembers for [`Self::mutate_again`] what it did.
    async fn mutate_first(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
    ) -> Result<(Mutated, Option<Remembered>), Status> {
        Ok((self.mutate(attributes, object).await?, None))
    }

    /// Once more, after others changed the object (apiserver's reinvocation). `before` is what the first time remembered.
    async fn mutate_again(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        _before: Option<Remembered>,
    ) -> Result<Mutated, Status> {
        self.mutate(attributes, object).await
    }

    /// As [`Self::mutate`], of a deletion, which has no object that could be changed: refuses it or not, before any plugin
    /// validates it.
    async fn admit_deletion(&self, _attributes: &Attributes<'_>) -> Result<(), Status> {
        Ok(())
    }

    /// Refuses or lets pass what will be written. `object` is `None` for deletions.
    async fn validate(&self, _attributes: &Attributes<'_>, _object: Option<&Object>) -> Result<(), Status> {
        Ok(())
    }

    /// Writes that go with what is about to be created or updated, once every plugin lets it pass.
    async fn charge(&self, _attributes: &Attributes<'_>, _object: &Object) -> Result<Charges, Status> {
        Ok(Charges::default())
    }
}

/// Plugins in Kubernetes' order. The first refusal ends it.
#[derive(Clone, Default)]
pub struct Chain {
    plugins: Vec<Arc<dyn Plugin>>,
    escalation: Option<Arc<Escalation>>,
    /// Checks with an authorizer that Kubernetes' storages make before validating plugins: they cannot be turned off.
    of_storage: Vec<Arc<dyn Plugin>>,
}

impl Chain {
    /// A chain that asks `plugins` in this order.
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Self {
        Self { plugins, escalation: None, of_storage: Vec::new() }
    }

    /// The chain, with the check of roles and bindings after what changes objects.
    pub(crate) fn with_escalation(self, escalation: Escalation) -> Self {
        Self { escalation: Some(Arc::new(escalation)), ..self }
    }

    /// The chain, with checks before validating plugins.
    pub(crate) fn with_check(mut self, check: Arc<dyn Plugin>) -> Self {
        self.of_storage.push(check);
        self
    }

    /// The names of the plugins, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.plugins.iter().map(|plugin| plugin.name())
    }

    fn concerned(&self, attributes: &Attributes<'_>) -> impl Iterator<Item = &Arc<dyn Plugin>> {
        self.plugins.iter().filter(|plugin| plugin.concerns(attributes))
    }
}

#[async_trait]
impl Admission for Chain {
    async fn mutate(&self, attributes: &Attributes<'_>, object: Option<&mut Object>) -> Result<Mutated, Status> {
        let Some(object) = object else {
            for plugin in self.concerned(attributes) {
                plugin.admit_deletion(attributes).await?;
            }
            return Ok(Mutated::No);
        };
        let mut changed = Mutated::No;
        let mut remembered = Vec::new();
        for plugin in self.concerned(attributes) {
            let (own, of) = plugin.mutate_first(attributes, object).await?;
            changed = changed.or(own);
            remembered.push(of);
        }
        if changed == Mutated::ByOthers {
            // Plugins before them have not seen what they made of it: all are asked once more.
            for (plugin, of) in self.concerned(attributes).zip(remembered) {
                changed = changed.or(plugin.mutate_again(attributes, object, of).await?);
            }
        }
        if let Some(escalation) = &self.escalation {
            escalation.check(attributes, object).await?;
        }
        Ok(changed)
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let of_storage = self.of_storage.iter().filter(|check| check.concerns(attributes));
        for plugin in of_storage.chain(self.concerned(attributes)) {
            plugin.validate(attributes, object).await?;
        }
        Ok(())
    }

    async fn charge(&self, attributes: &Attributes<'_>, object: &Object) -> Result<Charges, Status> {
        let mut all = Charges::default();
        for plugin in self.concerned(attributes) {
            all.add(plugin.charge(attributes, object).await?);
        }
        Ok(all)
    }
}
