//! What expressions of admission run over, and running them within a budget.

use crate::matching::Request;
use sampan_api::user::UserInfo;
use sampan_api::{Object, user};
use sampan_cel::{Authorization, Decisions, EvalError, Inputs, Library, Program, Question, Value};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// The variables of one request, as JSON.
pub(crate) struct Scene {
    object: Json,
    old: Json,
    request: Json,
    /// Null where the request is in no namespace.
    pub(crate) namespace: Json,
    user: Arc<UserInfo>,
    /// The request's own resource as authorization asks of it.
    resource: user::Attributes,
}

/// The fields of a Namespace that expressions see.
const NAMESPACE_FIELDS: [&str; 3] = ["metadata", "spec", "status"];

impl Scene {
    /// Of a request in `namespace`.
    pub(crate) fn new(request: Request<'_>, namespace: Option<&Object>) -> Self {
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
            object: json(request.object),
            old: json(attributes.old),
            request: shown(request),
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
        let authorization = |state| Value::Library(Library::Authorization(Arc::new(state)));
        Inputs::new([
            ("object", Value::of_json(&self.object)),
            ("oldObject", Value::of_json(&self.old)),
            ("request", Value::of_json(&self.request)),
            ("namespaceObject", Value::of_json(&self.namespace)),
            ("params", Value::of_json(params)),
            ("authorizer", authorization(Authorization::Authorizer(&self.user))),
            ("authorizer.requestResource", authorization(Authorization::Resource(self.resource.clone()))),
        ])
        .with_decisions(decisions)
    }
}

/// `request` as expressions see it: `admission.k8s.io/v1` AdmissionRequest without objects; what is empty is left out.
fn shown(request: Request<'_>) -> Json {
    let attributes = request.attributes;
    let gvk = request.object.or(attributes.old).and_then(Object::gvk);
    let kind = gvk.map_or(Json::Null, |gvk| json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind}));
    let resource = attributes.resource;
    let resource = json!({"group": resource.group, "version": resource.version, "resource": resource.resource});
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
        ("kind", kind.clone()),
        ("resource", resource.clone()),
        ("subResource", json!(attributes.subresource)),
        ("requestKind", kind),
        ("requestResource", resource),
        ("requestSubResource", json!(attributes.subresource)),
        ("name", json!(attributes.name)),
        ("namespace", json!(request.namespace())),
        ("operation", json!(attributes.operation.to_string())),
        ("options", attributes.options.clone()),
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
