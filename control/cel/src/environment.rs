//! What an expression may name: variables, functions, and types of which it may make objects.

use crate::declarations::{self, Overload};
use crate::patch;
use crate::syntax::Macros;
use crate::types::Type;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The variables of expressions with their types, and whether they may make patches.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<Arc<str>, Type>,
    patches: Patches,
    macros: Macros,
}

/// Whether expressions may use the types and functions of [`patch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Patches {
    #[default]
    None,
    Declared,
}

impl<const N: usize> From<[(Arc<str>, Type); N]> for Environment {
    fn from(variables: [(Arc<str>, Type); N]) -> Self {
        Self { variables: variables.into(), patches: Patches::None, macros: Macros::Base }
    }
}

impl Environment {
    /// Declares a variable; one of that name before is another from now on.
    pub fn insert(&mut self, name: Arc<str>, ty: Type) {
        self.variables.insert(name, ty);
    }

    /// Declares the types and functions of [`patch`].
    #[must_use]
    pub fn with_patches(self) -> Self {
        Self { patches: Patches::Declared, ..self }
    }

    /// Lets expressions give values names: `cel.bind`.
    #[must_use]
    pub(crate) fn with_bindings(self) -> Self {
        Self { macros: Macros::Bindings, ..self }
    }

    pub(crate) fn macros(&self) -> Macros {
        self.macros
    }

    pub(crate) fn variable(&self, name: &str) -> Option<(&Arc<str>, &Type)> {
        self.variables.get_key_value(name)
    }

    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        let made = if self.patches == Patches::Declared { patch::type_named(name) } else { None };
        made.or_else(|| declarations::type_named(name))
    }

    /// All signatures of a function, in the order in which they are tried.
    pub(crate) fn overloads(&self, function: &str) -> Option<&'static [Overload]> {
        match self.patches {
            Patches::None if function.starts_with(patch::LIBRARY) => None,
            _ => declarations::overloads(function),
        }
    }
}
