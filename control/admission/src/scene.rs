//! What expressions of admission run over, and running them within a budget.

use crate::limits::POLICY_QUESTIONS_MAX;
use crate::matching::{Namespaces, Request, Seen};
use sampan_api::admission::{Attributes, Equivalent};
use sampan_api::user::UserInfo;
use sampan_api::{Authorizer, GroupVersionKind, GroupVersionResource, Object, Status, user};
use sampan_cel::{Authorization, Decisions, EvalError, Inputs, Library, Program, Question, Value};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// The variables of one request, as JSON.
pub(crate) struct Scene {
    object: Json,
    old: Json,
    request: Json,
    /// Null where the request is in no namespace.
    namespace: Json,
    user: Arc<UserInfo>,
    /// The request's own resource as authorization asks of it.
    resource: user::Attributes,
}

/// The objects of a request.
#[derive(Clone, Copy)]
struct Objects<'a> {
    new: Option<&'a Object>,
    old: Option<&'a Object>,
}

/// What expressions and webhooks are shown of one request, by the resources as which rules see it; each is made once.
pub(crate) struct Scenes<'a> {
    request: Request<'a>,
    namespace: Option<Object>,
    made: Vec<(Seen, Arc<Scene>)>,
}

impl<'a> Scenes<'a> {
    /// Of a request.
    ///
    /// # Errors
    /// The namespace cannot be read.
    pub(crate) async fn new(request: Request<'a>, namespaces: &Namespaces) -> Result<Self, Status> {
        let namespace = match request.attributes.namespace {
            "" => None,
            name => namespaces.get(name).await?,
        };
        Ok(Self { request, namespace, made: Vec::new() })
    }

    /// Of a request in no namespace.
    #[cfg(test)]
    pub(crate) fn outside(request: Request<'a>) -> Self {
        Self { request, namespace: None, made: Vec::new() }
    }

    /// The scene as a rule sees it.
    ///
    /// # Errors
    /// An object cannot be converted.
    pub(crate) async fn of(&mut self, seen: &Seen) -> Result<Arc<Scene>, Status> {
        if let Some((_, scene)) = self.made.iter().find(|(known, _)| known == seen) {
            return Ok(scene.clone());
        }
        let attributes = self.request.attributes;
        let namespace = self.namespace.as_ref();
        let scene = match seen {
            Seen::Own => {
                let objects = Objects { new: self.request.object, old: attributes.old };
                Scene::new(self.request, seen, objects, namespace)
            }
            Seen::As(wanted) => {
                let (new, old) = (
                    converted(attributes, self.request.object, wanted).await?,
                    converted(attributes, attributes.old, wanted).await?,
                );
                let objects = Objects { new: new.as_ref(), old: old.as_ref() };
                Scene::new(self.request, seen, objects, namespace)
            }
        };
        let scene = Arc::new(scene);
        self.made.push((seen.clone(), scene.clone()));
        Ok(scene)
    }
}

async fn converted(
    attributes: &Attributes<'_>,
    object: Option<&Object>,
    wanted: &Equivalent,
) -> Result<Option<Object>, Status> {
    match object {
        Some(object) => Ok(Some(attributes.kinds.convert(object, wanted).await?)),
        None => Ok(None),
    }
}

/// The fields of a Namespace that expressions see.
const NAMESPACE_FIELDS: [&str; 3] = ["metadata", "spec", "status"];

impl Scene {
    /// Of a request in `namespace`, with its objects as a rule sees them.
    fn new(request: Request<'_>, seen: &Seen, objects: Objects<'_>, namespace: Option<&Object>) -> Self {
        let attributes = request.attributes;
        let json = |object: Option<&Object>| object.map_or(Json::Null, Object::to_value);
        let user = Arc::new(attributes.user.clone());
        let resource = user::Attributes {
            user: user.clone(),
            group: attributes.resource.group.clone(),
            version: "*".into(),
            resource: attributes.resource.resource.clone(),
            subresource: attributes.subresource.to_owned(),
            namespace: attributes.namespace.to_owned(),
            name: attributes.name.to_owned(),
            resource_request: true,
            ..user::Attributes::default()
        };
        let namespace = namespace.map_or(Json::Null, |namespace| {
            let kept = namespace.fields().iter().filter(|(name, _)| NAMESPACE_FIELDS.contains(&name.as_str()));
            Json::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
        });
        Self {
            object: json(objects.new),
            old: json(objects.old),
            request: shown(request, seen),
            namespace,
            user,
            resource,
        }
    }

    /// The request of an AdmissionReview, with its objects.
    pub(crate) fn review_request(&self, uid: &str) -> Json {
        let mut request = self.request.as_object().cloned().unwrap_or_default();
        request.insert("uid".into(), uid.into());
        request.insert("object".into(), self.object.clone());
        request.insert("oldObject".into(), self.old.clone());
        request.entry("options").or_insert(Json::Null);
        Json::Object(request)
    }

    /// The variables, with these parameters.
    pub(crate) fn inputs<'a>(&'a self, params: &'a Json, decisions: &'a Decisions) -> Inputs<'a> {
        self.inputs_in(&self.namespace, params, decisions)
    }

    /// As [`Self::inputs`], for match conditions, which are shown no namespace.
    pub(crate) fn condition_inputs<'a>(&'a self, params: &'a Json, decisions: &'a Decisions) -> Inputs<'a> {
        self.inputs_in(&Json::Null, params, decisions)
    }

    fn inputs_in<'a>(&'a self, namespace: &'a Json, params: &'a Json, decisions: &'a Decisions) -> Inputs<'a> {
        let authorization = |state| Value::Library(Library::Authorization(Arc::new(state)));
        Inputs::new([
            ("object", Value::of_json(&self.object)),
            ("oldObject", Value::of_json(&self.old)),
            ("request", Value::of_json(&self.request)),
            ("namespaceObject", Value::of_json(namespace)),
            ("params", Value::of_json(params)),
            ("authorizer", authorization(Authorization::Authorizer(&self.user))),
            ("authorizer.requestResource", authorization(Authorization::Resource(self.resource.clone()))),
        ])
        .with_decisions(decisions)
    }
}

