//! One row of the resource table: everything the generic code must know about what a URL names.

use crate::conversion::Conversion;
use crate::stage::Stage;
use crate::strategy::{Nothing, Strategy};
use sampan_api::meta::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource};
use sampan_api::object::Object;
use sampan_schema::{ObjectType, Schema};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub use crate::cells::{Column, Columns};
pub use crate::retention::HistoryClass;
pub use crate::scale::ScalePaths;
pub use crate::selectable::{Extract, SelectableField};
pub use crate::subresource::{Subresource, SubresourceBody};
pub use crate::verbs::Verbs;

pub use crate::word::Name;

/// A served (group, version, resource). Several rows may share one storage: see [`Resource::stored_as`].
#[derive(Clone)]
pub struct Resource {
    /// `""` for the core group.
    pub group: Name,
    pub version: Name,
    /// The plural, as it stands in URLs.
    pub resource: Name,
    pub kind: Name,
    /// The type of the row's objects; `None` for a kind that no schema describes: nothing of it is pruned, defaulted or
    /// owned field by field. See [`Resource::typed`].
    pub ty: Option<ObjectType>,
    pub singular: Name,
    pub short_names: Vec<Name>,
    pub categories: Vec<Name>,
    pub namespaced: bool,
    pub verbs: Verbs,
    pub body: Body,
    pub subresources: Vec<Subresource>,
    pub strategy: Arc<dyn Strategy>,
    pub history: HistoryClass,
    /// Time for which an object stays after its last write; `None`: until it is deleted.
    pub lifetime: Option<Duration>,
    /// Annotations that Kubernetes keeps as fields and shows as annotations where the whole object is answered, and not in
    /// metadata alone.
    pub fields_as_annotations: &'static [&'static str],
    /// Whether a read may ask for what an object was.
    pub old_values: OldValues,
    /// The objects are the namespaces that namespaced rows' objects are in.
    pub names_namespaces: bool,
    /// The objects define other rows.
    pub defines_resources: bool,
    /// The objects name the servers of group versions.
    pub names_servers: bool,
    /// The row comes of such an object.
    pub defined: bool,
    /// Field selectors served beside `metadata.name` and (where namespaced) `metadata.namespace`, which every row has.
    pub selectable: Vec<SelectableField>,
    /// What is said of another label: the words of the kind's own conversion function in Go.
    pub refused_label: fn(&Self, &str) -> String,
    /// `None`: this row's own version is the stored one. Otherwise where it is stored, and how to get there and back.
    pub stored_as: Option<StoredAs>,
    /// The version whose hash discovery tells as that of the storage, where Kubernetes stores another than the row's.
    pub storage_version: Option<Name>,
    /// Who converts the objects between the versions, where it is not this process: then `stored_as` converts nothing.
    pub converted_by: Option<Arc<Conversion>>,
    pub columns: Option<Columns>,
    /// What every request for the row is warned of.
    pub deprecated: Option<Name>,
    /// Whether requests find it: objects may be stored in a version that is not served.
    pub served: bool,
    /// Whether it is served where the configuration says nothing of it: see [`crate::runtime`].
    pub by_default: bool,
    /// The feature that it is of: where that is off, it is not served.
    pub gate: Option<Name>,
    /// Its definition is being deleted: nothing of it is created any more.
    pub closing: bool,
    /// What the kind of its lists is called.
    pub list_kind: Name,
    /// Where `scale` finds what it shows.
    pub scale: ScalePaths,
    /// Brings an object that was stored into the form that the row's type has now. `None`: what was stored has it.
    pub settle: Option<Convert>,
    /// The views whose [`Resource::reset_paths`] differ from those of most rows.
    pub resets: Vec<(&'static str, Paths)>,
    /// See [`Resource::unowned`].
    pub unowned: Vec<(&'static str, Paths)>,
    /// Where Kubernetes keeps its objects below `/registry`, which its errors show. `None`: under the resource's name.
    pub kept_at: Option<Name>,
}

/// Paths of fields: `["metadata", "labels"]`.
pub type Paths = &'static [&'static [&'static str]];

/// The way in which a row is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Objects in the store, through the generic registry.
    Stored,
    /// A call by name whose body is not stored (reviews, bindings). The API server binds names at start; one that is
    /// unbound stops the start.
    Action(Name),
}

/// Whether what an object was can be read by its revision. Pages of a list and resumed watches show it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldValues {
    /// To those who may.
    Shown,
    /// To nobody.
    Hidden,
}

