//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others decide, over HTTPS.

mod hook;
mod review;

use crate::chain::{Plugin, Remembered};
use crate::limits::POLICY_QUESTIONS_MAX;
use crate::matching::{Namespaces, Request};
use crate::scene::Scene;
use async_trait::async_trait;
use hook::{Hook, OnFailure};
use parking_lot::Mutex;
use review::{Answer, Sort};
use sampan_api::admission::{Attributes, Mutated};
use sampan_api::{Authorizer, Object, Status};
use sampan_cel::Decisions;
use sampan_client::{Client, Informer, WebhookClient};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The webhooks of one sort, and what is needed to call them.
struct Webhooks {
    sort: Sort,
    configurations: Informer,
    namespaces: Namespaces,
    authorizer: Arc<dyn Authorizer>,
    caller: Arc<WebhookClient>,
    client: Client,
    /// Configurations as they are read, by their names, each of one revision.
    read: Mutex<HashMap<String, Read>>,
}

/// A configuration's revision, and its webhooks.
type Read = (String, Arc<Vec<Hook>>);

/// What a call came to where it was no answer that lets the request pass.
enum Failed {
    /// The webhook refused.
    Refused(Status),
    /// It was not reached, or gave no answer that could be read.
    NotAnswered(String),
}

impl Webhooks {
    fn hooks(&self) -> Vec<(String, Arc<Vec<Hook>>)> {
        let records = self.configurations.store().list();
        let mut read = self.read.lock();
        let mut all = Vec::with_capacity(records.len());
        for record in &records {
            let object = record.object();
            let name = object.name().to_owned();
            let revision = format!("{} {}", object.uid(), object.resource_version());
            let hooks = match read.get(&name) {
                Some((of, hooks)) if *of == revision => hooks.clone(),
                _ => Arc::new(Hook::all(&object)),
            };
            read.insert(name.clone(), (revision, hooks.clone()));
            all.push((name, hooks));
        }
        if read.len() > all.len() {
            read.retain(|name, _| all.iter().any(|(known, _)| known == name));
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Whether any may be asked: never about the configurations of admission themselves.
    fn asked(&self, attributes: &Attributes<'_>) -> bool {
        attributes.resource.group != "admissionregistration.k8s.io" && !self.configurations.store().is_empty()
    }

    async fn scene(&self, request: Request<'_>) -> Result<Scene, Status> {
        let namespace = match request.attributes.namespace {
            "" => None,
            name => self.namespaces.get(name).await?,
        };
        Ok(Scene::new(request, namespace.as_ref()))
    }

    /// Whether a webhook is to be called for a request.
    async fn concerns(&self, hook: &Hook, request: Request<'_>, scene: &Scene) -> Result<bool, Status> {
        if !hook.matches(request, &self.namespaces).await? {
            return Ok(false);
        }
        if !hook.has_conditions() {
            return Ok(true);
        }
        let mut decisions = Decisions::default();
        for _ in 0..POLICY_QUESTIONS_MAX {
            let question = match hook.conditions_hold(scene, &decisions) {
                Ok(Ok(holds)) => return Ok(holds),
                Ok(Err(_)) if hook.on_failure == OnFailure::GoOn => return Ok(false),
                Ok(Err(why)) => return Err(request.attributes.forbidden(&why)),
                Err(question) => *question,
            };
            let decision = self.authorizer.authorize(&question.0).await;
            decisions.add(question, decision);
        }
        Err(Status::internal(&format!(
            "webhook {} asks the authorizer more than {POLICY_QUESTIONS_MAX} questions",
            hook.name
        )))
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

/// A webhook of a configuration.
struct Hooked {
    hooks: Arc<Vec<Hook>>,
    at: usize,
}

impl std::ops::Deref for Hooked {
    type Target = Hook;

    fn deref(&self) -> &Hook {
        &self.hooks[self.at]
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
            configurations: parts.configurations,
            namespaces: Namespaces::new(parts.namespaces, parts.client.clone()),
            authorizer: parts.authorizer,
            caller: parts.caller,
            client: parts.client,
            read: Mutex::default(),
        }
    }
}

/// Webhooks that change objects, one after the other (k8s.io/apiserver/pkg/admission/plugin/webhook/mutating).
pub struct MutatingAdmissionWebhook(Webhooks);

impl MutatingAdmissionWebhook {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Webhooks::new(Sort::Mutating, parts))
    }

    /// All webhooks in their order.
    fn all(&self) -> Vec<(HookName, Hooked)> {
        let of = |(name, hooks): (String, Arc<Vec<Hook>>)| {
            (0..hooks.len())
                .map(move |at| ((name.clone(), at), Hooked { hooks: hooks.clone(), at }))
                .collect::<Vec<_>>()
        };
        self.0.hooks().into_iter().flat_map(of).collect()
    }

    /// Asks one webhook, and applies its patch.
    async fn apply(&self, hook: &Hook, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        let request = Request { attributes, object: Some(object) };
        let scene = self.0.scene(request).await?;
        if !self.0.concerns(hook, request, &scene).await? {
            return Ok(Mutated::No);
        }
        let Some(answer) = self.0.ask(hook, request, &scene).await? else { return Ok(Mutated::No) };
        if answer.patch.as_array().is_none_or(Vec::is_empty) {
            return Ok(Mutated::No);
        }
        let patched = sampan_schema::patch::json(object.to_value(), &answer.patch);
        let patched = patched.map_err(|error| Status::internal(&error.to_string()))?;
        let kind = object.gvk();
        let patched = Object::from_value(patched).filter(|patched| patched.gvk() == kind);
        let patched = patched
            .ok_or_else(|| Status::internal(&format!("webhook {:?} made another kind of the object", hook.name)))?;
        let changed = patched != *object;
        *object = patched;
        Ok(if changed { Mutated::ByOthers } else { Mutated::No })
    }
}

/// What became of the webhooks that want to be asked again (apiserver's `webhookReinvokeContext`).
#[derive(Default)]
struct Invoked {
    /// Asked, and nothing was changed by webhooks since.
    asked: BTreeSet<HookName>,
    /// To be asked again.
    again: BTreeSet<HookName>,
    /// The object as the last one left it.
    output: Object,
}

/// A configuration, and a webhook's place in it.
type HookName = (String, usize);

impl Invoked {
    /// All that were asked are asked again.
    fn require_all(&mut self) {
        self.again.append(&mut self.asked);
    }
}

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
        let mut invoked = Invoked::default();
        let mut changed = Mutated::No;
        for (name, hook) in &self.all() {
            let own = self.apply(hook, attributes, object).await?;
            if own != Mutated::No {
                invoked.require_all();
            }
            changed = changed.or(own);
            if hook.reinvoked {
                invoked.asked.insert(name.clone());
            }
        }
        invoked.output = object.clone();
        Ok((changed, Some(Box::new(invoked))))
    }

    async fn mutate_again(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        before: Option<Remembered>,
    ) -> Result<Mutated, Status> {
        let Some(mut invoked) = before.and_then(|before| before.downcast::<Invoked>().ok()) else {
            return Ok(Mutated::No);
        };
        if *object != invoked.output {
            // Plugins of this server changed it when they were asked again.
            invoked.require_all();
        }
        let mut changed = Mutated::No;
        for (name, hook) in &self.all() {
            if !invoked.again.contains(name) {
                continue;
            }
            let own = self.apply(hook, attributes, object).await?;
            if own != Mutated::No {
                invoked.require_all();
            }
            changed = changed.or(own);
            invoked.asked.insert(name.clone());
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
        let scene = self.0.scene(request).await?;
        let configurations = self.0.hooks();
        let mut concerned = Vec::new();
        for hook in configurations.iter().flat_map(|(_, hooks)| hooks.iter()) {
            if self.0.concerns(hook, request, &scene).await? {
                concerned.push(hook);
            }
        }
        let asked = concerned.iter().map(|hook| self.0.ask(hook, request, &scene));
        for answer in futures::future::join_all(asked).await {
            answer?;
        }
        Ok(())
    }
}
