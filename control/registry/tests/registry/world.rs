//! Rows, a registry over them, and short ways to call it.

use sampan_api::admission::{Admission, AdmitAll, Attributes, Mutated, Warnings};
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::meta::GroupVersionResource;
use sampan_api::object::Object;
use sampan_api::record::Record;
use sampan_api::status::Status;
use sampan_api::user::UserInfo;
use sampan_env::{Env, Tasks};
use sampan_registry::allocate::Allocator;
use sampan_registry::codec::Plain;
use sampan_registry::kinds::ServiceAllocator;
use sampan_registry::{
    Caller, Codec, Config, Context, CreateValidation, Creation, DeleteOptions, Deleted, Error, Generation, GetOptions,
    List, ListOptions, Registry, Resource, ResourceTable, Strategy, UpdateOptions, Updated, Warned,
};
use sampan_store::memory::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Counted, with a status; graceful where `spec.grace` says how long; `spec.color` must not be "bad" or change from "fixed".
struct Widgets;

impl Strategy for Widgets {
    fn generation(&self) -> Generation {
        Generation::Spec
    }
    fn prepare_for_create(&self, _: &Context<'_>, object: &mut Object) {
        if object.get(&["spec", "size"]).is_none() {
            object.set(&["spec", "size"], 1);
        }
    }
    fn validate(&self, _: &Context<'_>, object: &Object) -> FieldErrors {
        let mut errors = FieldErrors::default();
        if object.get_str(&["spec", "color"]) == Some("bad") {
            errors.push(FieldError::invalid(&Path::new("spec").child("color"), "bad", "is bad"));
        }
        errors
    }
    fn validate_update(&self, ctx: &Context<'_>, object: &Object, old: &Object) -> FieldErrors {
        let mut errors = self.validate(ctx, object);
        let color = |object: &Object| object.get_str(&["spec", "color"]).unwrap_or("").to_owned();
        if color(old) == "fixed" && color(object) != "fixed" {
            errors.push(FieldError::invalid(&Path::new("spec").child("color"), color(object), "field is immutable"));
        }
        errors
    }
    fn warnings(&self, of: Warned, _: &Context<'_>, object: &Object, old: Option<&Object>) -> Vec<String> {
        let new = Some(object).filter(|_| of == Warned::Object && old.is_none());
        let warned = new.and_then(|new| new.get_str(&["spec", "warn"]));
        warned.map(str::to_owned).into_iter().collect()
    }
    fn graceful_deletion(&self, _: &Context<'_>, object: &Object, options: &DeleteOptions) -> Option<i64> {
        let own = object.get(&["spec", "grace"])?.as_i64()?;
        Some(options.grace_period_seconds.unwrap_or(own))
    }
}

/// Held by `spec.finalizers`, as namespaces are.
struct Houses;

impl Strategy for Houses {
    fn allow_create_on_update(&self) -> bool {
        true
    }
    fn allow_unconditional_update(&self) -> bool {
        false
    }
    fn finalizing(&self, object: &Object) -> bool {
        object.get(&["spec", "finalizers"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    }
    fn finalizes(&self) -> bool {
        true
    }
    fn prepare_for_deletion(&self, _: &Context<'_>, object: &mut Object) {
        object.set(&["status", "phase"], "Terminating");
    }
    fn prepare_for_update(&self, ctx: &Context<'_>, object: &mut Object, old: &Object) {
        if ctx.subresource == "finalize" {
            let finalizers = object.get(&["spec", "finalizers"]).cloned().unwrap_or(Value::Null);
            *object = old.clone();
            object.set(&["spec", "finalizers"], finalizers);
        }
    }
}

/// Lets every update create.
struct Anyone;

#[async_trait::async_trait]
impl CreateValidation for Anyone {
    async fn validate(&self) -> Result<(), Status> {
        Ok(())
    }
}

struct Doors;

impl Strategy for Doors {
    fn allocator(&self) -> Option<&dyn Allocator> {
        Some(&ServiceAllocator)
    }
}

/// Version 1 calls `spec.color` `spec.colour`.
fn rename(object: &mut Object, from: &str, to: &str) {
    if let Some(value) = object.remove(&["spec", from]) {
        object.set(&["spec", to], value);
    }
}

fn rows() -> Vec<Resource> {
    let storage = GroupVersionResource::new("toys", "v2", "widgets");
    vec![
        Resource::new("toys", "v2", "widgets", "Widget")
            .view("status")
            .selectable("spec.color")
            .dispatched()
            .strategy(Widgets),
        Resource::new("toys", "v1", "widgets", "Widget")
            .view("status")
            .selectable_as("spec.colour", "spec.color")
            .stored_as(storage, |o| rename(o, "colour", "color"), |o| rename(o, "color", "colour")),
        Resource::new("", "v1", "houses", "House").cluster_scoped().view("status").view("finalize").strategy(Houses),
        Resource::new("", "v1", "doors", "Door").strategy(Doors),
        Resource::new("", "v1", "plains", "Plain"),
    ]
}

pub struct World {
    pub registry: Registry,
    pub store: Arc<MemoryStore>,
    pub env: Env,
    pub table: Arc<ResourceTable>,
    user: UserInfo,
    pub warnings: Warnings,
    pub admission: Box<dyn Admission>,
    codec: Arc<dyn Codec>,
}

/// A Thursday.
pub const NOW: &str = "2026-01-01T00:00:00Z";

impl World {
    pub async fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let env = Env::simulated(1, start);
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let table = Arc::new(ResourceTable::new(rows()).expect("a table"));
        let config = Config::new(store.clone(), env.clone(), table.clone());
        let registry = Registry::open(config).await.expect("opens");
        let user = UserInfo::new("ann", ["people"]);
        Self {
            registry,
            store,
            env,
            table,
            user,
            warnings: Warnings::default(),
            admission: Box::new(AdmitAll),
            codec: Arc::new(Plain),
        }
    }

    /// A world whose bytes are sealed.
    pub async fn sealed(codec: Arc<dyn Codec>) -> Self {
        let mut world = Self::new().await;
        world.codec = codec;
        world.restart().await;
        world
    }

    /// The same log, read anew.
    pub async fn restart(&mut self) {
        let mut config = Config::new(self.store.clone(), self.env.clone(), self.table.clone());
        config.codec = self.codec.clone();
        self.registry = Registry::open(config).await.expect("opens");
    }

    pub fn row(&self, name: &str) -> &Resource {
        let (version, resource) = name.split_once('/').unwrap_or(("", name));
        let found =
            self.table.iter().find(|row| row.resource == resource && (version.is_empty() || row.version == version));
        found.expect("a row of the test")
    }

    pub fn caller(&self) -> Caller<'_> {
        Caller {
            user: &self.user,
            verb: "test",
            user_agent: "test/1",
            request_id: "r",
            field_manager: "test",
            dry_run: false,
            options: &Value::Null,
            admission: &*self.admission,
            warnings: &self.warnings,
        }
    }