/// The storage that a row shares with another version's (or group's) row, and the conversions there and back.
/// They get and leave `apiVersion` and `kind` alone: the registry sets them.
#[derive(Clone)]
pub struct StoredAs {
    pub storage: GroupVersionResource,
    pub to_storage: Convert,
    pub from_storage: Convert,
    /// Whether the version has rules of its own in its own fields: objects are prepared and checked in it, and converted when
    /// they are stored. Otherwise the stored version's rules prepare them, in its fields.
    pub own_rules: bool,
}

/// Rewrites an object in place from one version's shape to the other's.
pub type Convert = Arc<dyn Fn(&mut Object) + Send + Sync>;

impl Resource {
    /// A stored, namespaced resource with all verbs, no subresources, usual history and the strategy that does nothing.
    pub fn new(
        group: impl Into<Name>,
        version: impl Into<Name>,
        resource: impl Into<Name>,
        kind: impl Into<Name>,
    ) -> Self {
        let (version, kind) = (version.into(), kind.into());
        Self {
            group: group.into(),
            by_default: Stage::of(&version) == Stage::Stable,
            gate: None,
            version,
            resource: resource.into(),
            singular: kind.to_ascii_lowercase().into(),
            ty: None,
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            verbs: Verbs::ALL,
            body: Body::Stored,
            subresources: Vec::new(),
            strategy: Arc::new(Nothing),
            history: HistoryClass::Usual,
            lifetime: None,
            fields_as_annotations: &[],
            old_values: OldValues::Shown,
            names_namespaces: false,
            defines_resources: false,
            names_servers: false,
            defined: false,
            selectable: Vec::new(),
            refused_label: |_, label| format!("field label not supported: {label}"),
            stored_as: None,
            storage_version: None,
            converted_by: None,
            columns: None,
            deprecated: None,
            served: true,
            closing: false,
            list_kind: format!("{kind}List").into(),
            scale: ScalePaths::default(),
            settle: None,
            kind,
            resets: Vec::new(),
            unowned: Vec::new(),
            kept_at: None,
        }
    }

    /// Takes the types of the row's kind and of its subresources' kinds out of a schema.
    #[must_use]
    pub fn typed(mut self, schema: &Arc<Schema>) -> Self {
        self.ty = ObjectType::find(schema, &self.group, &self.version, &self.kind);
        for subresource in &mut self.subresources {
            let kind = subresource.kind.as_ref();
            subresource.ty = kind.and_then(|kind| ObjectType::find(schema, &kind.group, &kind.version, &kind.kind));
        }
        self
    }

