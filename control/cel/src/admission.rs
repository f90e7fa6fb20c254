//! The variables of expressions in admission: policies, match conditions, messages.

use crate::decl::Decl;
use crate::environment::Environment;
use crate::program::Program;
use crate::types::Type;
use std::sync::{Arc, LazyLock};

/// Whether expressions may use `params`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Params {
    Declared,
    None,
}

/// Whether expressions may use `authorizer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorizer {
    Declared,
    None,
}

/// The declaration of `request`.
pub fn request() -> Arc<Decl> {
    static DECLARED: LazyLock<Arc<Decl>> = LazyLock::new(declare_request);
    DECLARED.clone()
}

fn declare_request() -> Arc<Decl> {
    let text = Decl::text;
    let named =
        |name: &str, last: &'static str| Decl::object(name, [("group", text()), ("version", text()), (last, text())]);
    let kind = named("kubernetes.GroupVersionKind", "kind");
    let resource = named("kubernetes.GroupVersionResource", "resource");
    let user = Decl::object(
        "kubernetes.UserInfo",
        [
            ("username", text()),
            ("uid", text()),
            ("groups", Decl::list(text())),
            ("extra", Decl::map(Decl::list(text()))),
        ],
    );
    Decl::object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", text()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", Decl::boolean()),
            ("options", Decl::dynamic()),
        ],
    )
}

/// The declaration of `namespaceObject`: the fields of a Namespace that Kubernetes lets expressions see.
pub fn namespace() -> Arc<Decl> {
    static DECLARED: LazyLock<Arc<Decl>> = LazyLock::new(declare_namespace);
    DECLARED.clone()
}

fn declare_namespace() -> Arc<Decl> {
    let (text, texts) = (Decl::text, || Decl::list(Decl::text()));
    let condition = Decl::object(
        "kubernetes.NamespaceCondition",
        [
            ("status", text()),
            ("type", text()),
            ("lastTransitionTime", Decl::time()),
            ("message", text()),
            ("reason", text()),
        ],
    );
    let metadata = Decl::object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", Decl::map(text())),
            ("annotations", Decl::map(text())),
            ("UID", text()),
            ("creationTimestamp", Decl::time()),
            ("deletionGracePeriodSeconds", Decl::integer()),
            ("deletionTimestamp", Decl::time()),
            ("generation", Decl::integer()),
            ("resourceVersion", text()),
            ("finalizers", texts()),
        ],
    );
    let spec = Decl::object("kubernetes.NamespaceSpec", [("finalizers", texts())]);
    let status = Decl::object("kubernetes.NamespaceStatus", [("conditions", Decl::list(condition)), ("phase", text())]);
    Decl::object("kubernetes.Namespace", [("metadata", metadata), ("spec", spec), ("status", status)])
}

/// The variables of an expression in admission.
pub fn environment(params: Params, authorizer: Authorizer) -> Environment {
    let mut environment = Environment::from([
        ("object".into(), Type::Dyn),
        ("oldObject".into(), Type::Dyn),
        ("request".into(), request().ty()),
        ("namespaceObject".into(), namespace().ty()),
    ]);
    if params == Params::Declared {
        environment.insert("params".into(), Type::Dyn);
    }
    if authorizer == Authorizer::Declared {
        environment.insert("authorizer".into(), library("Authorizer"));
        environment.insert("authorizer.requestResource".into(), library("ResourceCheck"));
    }
    environment
}

/// Declares `variables`, of which there are none yet.
pub fn declare_variables(environment: &mut Environment) {
    environment.insert("variables".into(), Decl::object("kubernetes.variables", []).ty());
}

/// Declares a variable of a policy that has the value of an expression of this type.
pub fn declare_variable(environment: &mut Environment, name: &str, ty: &Type) {
    environment.insert(variable(name), composed(ty));
}

/// The type that a variable has whose expression is of this one: objects and what libraries have may be anything.
fn composed(ty: &Type) -> Type {
    match ty {
        Type::Null
        | Type::Bool
        | Type::Int
        | Type::Uint
        | Type::Double
        | Type::String
        | Type::Bytes
        | Type::Duration
        | Type::Timestamp => ty.clone(),
        Type::List(element) => Type::list(composed(element)),
        Type::Map(key, value) => Type::Map(Arc::new(composed(key)), Arc::new(composed(value))),
        _ => Type::Dyn,
    }
}

/// The variables of an expression of a policy whose objects are of a type, for its type to be checked and nothing more.
pub fn typed_environment(object: &Type, params: Option<&Type>) -> Environment {
    let mut environment = Environment::from([
        ("object".into(), object.clone()),
        ("oldObject".into(), object.clone()),
        ("request".into(), request().ty()),
        ("namespaceObject".into(), namespace().ty()),
        ("authorizer".into(), library("Authorizer")),
    ]);
    if let Some(params) = params {
        environment.insert("params".into(), params.clone());
    }
    declare_variables(&mut environment);
    environment
}

fn library(name: &str) -> Type {
    Type::Library(format!("kubernetes.authorization.{name}").into())
}

/// The name under which an expression finds a variable of its policy.
pub fn variable(name: &str) -> Arc<str> {
    format!("variables.{name}").into()
}

/// Compiles an expression whose value must be of one of these types.
///
/// # Errors
/// Why it cannot be used, in Kubernetes' words.
pub fn compile(expression: &str, environment: &Environment, wanted: &[Type]) -> Result<Program, String> {
    let program =
        Program::compile(expression, environment).map_err(|issues| format!("{} failed: {issues}", issues.stage()))?;
    if wanted.is_empty() || wanted.contains(program.ty()) {
        return Ok(program);
    }
    let found = program.ty().kubernetes_name();
    Err(match wanted {
        [only] => format!("must evaluate to {} but got {found}", only.kubernetes_name()),
        several => {
            let several: Vec<String> = several.iter().map(Type::kubernetes_name).collect();
            format!("must evaluate to one of [{}] but got {found}", several.join(" "))
        }
    })
}
