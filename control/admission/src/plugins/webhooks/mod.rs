//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others decide, over HTTPS.

mod hook;
mod review;

use crate::chain::{Plugin, Remembered};
use crate::derived::Derived;
use crate::matching::{Namespaces, Request, Seen};
use crate::reinvocation::Invoked;
use crate::scene::{Scene, Scenes, decided};
use async_trait::async_trait;
use hook::{Hook, OnFailure};
use review::{Answer, Sort};
use sampan_api::admission::{Attributes, Equivalent, Mutated, UnknownFields};
use sampan_api::{Authorizer, Object, Status};
use sampan_client::{Client, Informer, WebhookClient};
use sampan_schema::managed;
use serde_json::Value as Json;
use std::sync::Arc;

/// The webhooks of one sort, and what is needed to call them.
struct Webhooks {
    sort: Sort,
    configurations: Derived<Configuration>,
    namespaces: Namespaces,
    authorizer: Arc<dyn Authorizer>,
    caller: Arc<WebhookClient>,
    client: Client,
}

/// The webhooks of a configuration, in its order.
struct Configuration {
    name: String,
    hooks: Vec<Hook>,
}

impl Configuration {
    fn of(object: &Object) -> Self {
        Self { name: object.name().to_owned(), hooks: Hook::all(object) }
    }
}

/// What a call came to where it was no answer that lets the request pass.
enum Failed {
    /// The webhook refused.
    Refused(Status),
    /// It was not reached, or gave no answer that could be read.
    NotAnswered(String),
}

impl Webhooks {
    /// Whether any may be asked: never about the configurations of admission themselves.
    fn asked(&self, attributes: &Attributes<'_>) -> bool {
        attributes.resource.group != "admissionregistration.k8s.io" && !self.configurations.is_empty()
    }

    /// As what a webhook is to be called for a request, with what it is shown; `None`: it is not.
    async fn concerns(
        &self,
        hook: &Hook,
        request: Request<'_>,
        scenes: &mut Scenes<'_>,
    ) -> Result<Option<(Seen, Arc<Scene>)>, Status> {
        let Some(seen) = hook.matched(request, &self.namespaces).await? else { return Ok(None) };
        let scene = scenes.of(&seen).await?;
        if !hook.has_conditions() {
            return Ok(Some((seen, scene)));
        }
        let evaluate = |decisions: &_| hook.conditions_hold(&scene, decisions);
        match decided(&*self.authorizer, &format!("webhook {}", hook.name), evaluate).await? {
            Ok(holds) => Ok(holds.then_some((seen, scene))),
            Err(_) if hook.on_failure == OnFailure::GoOn => Ok(None),
            Err(why) => Err(request.attributes.forbidden(&why)),
        }
    }

    async fn call(&self, hook: &Hook, request: Request<'_>, scene: &Scene) -> Result<Answer, Failed> {
        if request.attributes.dry_run && !hook.dry_run {
            let why = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(Failed::Refused(Status::bad_request(why)));
        }
        let Some(version) = hook.version else {
            let why = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            return Err(Failed::NotAnswered(why.into()));
        };
        let uid = self.client.env().uuid();
        let body = review::question(scene, version, &uid);
        let answer = self.caller.post(&hook.client_config, body.into(), hook.timeout).await;
        let body = answer.map_err(|why| Failed::NotAnswered(format!("failed to call webhook: {why}")))?;
        let answer = review::answer(&body, version, self.sort, &uid);
        let answer = answer.map_err(|why| Failed::NotAnswered(format!("received invalid webhook response: {why}")))?;
        for warning in &answer.warnings {
            request.attributes.warnings.add(warning.as_str());
        }
        if answer.allowed { Ok(answer) } else { Err(Failed::Refused(review::refusal(&hook.name, &answer.result))) }
    }

    /// The call's answer as the failure policy has it; `None`: go on without one.
    async fn ask(&self, hook: &Hook, request: Request<'_>, scene: &Scene) -> Result<Option<Answer>, Status> {
        match self.call(hook, request, scene).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Failed::Refused(status)) => Err(status),
            Err(Failed::NotAnswered(why)) if hook.on_failure == OnFailure::GoOn => {
                tracing::warn!(webhook = hook.name, why, "a webhook gave no answer, and the request goes on without");
                Ok(None)
            }
            Err(Failed::NotAnswered(why)) => {
                Err(Status::internal(&format!("failed calling webhook {:?}: {why}", hook.name)))
            }
        }
    }
}

/// What both plugins are made of.
pub(crate) struct Parts {
    pub(crate) configurations: Informer,
    pub(crate) namespaces: Informer,
    pub(crate) client: Client,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) caller: Arc<WebhookClient>,
}

impl Webhooks {
    fn new(sort: Sort, parts: Parts) -> Self {
        Self {
            sort,
            configurations: Derived::new(parts.configurations, Configuration::of),
            namespaces: Namespaces::new(parts.namespaces, parts.client.clone()),
            authorizer: parts.authorizer,
            caller: parts.caller,
            client: parts.client,
        }
    }
}

/// Webhooks that change objects, one after the other (k8s.io/apiserver/pkg/admission/plugin/webhook/mutating).
pub struct MutatingAdmissionWebhook(Webhooks);

