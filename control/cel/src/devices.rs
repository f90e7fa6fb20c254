//! The expressions by which devices are selected (dynamic-resource-allocation's cel).

use crate::decl::Decl;
use crate::environment::Environment;
use crate::program::Program;
use crate::types::Type;
use std::sync::{Arc, LazyLock};

/// Cost units of an expression.
const COST_MAX: u64 = 1_000_000;
/// Characters of a driver's name, and of a domain.
const DOMAIN_CHARS_MAX: u64 = 63;
/// Characters of an attribute.
const VALUE_CHARS_MAX: u64 = 64;
/// Attributes and capacities of a device.
const VALUES_MAX: u64 = 32;

/// Why an expression cannot select devices, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It does not compile, or has a value that is no answer.
    Invalid(String),
    /// It costs too much.
    TooComplex,
}

/// Whether devices may be given to several at once (DRAConsumableCapacity), and expressions ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    Declared,
    None,
}

fn declare(sharing: Sharing) -> Arc<Decl> {
    let by_domain = |value: Arc<Decl>| Decl::map(Decl::map(value).at_most(VALUES_MAX)).at_most(VALUES_MAX);
    let shared = (sharing == Sharing::Declared).then(|| ("allowMultipleAllocations", Decl::boolean().at_most(1)));
    let fields = [
        ("driver", Decl::text().at_most(DOMAIN_CHARS_MAX)),
        ("attributes", by_domain(Decl::any(VALUE_CHARS_MAX))),
        ("capacity", by_domain(Decl::quantity())),
    ];
    Decl::object("kubernetes.DRADevice", fields.into_iter().chain(shared))
}

/// Checks an expression.
///
/// # Errors
/// Why it cannot be used.
pub fn check(expression: &str, sharing: Sharing) -> Result<(), Problem> {
    static SHARED: LazyLock<Arc<Decl>> = LazyLock::new(|| declare(Sharing::Declared));
    static WHOLE: LazyLock<Arc<Decl>> = LazyLock::new(|| declare(Sharing::None));
    let device = match sharing {
        Sharing::Declared => &SHARED,
        Sharing::None => &WHOLE,
    };
    let environment = Environment::from([("device".into(), device.ty())]).with_bindings();
    let program = Program::compile(expression, &environment)
        .map_err(|issues| Problem::Invalid(format!("{} failed: {issues}", issues.stage())))?;
    if !matches!(program.ty(), Type::Bool | Type::Dyn | Type::Any) {
        let found = program.ty().kubernetes_name();
        return Err(Problem::Invalid(format!("must evaluate to bool or the unknown type, not {found}")));
    }
    match program.estimate(Some(&SHARED)).max > COST_MAX {
        true => Err(Problem::TooComplex),
        false => Ok(()),
    }
}
