//! MutatingAdmissionPolicies: changes of objects on their way in, as expressions.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{one_of, required_one_of};
use super::super::validation::{At, FieldErrors};
use super::expressions::Expressions;
use super::matching;
use super::validating_admission_policy::{CELLS, param_kind};
use crate::resource::Resource;
use crate::strategy::{Generation, MetadataOfUpdate};
use sampan_cel::Type;
use sampan_cel::admission::Params;

pub(super) fn row() -> Resource {
    Resource::new("admissionregistration.k8s.io", "v1beta1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy")
        .cluster_scoped()
        .categories(["api-extensions"])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    finalizers_without_domain: true,
    validate: Some(|_, policy| {
        let mut errors = FieldErrors::default();
        spec(At::object(policy).get("spec"), &mut errors);
        errors
    }),
    unconditional_update: false,
    generation: Generation::Spec,
    ..Rules::NONE
};

/// Reasons and words of `validateMutatingAdmissionPolicySpec`.
fn spec(spec: At<'_>, errors: &mut FieldErrors) {
    one_of(spec.get("failurePolicy"), errors, &["Fail", "Ignore"]);
    let kind = spec.get("paramKind");
    let params = if kind.is_set() { Params::Declared } else { Params::None };
    if kind.is_set() {
        param_kind(kind, errors);
    }
    let constraints = spec.get("matchConstraints");
    if constraints.is_set() {
        matching::resources(constraints, errors);
        let rules = constraints.get("resourceRules");
        if rules.is_empty() {
            rules.required(errors, "");
        }
        matching::mutable(rules, errors);
    } else {
        constraints.required(errors, "");
    }
    matching::conditions(spec.get("matchConditions"), params, errors);
    let mut expressions = Expressions::new(params);
    expressions.variables(spec.get("variables"), errors);
    let mutations = spec.get("mutations");
    if mutations.is_empty() {
        mutations.required(errors, "mutations must contain at least one item");
    }
    for one in mutations.items() {
        mutation(one, &expressions, errors);
    }
    required_one_of(spec.get("reinvocationPolicy"), errors, &["IfNeeded", "Never"]);
}

/// A sort of mutation.
struct Sort {
    /// The patch type.
    name: &'static str,
    field: &'static str,
    /// What an error shows of the field where the mutation is of another sort.
    shown: &'static str,
    /// The type of the expression's value.
    value: fn() -> Type,
}

const SORTS: [Sort; 2] = [
    Sort {
        name: "ApplyConfiguration",
        field: "applyConfiguration",
        shown: "{applyConfiguration}",
        value: sampan_cel::patch::configuration,
    },
    Sort { name: "JSONPatch", field: "jsonPatch", shown: "{jsonPatch}", value: sampan_cel::patch::operations },
];

fn mutation(mutation: At<'_>, expressions: &Expressions, errors: &mut FieldErrors) {
    let wanted = mutation.get("patchType");
    let Some(sort) = SORTS.iter().find(|sort| sort.name == wanted.text()) else {
        return required_one_of(wanted, errors, &SORTS.map(|sort| sort.name));
    };
    let patch = mutation.get(sort.field);
    if patch.is_set() {
        expressions.mutation(patch.get("expression"), &(sort.value)(), errors);
    } else {
        patch.required(errors, &format!("must be specified when patchType is {}", sort.name));
    }
    for other in SORTS.iter().filter(|other| other.name != sort.name) {
        let patch = mutation.get(other.field);
        if patch.is_set() {
            patch.invalid_as(errors, other.shown, format!("must not be specified when patchType is {}", sort.name));
        }
    }
}