impl MutatingAdmissionWebhook {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Webhooks::new(Sort::Mutating, parts))
    }

    /// Asks one webhook. The answer is a patch with operations, and as what the webhook saw the object.
    async fn patch(&self, hook: &Hook, request: Request<'_>) -> Result<Option<(Seen, Json)>, Status> {
        let mut scenes = Scenes::new(request, &self.0.namespaces).await?;
        let Some((seen, scene)) = self.0.concerns(hook, request, &mut scenes).await? else { return Ok(None) };
        let Some(answer) = self.0.ask(hook, request, &scene).await? else { return Ok(None) };
        let changes = answer.patch.as_array().is_some_and(|operations| !operations.is_empty());
        Ok(changes.then_some((seen, answer.patch)))
    }

    /// Asks one webhook, and applies its patch.
    async fn apply(&self, hook: &Hook, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        let request = Request { attributes, object: Some(object) };
        let Some((seen, patch)) = self.patch(hook, request).await? else { return Ok(Mutated::No) };
        let mut patched = match &seen {
            Seen::Own => patched(hook, object, &patch)?,
            Seen::As(equivalent) => {
                let kinds = attributes.kinds;
                let mut changed = patched(hook, &kinds.convert(object, equivalent).await?, &patch)?;
                kinds.read(&mut changed, UnknownFields::Dropped)?;
                let kind = object.gvk().unwrap_or_default();
                kinds.convert(&changed, &Equivalent { resource: attributes.resource.clone(), kind }).await?
            }
        };
        keep_managers(attributes, object, &mut patched);
        let changed = patched != *object;
        *object = patched;
        Ok(if changed { Mutated::ByOthers } else { Mutated::No })
    }
}

/// An object with a webhook's patch.
fn patched(hook: &Hook, object: &Object, patch: &Json) -> Result<Object, Status> {
    let patched = sampan_schema::patch::json(object.to_value(), patch);
    let patched = patched.map_err(|error| Status::internal(&error.to_string()))?;
    let kind = object.gvk();
    Object::from_value(patched)
        .filter(|patched| patched.gvk() == kind)
        .ok_or_else(|| Status::internal(&format!("webhook {:?} made another kind of the object", hook.name)))
}

/// Puts back the managed fields that somebody left in a form that cannot be read, and says so.
fn keep_managers(attributes: &Attributes<'_>, before: &Object, object: &mut Object) {
    let after = object.metadata().get("managedFields").and_then(Json::as_array);
    let Some(why) = after.and_then(|entries| managed::problem(entries)) else { return };
    match before.metadata().get("managedFields") {
        Some(entries) => object.set_meta("managedFields", entries.clone()),
        None => drop(object.metadata_mut().remove("managedFields")),
    }
    attributes.warnings.add(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating \
         admission controller; please fix your requests: {why}"
    ));
}

/// A configuration, and a webhook's place in it.
type Key = (String, usize);

#[async_trait]
impl Plugin for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    async fn mutate_first(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
    ) -> Result<(Mutated, Option<Remembered>), Status> {
        if !self.0.asked(attributes) {
            return Ok((Mutated::No, None));
        }
        let mut invoked = Invoked::new();
        let mut changed = Mutated::No;
        for configuration in self.0.configurations.all() {
            for (at, hook) in configuration.hooks.iter().enumerate() {
                let own = self.apply(hook, attributes, object).await?;
                if own != Mutated::No {
                    invoked.require_all();
                }
                changed = changed.or(own);
                if hook.reinvoked {
                    invoked.note((configuration.name.clone(), at));
                }
            }
        }
        invoked.end(object);
        Ok((changed, Some(Box::new(invoked))))
    }

    async fn admit_deletion(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        if !self.0.asked(attributes) {
            return Ok(());
        }
        let request = Request { attributes, object: None };
        for configuration in self.0.configurations.all() {
            for hook in &configuration.hooks {
                if self.patch(hook, request).await?.is_some() {
                    return Err(Status::internal(&format!(
                        "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
                        hook.name
                    )));
                }
            }
        }
        Ok(())
    }

    async fn mutate_again(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        before: Option<Remembered>,
    ) -> Result<Mutated, Status> {
        let Some(mut invoked) = before.and_then(|before| before.downcast::<Invoked<Key>>().ok()) else {
            return Ok(Mutated::No);
        };
        invoked.begin_again(object);
        let mut changed = Mutated::No;
        for configuration in self.0.configurations.all() {
            for (at, hook) in configuration.hooks.iter().enumerate() {
                let key = (configuration.name.clone(), at);
                if !invoked.wants(&key) {
                    continue;
                }
                let own = self.apply(hook, attributes, object).await?;
                if own != Mutated::No {
                    invoked.require_all();
                }
                changed = changed.or(own);
                invoked.note(key);
            }
        }
        Ok(changed)
    }
}

/// Webhooks that refuse or let pass, all at once (k8s.io/apiserver/pkg/admission/plugin/webhook/validating).
pub struct ValidatingAdmissionWebhook(Webhooks);

impl ValidatingAdmissionWebhook {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Webhooks::new(Sort::Validating, parts))
    }
}

#[async_trait]
impl Plugin for ValidatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        if !self.0.asked(attributes) {
            return Ok(());
        }
        let request = Request { attributes, object };
        let mut scenes = Scenes::new(request, &self.0.namespaces).await?;
        let configurations = self.0.configurations.all();
        let mut concerned = Vec::new();
        for hook in configurations.iter().flat_map(|configuration| &configuration.hooks) {
            if let Some((_, scene)) = self.0.concerns(hook, request, &mut scenes).await? {
                concerned.push((hook, scene));
            }
        }
        let asked = concerned.iter().map(|(hook, scene)| self.0.ask(hook, request, scene));
        for answer in futures::future::join_all(asked).await {
            answer?;
        }
        Ok(())
    }
}
