//! Binds facts to types, and finds which types lead to one that has any.

use super::read::{Follows, Loaded};
use crate::plan::{Entry, FieldFacts, Plan, Set, Subject};
use crate::schema::Schema;
use crate::table::TypeId;

/// Puts the facts that were loaded into the plans of the types that a schema adds.
pub(crate) fn compile(schema: &Schema, loaded: Loaded, plans: &mut [Plan]) -> Result<(), String> {
    let first = schema.added().next().map_or(0, |(first, _)| first.0 as usize);
    let mut named = Vec::new();
    for (id, set, inner) in loaded.sets {
        let plan = (id.0 as usize).checked_sub(first).and_then(|at| plans.get_mut(at));
        let plan = plan.ok_or("facts of a type of another schema")?;
        named.push((id, plan.facts.len(), inner));
        plan.facts.push(set);
    }
    for (id, field, gate) in loaded.gated {
        plans[id.0 as usize - first].gated.push((field, gate));
    }
    lead(schema, first, plans);
    resolve(schema, first, named, plans)?;
    let gated = |id: TypeId| match (id.0 as usize).checked_sub(first) {
        Some(at) => !plans[at].gated.is_empty(),
        None => !schema.plan(id).gated.is_empty() || !schema.plan(id).gated_within.is_empty(),
    };
    for (plan, within) in schema.leading_to(gated).into_iter().enumerate() {
        plans[plan].gated_within = within;
    }
    Ok(())
}

fn unnamed(plan: &Plan) -> Option<usize> {
    plan.facts.iter().position(|set| set.name.is_empty())
}

/// Gives each type that leads to facts a way there: fields of which its own facts say nothing of that kind come last, in the
/// order of their names.
fn lead(schema: &Schema, first: usize, plans: &mut [Plan]) {
    let has = |id: TypeId| match (id.0 as usize).checked_sub(first) {
        Some(at) => unnamed(&plans[at]).is_some(),
        None => unnamed(schema.plan(id)).is_some(),
    };
    let leading = schema.leading_to(has);
    for (plan, fields) in plans.iter_mut().zip(&leading) {
        if !fields.is_empty() && unnamed(plan).is_none() {
            plan.facts.push(Set::default());
        }
    }
    for (at, fields) in leading.into_iter().enumerate() {
        let Some(own) = unnamed(&plans[at]) else { continue };
        for (field, inner) in fields {
            let set = match (inner.0 as usize).checked_sub(first) {
                Some(at) => unnamed(&plans[at]),
                None => unnamed(schema.plan(inner)),
            };
            let Some(set) = set else { continue };
            let entries = &mut plans[at].facts[own].entries;
            let mentioned = entries.iter_mut().find_map(|entry| match &mut entry.subject {
                Subject::Field(facts) if facts.at == field && facts.leads => Some(facts),
                _ => None,
            });
            match mentioned {
                Some(facts) => facts.inner = Some((inner, set)),
                None => entries.push(Entry {
                    conditions: Vec::new(),
                    exceptions: Vec::new(),
                    only: None,
                    subject: Subject::Field(FieldFacts {
                        at: field,
                        inner: Some((inner, set)),
                        ..FieldFacts::default()
                    }),
                }),
            }
        }
    }
}

/// Finds the sets that entries name.
fn resolve(
    schema: &Schema,
    first: usize,
    named: Vec<(TypeId, usize, Vec<Follows>)>,
    plans: &mut [Plan],
) -> Result<(), String> {
    for (id, set, names) in named {
        for Follows { entry, ty: inner, name } in names {
            let found = plans[inner.0 as usize - first].facts.iter().position(|set| set.name == name);
            let found = found.ok_or_else(|| format!("{} has no facts called {name}", schema.get(inner).name))?;
            if let Subject::Field(facts) = &mut plans[id.0 as usize - first].facts[set].entries[entry].subject {
                facts.inner = Some((inner, found));
            }
        }
    }
    Ok(())
}
