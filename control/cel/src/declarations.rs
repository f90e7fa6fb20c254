//! The functions of the environment, as Kubernetes v1.35 declares them (`data/overloads.tsv`: function, overload, style,
//! arguments, result).

use crate::types::Type;
use std::collections::HashMap;
use std::sync::LazyLock;

/// One signature of a function.
#[derive(Debug)]
pub(crate) struct Overload {
    /// Its name in cel-go: `add_int64`.
    pub(crate) id: &'static str,
    /// Called on its first argument: `x.f(y)`.
    pub(crate) member: bool,
    /// The types of the arguments, the target's first.
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
    /// Whether any of the types is to be found.
    pub(crate) generic: bool,
}

/// All signatures of a function, in the order in which they are tried.
pub(crate) fn overloads(function: &str) -> Option<&'static [Overload]> {
    FUNCTIONS.get(function).map(Vec::as_slice)
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: HashMap<&'static str, Vec<Overload>> = HashMap::new();
    for line in include_str!("../data/overloads.tsv").lines() {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap_or_default();
        let (function, id, style, args, result) = (column(), column(), column(), column(), column());
        let args: Vec<Type> = args.split("; ").filter(|one| !one.is_empty()).map(Type::parse).collect();
        let result = Type::parse(result);
        let generic = args.iter().chain([&result]).any(has_param);
        functions.entry(function).or_default().push(Overload { id, member: style == "member", args, result, generic });
    }
    functions
});

fn has_param(ty: &Type) -> bool {
    match ty {
        Type::Param(_) => true,
        Type::List(inner) | Type::Optional(inner) | Type::Type(inner) => has_param(inner),
        Type::Map(key, value) => has_param(key) || has_param(value),
        _ => false,
    }
}

/// The names of types, which are values too.
pub(crate) fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "bool" | "bytes" | "double" | "int" | "string" | "uint" => Type::parse(name),
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "null_type" => Type::Null,
        "list" => Type::list(Type::Dyn),
        "map" => Type::Map(Type::Dyn.into(), Type::Dyn.into()),
        "type" => Type::Type(Type::Dyn.into()),
        "optional_type" => Type::optional(Type::Dyn),
        "net.IP" | "net.CIDR" => Type::Library(name.into()),
        _ => return None,
    })
}
