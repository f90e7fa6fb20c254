//! A strategy as a table of functions: a kind states what it has and leaves the rest as it is for all.

use super::validation::disabled;
use super::validation::warnings;
use super::validation::workload::Workload;
use crate::allocate::Allocator;
use crate::options::{DeleteOptions, Propagation};
use crate::strategy::{Context, Generation, MetadataOfUpdate, Strategy, Warned};
use sampan_api::field::FieldErrors;
use sampan_api::names;
use sampan_api::object::Object;
use sampan_schema::gates::Gates;

type NameRule = fn(&str) -> Vec<String>;
type Prepare = fn(&Context<'_>, &mut Object);
type PrepareUpdate = fn(&Context<'_>, &mut Object, &Object);
type Check = fn(&Context<'_>, &Object) -> FieldErrors;
type CheckUpdate = fn(&Context<'_>, &Object, &Object) -> FieldErrors;
type Warn = fn(&Context<'_>, &Object, Option<&Object>) -> Vec<String>;
type Grace = fn(&Context<'_>, &Object, &DeleteOptions) -> Option<i64>;

/// The rules of one kind on the way to the store. Each field is the method of [`Strategy`] of that name.
pub(super) struct Rules {
    pub create_on_update: bool,
    pub unconditional_update: bool,
    pub generation: Generation,
    /// Whether a creator's status is kept.
    pub keeps_created_status: bool,
    pub status_starts_empty: bool,
    /// As [`Strategy::finalizers_without_domain`].
    pub finalizers_without_domain: bool,
    /// As [`Strategy::bare_metadata`].
    pub bare_metadata: bool,
    /// As [`Strategy::metadata_of_update`]; `None`: both where an update is valid if the new object would be valid as a creation,
    /// else what is asked of a change.
    pub metadata_of_update: Option<MetadataOfUpdate>,
    pub name: NameRule,
    /// As [`Strategy::prefix_unchecked`].
    pub prefix_unchecked: bool,
    /// As [`Strategy::named_by_prefix`].
    pub named_by_prefix: bool,
    /// As [`Strategy::names_nameless`].
    pub names_nameless: bool,
    /// The rule of names while a feature is on, and the feature.
    pub name_where: Option<(&'static str, NameRule)>,
    /// As [`Strategy::asks_for_namespace`].
    pub asks_for_namespace: Option<fn(&Object) -> bool>,
    pub prepare_for_create: Option<Prepare>,
    pub prepare_for_update: Option<PrepareUpdate>,
    pub validate: Option<Check>,
    /// What is asked of a creation alone: told before `validate`.
    pub validate_create: Option<Check>,
    /// The checks of a kind whose spec makes pods, in place of `validate` and `validate_update`.
    pub workload: Option<&'static Workload>,
    /// `None`: an update is valid if the new object would be valid as a creation.
    pub validate_update: Option<CheckUpdate>,
    /// What is asked of a change beyond what is asked of a creation, where `validate_update` is `None`: told after it.
    pub validate_change: Option<CheckUpdate>,
    /// What is asked of a write to the status, in place of `validate_update`.
    pub validate_status: Option<CheckUpdate>,
    pub canonicalize: Option<fn(&mut Object)>,
    /// What is told of creations, and of changes over the object before, by what it is of.
    pub warnings: &'static [(Warned, Warn)],
    /// The way to the pod's template in the object, or to the pod itself: what its fields are warned of is told of a
    /// creation, and of a change of the template.
    pub pods: Option<&'static [&'static str]>,
    /// As [`Strategy::tells_of_changes`].
    pub tells_of_changes: bool,
    /// Fields of features, by their ways in the object: each goes where its feature is off and the object had none before.
    pub gated: &'static [(&'static str, &'static [&'static str])],
    pub graceful_deletion: Option<Grace>,
    /// As [`Strategy::refuses_deletion`].
    pub refuses_deletion: Option<fn(&str) -> Option<&'static str>>,
    /// As [`Strategy::default_propagation`].
    pub propagation: Option<Propagation>,
    /// As [`Strategy::warning_on_delete`].
    pub warning_on_delete: Option<&'static str>,
    pub returns_deleted_object: bool,
    pub finalizing: Option<fn(&Object) -> bool>,
    pub prepare_for_deletion: Option<Prepare>,
    pub allocator: Option<&'static dyn Allocator>,
}

/// The `validate_update` of kinds of whose changes nothing is asked but the facts of their fields.
pub(super) fn facts_alone(_: &Context<'_>, _: &Object, _: &Object) -> FieldErrors {
    FieldErrors::default()
}

impl Rules {
    pub(super) const NONE: Self = Self {
        create_on_update: false,
        unconditional_update: true,
        generation: Generation::Uncounted,
        keeps_created_status: false,
        status_starts_empty: true,
        finalizers_without_domain: false,
        bare_metadata: false,
        metadata_of_update: None,
        name: names::dns1123_subdomain,
        prefix_unchecked: false,
        named_by_prefix: false,
        names_nameless: false,
        name_where: None,
        asks_for_namespace: None,
        prepare_for_create: None,
        prepare_for_update: None,
        validate: None,
        validate_create: None,
        workload: None,
        validate_update: None,
        validate_change: None,
        validate_status: None,
        canonicalize: None,
        warnings: &[],
        pods: None,
        tells_of_changes: true,
        gated: &[],
        graceful_deletion: None,
        refuses_deletion: None,
        propagation: Some(Propagation::Background),
        warning_on_delete: None,
        returns_deleted_object: false,
        finalizing: None,
        prepare_for_deletion: None,
        allocator: None,
    };

    fn drop_gated(&self, ctx: &Context<'_>, object: &mut Object, old: Option<&Object>) {
        for (_, way) in self.gated.iter().filter(|(gate, _)| !ctx.gates.enabled(gate)) {
            let used = old.and_then(|old| old.get(way)).is_some_and(|value| !value.is_null());
            if !used {
                object.remove(way);
            }
        }
    }

    /// What is asked of a creation, and of a change where `validate_update` is `None`.
    fn validate_whole(&self, ctx: &Context<'_>, object: &Object) -> FieldErrors {
        match (self.workload, self.validate) {
            (Some(workload), _) => workload.validate(ctx, object),
            (None, Some(check)) => check(ctx, object),
            (None, None) => FieldErrors::default(),
        }
    }
}

impl Strategy for Rules {
    fn allow_create_on_update(&self) -> bool {
        self.create_on_update
    }
    fn allow_unconditional_update(&self) -> bool {
        self.unconditional_update
    }
    fn generation(&self) -> Generation {
        self.generation
    }
    fn keeps_created_status(&self) -> bool {
        self.keeps_created_status
    }
    fn status_starts_empty(&self) -> bool {
        self.status_starts_empty
    }
    fn asks_for_namespace(&self, object: &Object) -> bool {
        self.asks_for_namespace.is_some_and(|asks| asks(object))
    }
    fn prepare_for_create(&self, ctx: &Context<'_>, object: &mut Object) {
        if let Some(prepare) = self.prepare_for_create {
            prepare(ctx, object);
        }
        self.drop_gated(ctx, object, None);
        if let Some(way) = self.pods {
            disabled::drop_from(ctx.gates, object, None, way);
        }
    }
    fn prepare_for_update(&self, ctx: &Context<'_>, object: &mut Object, old: &Object) {
        if let Some(prepare) = self.prepare_for_update {
            prepare(ctx, object, old);
        }
        self.drop_gated(ctx, object, Some(old));
        if let Some(way) = self.pods {
            disabled::drop_from(ctx.gates, object, Some(old), way);
        }
    }
    fn validate(&self, ctx: &Context<'_>, object: &Object) -> FieldErrors {
        let mut errors = self.validate_create.map_or_else(FieldErrors::default, |check| check(ctx, object));
        errors.extend(self.validate_whole(ctx, object));
        errors
    }
    fn validate_update(&self, ctx: &Context<'_>, object: &Object, old: &Object) -> FieldErrors {
        if let Some(workload) = self.workload {
            return workload.validate_update(ctx, object, old);
        }
        if let Some(check) = self.validate_status.filter(|_| ctx.subresource == "status") {
            return check(ctx, object, old);
        }
        match self.validate_update {
            Some(check) => check(ctx, object, old),
            None if ctx.subresource.is_empty() => {
                let mut errors = self.validate_whole(ctx, object);
                errors.extend(self.validate_change.into_iter().flat_map(|check| check(ctx, object, old)));
                errors
            }
            None => FieldErrors::default(),
        }
    }
    fn metadata_of_update(&self) -> MetadataOfUpdate {
        match self.metadata_of_update {
            Some(asked) => asked,
            None if self.bare_metadata => MetadataOfUpdate::Nothing,
            None if self.workload.is_none() && self.validate_update.is_none() => MetadataOfUpdate::Both,
            None => MetadataOfUpdate::Change,
        }
    }
    fn finalizers_without_domain(&self) -> bool {
        self.finalizers_without_domain
    }
    fn bare_metadata(&self) -> bool {
        self.bare_metadata
    }
    fn validate_name(&self, name: &str, gates: &Gates) -> Vec<String> {
        match self.name_where.filter(|(gate, _)| gates.enabled(gate)) {
            Some((_, rule)) => rule(name),
            None => (self.name)(name),
        }
    }
    fn prefix_unchecked(&self) -> bool {
        self.prefix_unchecked
    }
    fn named_by_prefix(&self) -> bool {
        self.named_by_prefix
    }
    fn names_nameless(&self) -> bool {
        self.names_nameless
    }
    fn canonicalize(&self, object: &mut Object) {
        if let Some(canonicalize) = self.canonicalize {
            canonicalize(object);
        }
    }
    fn tells_of_changes(&self) -> bool {
        self.tells_of_changes
    }
    fn warnings(&self, of: Warned, ctx: &Context<'_>, object: &Object, old: Option<&Object>) -> Vec<String> {
        let own = self.warnings.iter().filter(|(what, _)| *what == of);
        let mut all: Vec<String> = own.flat_map(|(_, warn)| warn(ctx, object, old)).collect();
        let told = old.is_none_or(|old| object.generation() != old.generation() && self.tells_of_changes());
        let pods = self.pods.filter(|_| of == Warned::Object && told);
        all.extend(pods.into_iter().flat_map(|way| warnings::pod(ctx.gates, object, way)));
        all
    }
    fn refuses_deletion(&self, name: &str) -> Option<&'static str> {
        self.refuses_deletion.and_then(|refuses| refuses(name))
    }
    fn warning_on_delete(&self) -> Option<&'static str> {
        self.warning_on_delete
    }
    fn graceful_deletion(&self, ctx: &Context<'_>, object: &Object, options: &DeleteOptions) -> Option<i64> {
        self.graceful_deletion.and_then(|grace| grace(ctx, object, options))
    }
    fn default_propagation(&self) -> Option<Propagation> {
        self.propagation
    }
    fn returns_deleted_object(&self) -> bool {
        self.returns_deleted_object
    }
    fn finalizing(&self, object: &Object) -> bool {
        self.finalizing.is_some_and(|finalizing| finalizing(object))
    }
    fn finalizes(&self) -> bool {
        self.finalizing.is_some()
    }
    fn prepare_for_deletion(&self, ctx: &Context<'_>, object: &mut Object) {
        if let Some(prepare) = self.prepare_for_deletion {
            prepare(ctx, object);
        }
    }
    fn allocator(&self) -> Option<&dyn Allocator> {
        self.allocator
    }
}