    pub async fn create(&self, row: &str, object: Value) -> Result<Arc<Record>, Error> {
        self.registry.create(&self.caller(), self.row(row), "default", parse(object)).await
    }

    pub async fn get(&self, row: &str, name: &str) -> Result<Arc<Record>, Error> {
        self.registry.get(self.row(row), "default", name, &GetOptions::default()).await
    }

    /// A PUT, or with `view` one of a stored view.
    pub async fn put(&self, row: &str, view: &str, object: Value) -> Result<Updated, Error> {
        let object = parse(object);
        let options = UpdateOptions {
            subresource: view.into(),
            create: Creation::WhereAllowed(&Anyone),
            ..UpdateOptions::default()
        };
        let transform = |_: Option<&Object>| Ok(object.clone());
        self.registry.update(&self.caller(), self.row(row), "default", object.name(), &options, &transform).await
    }

    /// A patch: `change` of what is current.
    pub async fn patch(
        &self,
        row: &str,
        name: &str,
        change: impl Fn(&mut Object) + Send + Sync,
    ) -> Result<Updated, Error> {
        let transform = |current: Option<&Object>| -> Result<Object, Status> {
            let mut object = current.cloned().unwrap_or_default();
            change(&mut object);
            Ok(object)
        };
        let options = UpdateOptions::default();
        self.registry.update(&self.caller(), self.row(row), "default", name, &options, &transform).await
    }

    pub async fn delete(&self, row: &str, name: &str, options: DeleteOptions) -> Result<Deleted, Error> {
        self.registry.delete(&self.caller(), self.row(row), "default", name, &options).await
    }

    pub async fn list(&self, row: &str, options: &ListOptions) -> Result<List, Error> {
        self.registry.list(self.row(row), "", options).await
    }
}

pub fn parse(value: Value) -> Object {
    Object::from_value(value).expect("an object")
}

pub fn json_of(record: &Record) -> Value {
    serde_json::from_slice(&record.to_json()).expect("a record is JSON")
}

pub fn names(list: &List) -> Vec<String> {
    list.items.iter().map(|record| record.key.to_string()).collect()
}

/// What a client is told: code and message.
pub fn told<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    let status = result.expect_err("a refusal").status();
    (status.code, status.message)
}

pub fn widget(name: &str, color: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"color": color}}, "spec": {"color": color}})
}

/// Refuses objects annotated `refuse`, and gives all others the annotation `seen`.
pub struct Picky;

#[async_trait::async_trait]
impl Admission for Picky {
    async fn mutate(&self, attributes: &Attributes<'_>, object: Option<&mut Object>) -> Result<Mutated, Status> {
        let Some(object) = object else { return Ok(Mutated::No) };
        object.set_annotation("seen", format!("{:?} {}", attributes.operation, attributes.name));
        Ok(Mutated::Yes)
    }
    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        if object.or(attributes.old).is_some_and(|object| object.annotation("refuse").is_some()) {
            return Err(Status::forbidden(&attributes.resource.group_resource(), attributes.name, "picky"));
        }
        Ok(())
    }
}