    /// See [`Resource::fields_as_annotations`].
    #[must_use]
    pub fn shows_in_whole_objects(mut self, annotations: &'static [&'static str]) -> Self {
        self.fields_as_annotations = annotations;
        self
    }

    #[must_use]
    pub fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }
    #[must_use]
    pub fn short_names<const N: usize>(mut self, names: [&'static str; N]) -> Self {
        self.short_names = names.into_iter().map(Name::Borrowed).collect();
        self
    }
    #[must_use]
    pub fn categories<const N: usize>(mut self, names: [&'static str; N]) -> Self {
        self.categories = names.into_iter().map(Name::Borrowed).collect();
        self
    }
    #[must_use]
    pub fn verbs(mut self, verbs: Verbs) -> Self {
        self.verbs = verbs;
        self
    }
    #[must_use]
    pub fn strategy(mut self, strategy: impl Strategy) -> Self {
        self.strategy = Arc::new(strategy);
        self
    }
    #[must_use]
    pub fn history(mut self, class: HistoryClass) -> Self {
        self.history = class;
        self
    }
    /// Objects go by themselves so long after their last write.
    #[must_use]
    pub fn lives_for(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
    /// Old values of the objects are never shown (secrets).
    #[must_use]
    pub fn old_values_hidden(mut self) -> Self {
        self.old_values = OldValues::Hidden;
        self
    }
    /// The objects are the namespaces of namespaced rows' objects.
    #[must_use]
    pub fn names_namespaces(mut self) -> Self {
        self.names_namespaces = true;
        self
    }
    /// The objects define rows of the table.
    #[must_use]
    pub fn defines_resources(mut self) -> Self {
        self.defines_resources = true;
        self
    }
    /// The objects name the servers of group versions: requests go there.
    #[must_use]
    pub fn names_servers(mut self) -> Self {
        self.names_servers = true;
        self
    }
    /// Makes the row a call by name: create only, nothing stored.
    #[must_use]
    pub fn action(mut self, name: &'static str) -> Self {
        self.body = Body::Action(name.into());
        self.verbs = Verbs::CREATE;
        self
    }
    /// A stored view: `status`, `finalize`, `approval`, `resize`, `ephemeralcontainers`.
    #[must_use]
    pub fn view(self, name: &'static str) -> Self {
        self.subresource(Subresource::new(name, None, Verbs::VIEW, SubresourceBody::View))
    }
    /// A call on an object, by name, with bodies of `kind`: `.sub_action("scale", gvk, Verbs::VIEW, "scale")`.
    #[must_use]
    pub fn sub_action(self, name: &'static str, kind: GroupVersionKind, verbs: Verbs, action: &'static str) -> Self {
        self.subresource(Subresource::new(name, Some(kind), verbs, SubresourceBody::Action(action.into())))
    }
    /// A stream on an object, by name, with options of `kind` where discovery names one.
    #[must_use]
    pub fn connect(
        self,
        name: &'static str,
        kind: Option<GroupVersionKind>,
        verbs: Verbs,
        stream: &'static str,
    ) -> Self {
        self.subresource(Subresource::new(name, kind, verbs, SubresourceBody::Connect(stream.into())))
    }
    /// Adds a path below the row's objects.
    #[must_use]
    pub fn subresource(mut self, one: Subresource) -> Self {
        self.subresources.push(one);
        self
    }
    /// A field selector on the value at the selector's own path; absent is `""`.
    #[must_use]
    pub fn selectable(self, label: &'static str) -> Self {
        self.selectable_or(label, "")
    }
    /// A field selector with a text for an absent value: `.selectable_or("spec.unschedulable", "false")`.
    #[must_use]
    pub fn selectable_or(mut self, label: &'static str, absent: &'static str) -> Self {
        let path = label.split('.').map(Name::Borrowed).collect();
        let extract = Extract::Path { path, absent: absent.into() };
        self.selectable.push(SelectableField { label: label.into(), indexed_as: None, extract, dispatch: false });
        self
    }
    #[must_use]
    pub fn selectable_fn(mut self, label: &'static str, extract: fn(&Object) -> String) -> Self {
        let extract = Extract::Function(extract);
        self.selectable.push(SelectableField { label: label.into(), indexed_as: None, extract, dispatch: false });
        self
    }
    #[must_use]
    pub fn refuses_labels(mut self, words: fn(&Self, &str) -> String) -> Self {
        self.refused_label = words;
        self
    }
    /// A selector that the row of the stored version, or the row itself, knows by another label.
    #[must_use]
    pub fn selectable_as(mut self, label: &'static str, indexed_as: &'static str) -> Self {
        self = self.selectable(indexed_as);
        if let Some(field) = self.selectable.last_mut() {
            field.label = label.into();
            field.indexed_as = Some(indexed_as.into());
        }
        self
    }
    /// The last declared selector also wakes watches (`.selectable("spec.nodeName").dispatched()`).
    #[must_use]
    pub fn dispatched(mut self) -> Self {
        if let Some(field) = self.selectable.last_mut() {
            field.dispatch = true;
        }
        self
    }
    /// Shares the storage of another row, which must be in the same table and have none of its own.
    #[must_use]
    pub fn stored_as(
        mut self,
        storage: GroupVersionResource,
        to_storage: impl Fn(&mut Object) + Send + Sync + 'static,
        from_storage: impl Fn(&mut Object) + Send + Sync + 'static,
    ) -> Self {
        self.stored_as = Some(StoredAs {
            storage,
            to_storage: Arc::new(to_storage),
            from_storage: Arc::new(from_storage),
            own_rules: false,
        });
        self
    }
    /// Names the version that Kubernetes stores: clients know by its hash in discovery whether a kind is stored otherwise.
    #[must_use]
    pub fn storage_version(mut self, version: &'static str) -> Self {
        self.storage_version = Some(version.into());
        self
    }
    #[must_use]
    pub fn columns(mut self, columns: Columns) -> Self {
        self.columns = Some(columns);
        self
    }

    /// Sets the function that makes `conditions` of the table's rows; call it after [`Resource::columns`].
    #[must_use]
    pub fn row_conditions(mut self, conditions: fn(&Object) -> Vec<Value>) -> Self {
        if let Some(columns) = &mut self.columns {
            columns.conditions = Some(conditions);
        }
        self
    }

    /// Sets the number of an object by which rows stand in a table; call it after [`Resource::columns`].
    #[must_use]
    pub fn rows_in_order_of(mut self, order: fn(&Object) -> i64) -> Self {
        if let Some(columns) = &mut self.columns {
            columns.order = Some(order);
        }
        self
    }

    /// Says what every request for the row is warned of.
    #[must_use]
    pub fn deprecated(mut self, text: impl Into<Name>) -> Self {
        self.deprecated = Some(text.into());
        self
    }

    /// Names the fields that a write to the object (`""`) or to a view of it leaves alone, where most rows' are others.
    #[must_use]
    pub fn resets(mut self, view: &'static str, paths: Paths) -> Self {
        self.resets.push((view, paths));
        self
    }

    /// Names the fields that a write to a view changes by its strategy and that nobody comes to own by it: Kubernetes
    /// has them among the reset fields.
    #[must_use]
    pub fn unowned(mut self, view: &'static str, paths: Paths) -> Self {
        self.unowned.push((view, paths));
        self
    }

    /// See [`Resource::kept_at`].
    #[must_use]
    pub fn kept_at(mut self, place: &'static str) -> Self {
        self.kept_at = Some(place.into());
        self
    }

    /// Fields that nobody comes to own by a write to the object (`""`) or to a view of it.
    pub fn unowned_paths(&self, view: &str) -> Vec<&'static [&'static str]> {
        let more = self.unowned.iter().filter(|(name, _)| *name == view).flat_map(|(_, paths)| paths.iter());
        self.reset_paths(view).iter().chain(more).copied().collect()
    }

    /// The parts of an object that a write to it (`""`) or to a view of it leaves alone, whatever is sent: the registry
    /// puts them back as they were, and nobody owns them by it (Kubernetes' GetResetFields).
    pub fn reset_paths(&self, view: &str) -> Paths {
        match self.resets.iter().find(|(name, _)| *name == view) {
            Some((_, paths)) => paths,
            None if view == "status" => &[&["spec"]],
            None if view.is_empty() && self.has_status() => &[&["status"]],
            None => &[],
        }
    }

    /// Whether its objects are stored in another version, and converted in this process.
    pub fn converts_here(&self) -> bool {
        self.stored_as.is_some() && self.converted_by.is_none()
    }

    /// The names of the row's verbs, as discovery has them: of a kind that is going those that lead to its end, though
    /// whoever has put a finalizer may update its objects to the last.
    pub fn verb_names(&self) -> Vec<&'static str> {
        let making = Verbs::CREATE.or(Verbs::UPDATE).or(Verbs::PATCH);
        let told = if self.closing { self.verbs.without(making) } else { self.verbs };
        let mut names: Vec<&str> = told.names().collect();
        if self.defined {
            const ORDER: [&str; 8] =
                ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
            names.sort_by_key(|name| ORDER.iter().position(|one| one == name));
        }
        names
    }

    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind {
            group: self.group.to_string(),
            version: self.version.to_string(),
            kind: self.kind.to_string(),
        }
    }
    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource {
            group: self.group.to_string(),
            version: self.version.to_string(),
            resource: self.resource.to_string(),
        }
    }
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.to_string(), resource: self.resource.to_string() }
    }
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.to_string(), kind: self.kind.to_string() }
    }
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }
    pub fn find_subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
    /// Whether `status` is a stored view of its own: then a write of the object leaves it alone.
    pub fn has_status(&self) -> bool {
        self.find_subresource("status").is_some_and(|s| s.body == SubresourceBody::View)
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.group, self.version, self.resource)
    }
}