/// Evaluates, and asks the authorizer what expressions ask, until nothing is open. `of` names whose they are.
///
/// # Errors
/// 500: they ask too much.
pub(crate) async fn decided<T>(
    authorizer: &dyn Authorizer,
    of: &str,
    evaluate: impl Fn(&Decisions) -> Result<T, Box<Question>> + Send,
) -> Result<T, Status> {
    let mut decisions = Decisions::default();
    for _ in 0..POLICY_QUESTIONS_MAX {
        let question = match evaluate(&decisions) {
            Ok(found) => return Ok(found),
            Err(question) => *question,
        };
        let decision = authorizer.authorize(&question.0).await;
        decisions.add(question, decision);
    }
    Err(Status::internal(&format!("{of} asks the authorizer more than {POLICY_QUESTIONS_MAX} questions")))
}

/// `request` as expressions see it: `admission.k8s.io/v1` AdmissionRequest without objects; what is empty is left out.
fn shown(request: Request<'_>, seen: &Seen) -> Json {
    let attributes = request.attributes;
    let kind = |gvk: &GroupVersionKind| json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind});
    let resource =
        |gvr: &GroupVersionResource| json!({"group": gvr.group, "version": gvr.version, "resource": gvr.resource});
    let own = request.object.or(attributes.old).and_then(Object::gvk);
    let own = (own.as_ref().map_or(Json::Null, kind), resource(attributes.resource));
    let matched = match seen {
        Seen::Own => own.clone(),
        Seen::As(equivalent) => (kind(&equivalent.kind), resource(&equivalent.resource)),
    };
    let user = attributes.user;
    let mut info = Map::new();
    for (name, value) in [
        ("username", json!(user.name)),
        ("uid", json!(user.uid)),
        ("groups", json!(user.groups)),
        ("extra", json!(user.extra)),
    ] {
        put(&mut info, name, value);
    }
    let mut all = Map::new();
    for (name, value) in [
        ("kind", matched.0),
        ("resource", matched.1),
        ("subResource", json!(attributes.subresource)),
        ("requestKind", own.0),
        ("requestResource", own.1),
        ("requestSubResource", json!(attributes.subresource)),
        ("name", json!(attributes.name)),
        ("namespace", json!(request.namespace())),
        ("operation", json!(attributes.operation.to_string())),
        ("options", attributes.shown_options()),
    ] {
        put(&mut all, name, value);
    }
    all.insert("userInfo".into(), Json::Object(info));
    all.insert("dryRun".into(), attributes.dry_run.into());
    Json::Object(all)
}

fn put(map: &mut Map<String, Json>, name: &str, value: Json) {
    let empty = match &value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(all) => all.is_empty(),
        Json::Object(all) => all.is_empty(),
        _ => false,
    };
    if !empty {
        map.insert(name.to_owned(), value);
    }
}

/// An expression of a policy or a webhook.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) text: String,
    /// The program, or why there is none.
    pub(crate) program: Result<Program, String>,
}

/// Why an expression has no value.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// It failed.
    Failed(String),
    /// The budget of all expressions together is spent.
    Budget,
    /// The authorizer is to be asked first.
    Asks(Box<Question>),
}

/// The words for a spent budget.
pub(crate) const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

impl Expression {
    /// Its value; what it costs is taken off the budget.
    pub(crate) fn run<'a>(&'a self, inputs: &'a Inputs<'a>, budget: &mut u64) -> Result<Value<'a>, Unknown> {
        let program = match &self.program {
            Ok(program) => program,
            Err(why) => return Err(Unknown::Failed(format!("compilation error: {why}"))),
        };
        let (value, cost) = program.run(inputs, u64::MAX);
        let cost = cost.saturating_add(inputs.take_lazy_cost());
        *budget = budget.checked_sub(cost).ok_or(Unknown::Budget)?;
        value.map_err(|error| match error {
            EvalError::NeedsDecision(question) => Unknown::Asks(question),
            error => Unknown::Failed(format!("expression '{}' resulted in error: {error}", self.text)),
        })
    }
}

/// Conditions that must hold for a webhook or a policy to act.
#[derive(Debug, Default)]
pub(crate) struct Conditions(pub(crate) Vec<Expression>);

impl Conditions {
    /// Whether all hold. One that does not decides, whatever others fail.
    ///
    /// # Errors
    /// The first failure is told where none is false.
    pub(crate) fn hold<'a>(&'a self, inputs: &'a Inputs<'a>, mut budget: u64) -> Result<bool, Unknown> {
        let mut failed = Vec::new();
        for condition in &self.0 {
            match condition.run(inputs, &mut budget) {
                Ok(Value::Bool(false)) => return Ok(false),
                Ok(_) => {}
                Err(Unknown::Failed(why)) => failed.push(why),
                Err(other) => return Err(other),
            }
        }
        match failed.len() {
            0 => Ok(true),
            1 => Err(Unknown::Failed(failed.remove(0))),
            _ => Err(Unknown::Failed(format!("[{}]", failed.join(", ")))),
        }
    }
}
