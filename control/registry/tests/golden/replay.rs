//! One recorded case, its writes made through a registry of its own.

use async_trait::async_trait;
use sampan_api::admission::{Admission, Attributes, Mutated, Operation, Warnings};
use sampan_api::object::Object;
use sampan_api::record::Record;
use sampan_api::status::Status;
use sampan_api::user::UserInfo;
use sampan_env::{Env, Tasks};
use sampan_registry::resource::{Body, Resource};
use sampan_registry::{
    Caller, Capabilities, Config, CreateValidation, Creation, DeleteOptions, Error, GetOptions, Registry,
    ResourceTable, RuntimeConfig, UpdateOptions,
};
use sampan_schema::gates::Gates;
use sampan_schema::{json, patch};
use sampan_store::memory::MemoryStore;
use sampan_testing::reference;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Lets every update create.
struct Anyone;

#[async_trait]
impl CreateValidation for Anyone {
    async fn validate(&self) -> Result<(), Status> {
        Ok(())
    }
}

/// The namespace that stands for each case's own.
const NAMESPACE: &str = "golden";

/// The cases of a file; `None` only if comparisons are skipped.
pub fn cases(file: &str) -> Option<Vec<Value>> {
    let text = reference::text(&format!("golden/{file}.jsonl"))?.replace("${ns}", NAMESPACE);
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect())
}

/// Placeholders that stand for what a server allots.
pub fn realistic(value: &Value) -> Value {
    let text = value
        .to_string()
        .replace("<clusterIPv4>", "10.96.7.7")
        .replace("\"<nodePort>\"", "31234")
        .replace("<gen>", "abcde")
        .replace("<time>", "2026-01-02T03:04:05Z")
        .replace("<microtime>", "2026-01-02T03:04:05.000000Z");
    serde_json::from_str(&text).expect("still JSON")
}

/// What a path names.
pub struct Target {
    pub row: Arc<Resource>,
    pub namespace: String,
    /// `""` for a collection.
    pub name: String,
    pub subresource: String,
    /// Without the subresource and the query; of a collection it ends in a slash.
    pub path: String,
}

/// Gives what the recorded server's admission gave: pods their service account.
struct ServiceAccount;

#[async_trait]
impl Admission for ServiceAccount {
    async fn mutate(&self, attributes: &Attributes<'_>, object: Option<&mut Object>) -> Result<Mutated, Status> {
        let makes = attributes.operation == Operation::Create && attributes.is("", "pods");
        let pod = object.filter(|pod| makes && pod.get(&["spec", "serviceAccountName"]).is_none());
        let Some(pod) = pod else { return Ok(Mutated::No) };
        pod.set(&["spec", "serviceAccountName"], "default");
        Ok(Mutated::Yes)
    }
    async fn validate(&self, _: &Attributes<'_>, _: Option<&Object>) -> Result<(), Status> {
        Ok(())
    }
}

/// What came of a write.
pub struct Answer {
    /// As [`causes`] gives them.
    pub causes: Vec<String>,
    pub warnings: Vec<String>,
    /// As it was made; null where it was refused.
    pub object: Value,
}

pub struct Replay {
    registry: Registry,
    table: Arc<ResourceTable>,
    user: UserInfo,
    warnings: Warnings,
    /// Texts of the recording and what this run has in their place: captured values, uids, generated names.
    texts: BTreeMap<String, String>,
    /// Objects as the recorded server answered them, or as they were made here, by path.
    recorded: HashMap<String, Value>,
}

impl Replay {
    pub async fn new() -> Self {
        Self::with(&Value::Null, &Value::Null).await
    }

    /// With features set, and versions served beside those that are by default: their names and whether they are on.
    pub async fn with(features: &Value, serves: &Value) -> Self {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600));
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let set = |names: &Value| {
            names.as_object().into_iter().flatten().map(|(name, on)| (name.clone(), *on == true)).collect()
        };
        let gates = Gates::with(&set(features)).expect("gates that may be set");
        let serves = RuntimeConfig::new(&set(serves)).expect("versions that there are");
        let table = Arc::new(serves.table(&gates).expect("the built-in rows make a table"));
        let mut config = Config::new(store, env, table.clone());
        // As the recorded server was started.
        config.capabilities = Capabilities { allow_privileged: false, ..Capabilities::default() };
        config.gates = gates;
        let mut replay = Self {
            registry: Registry::open(config).await.expect("opens"),
            table,
            user: UserInfo::new("golden-admin", ["system:masters"]),
            warnings: Warnings::default(),
            texts: BTreeMap::new(),
            recorded: HashMap::new(),
        };
        let body = serde_json::json!({"metadata": {"name": NAMESPACE}});
        let step = serde_json::json!({"method": "POST", "path": "/api/v1/namespaces", "body": body});
        let made = replay.answer(&step).await.expect("a write");
        assert_eq!(made.causes, Vec::<String>::new(), "the case's namespace is made");
        replay
    }

    /// What a path names; `None` where it is not of a stored kind.
    pub fn target(&self, path: &str) -> Option<Target> {
        let path = path.split('?').next()?;
        let mut parts = path.trim_matches('/').split('/');
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !matches!(rest[0], "status" | "finalize") => {
                (*namespace, rest)
            }
            rest => ("", rest),
        };
        let row = self.table.lookup(group, version, rest.first()?)?.clone();
        if row.body != Body::Stored {
            return None;
        }
        let part = |index: usize| rest.get(index).copied().unwrap_or("").to_owned();
        let prefix = path.split(&format!("/{}", row.resource)).next()?;
        let path = format!("{prefix}/{}/{}", row.resource, part(1));
        Some(Target { row, namespace: namespace.to_owned(), name: part(1), subresource: part(2), path })
    }

    /// The object at a path as the recorded server last answered it.
    pub fn recorded(&self, path: &str) -> Option<&Value> {
        self.recorded.get(path)
    }

    fn with_texts(&self, value: &Value) -> Value {
        let mut text = value.to_string();
        for (from, to) in &self.texts {
            text = text.replace(from, to);
        }
        serde_json::from_str(&text).expect("still JSON")
    }

    /// Makes the step's write. How its errors differ from the recorded ones; `None` where it is nothing to compare.
    pub async fn step(&mut self, step: &Value) -> Option<Vec<String>> {
        let sent = self.with_texts(&serde_json::json!({"path": step["path"], "body": step["body"]}));
        let path = sent["path"].as_str()?;
        let method = step["method"].as_str()?;
        let target = self.target(path)?;
        let answer = &step["response"]["body"];
        let done = self.write(method, path, &target, &sent["body"], step).await;
        let made = match &done {
            Some(Ok(record)) => Some(record.object().into_value()),
            _ => self.read(&target).await,
        };
        if let Some(made) = &made {
            self.learn(step, made, answer);
        }
        let status = step["response"]["status"].as_i64()?;
        // As it came back, or, where the recording leaves that out, as it was made.
        let answered = (answer["kind"] == target.row.kind.as_ref()).then(|| answer.clone());
        if let Some(object) = answered.or(made).filter(|_| (200..300).contains(&status)) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let path = if target.name.is_empty() { format!("{}{name}", target.path) } else { target.path.clone() };
            self.recorded.insert(path, object);
        }
        let done = done?;
        let mut wanted = match status {
            200 | 201 => Vec::new(),
            422 => causes(&self.with_texts(answer))?,
            _ => return None,
        };
        let mut found = match done {
            Ok(_) => Vec::new(),
            Err(error) => {
                let status = error.status();
                causes(&serde_json::to_value(&status).expect("JSON")).unwrap_or_else(|| vec![status.message])
            }
        };
        // Go's maps have no order: where they decide, the recording says so.
        if step.get("unordered").is_some() {
            found.sort();
            wanted.sort();
        }
        Some(if found == wanted {
            Vec::new()
        } else {
            vec![format!("{method} {path}\n    found  {found:#?}\n    wanted {wanted:#?}")]
        })
    }

    /// Makes the step's write, and gives what came of it; `None` where it is none.
    pub async fn answer(&mut self, step: &Value) -> Option<Answer> {
        let sent = self.with_texts(&serde_json::json!({"path": step["path"], "body": step["body"]}));
        let path = sent["path"].as_str()?;
        let target = self.target(path)?;
        self.warnings.take();
        // Those of the whole row are the API server's to tell.
        target.row.deprecated.iter().for_each(|text| self.warnings.add(text.as_ref()));
        let done = self.write(step["method"].as_str()?, path, &target, &sent["body"], step).await?;
        let warnings = self.warnings.take();
        match done {
            Ok(record) => {
                let object = record.object().into_value();
                self.learn(step, &object, &Value::Null);
                Some(Answer { causes: Vec::new(), warnings, object })
            }
            Err(error) => {
                let status = error.status();
                let causes = causes(&serde_json::to_value(&status).expect("JSON"));
                Some(Answer { causes: causes.unwrap_or_else(|| vec![status.message]), warnings, object: Value::Null })
            }
        }
    }

    async fn read(&self, target: &Target) -> Option<Value> {
        if target.name.is_empty() {
            return None;
        }
        let read = self.registry.get(&target.row, &target.namespace, &target.name, &GetOptions::default()).await;
        Some(read.ok()?.object().into_value())
    }

    /// Remembers what stands here for what the recording names.
    fn learn(&mut self, step: &Value, made: &Value, answer: &Value) {
        for (name, pointer) in step["capture"].as_object().into_iter().flatten() {
            let value = pointer.as_str().and_then(|pointer| made.pointer(pointer));
            let text = value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            self.texts.extend(text.map(|text| (format!("${{{name}}}"), text)));
        }
        let pair = |path: &str| Some((answer.pointer(path)?.as_str()?, made.pointer(path)?.as_str()?));
        if let Some((theirs, ours)) = pair("/metadata/uid") {
            self.texts.insert(theirs.to_owned(), ours.to_owned());
        }
        if let Some((theirs, ours)) = pair("/metadata/name")
            && let Some(base) = theirs.strip_suffix("<gen>")
        {
            self.texts.insert("<gen>".to_owned(), ours.trim_start_matches(base).to_owned());
        }
    }

    /// The write through the registry; `None` where the step is none.
    async fn write(
        &self,
        method: &str,
        path: &str,
        target: &Target,
        body: &Value,
        step: &Value,
    ) -> Option<Result<Arc<Record>, Error>> {
        let options = Value::Null;
        let caller = Caller {
            user: &self.user,
            verb: "test",
            user_agent: "golden/1.0",
            request_id: "",
            field_manager: "golden",
            dry_run: path.contains("dryRun=All"),
            options: &options,
            admission: &ServiceAccount,
            warnings: &self.warnings,
        };
        let (row, namespace, name) = (&*target.row, target.namespace.as_str(), target.name.as_str());
        match method {
            "POST" if name.is_empty() && body.is_object() => {
                let object = decoded(row, body)?;
                Some(self.registry.create(&caller, row, namespace, object).await)
            }
            "DELETE" if !name.is_empty() && target.subresource.is_empty() => {
                let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
                let how = if path.contains("gracePeriodSeconds=0") { now } else { DeleteOptions::default() };
                // Deletions have no field errors: only the state that they leave counts.
                drop(self.registry.delete(&caller, row, namespace, name, &how).await);
                None
            }
            "PUT" | "PATCH" if !body.is_null() && !name.is_empty() => {
                let stored = row.find_subresource(&target.subresource);
                let is_view = stored.is_some_and(|one| one.body == sampan_registry::SubresourceBody::View);
                if !target.subresource.is_empty() && !is_view {
                    return None;
                }
                if method == "PATCH" {
                    // What is patched must be there.
                    self.read(target).await?;
                }
                let media = content_type(step);
                let transform = |current: Option<&Object>| {
                    let value = if method == "PUT" { Some(body.clone()) } else { patched(row, &media, current, body) };
                    let object = value.and_then(|value| decoded(row, &value));
                    object.ok_or_else(|| Status::bad_request("the patch cannot be made"))
                };
                transform(self.current(target).await.as_ref()).ok()?;
                let how = UpdateOptions {
                    subresource: target.subresource.clone(),
                    create: if method == "PUT" { Creation::WhereAllowed(&Anyone) } else { Creation::Never },
                    uid: body["metadata"]["uid"].as_str().filter(|_| method == "PUT").map(str::to_owned),
                    ..UpdateOptions::default()
                };
                let updated = self.registry.update(&caller, row, namespace, name, &how, &transform).await;
                match updated {
                    Err(Error::NotFound { .. }) => None,
                    updated => Some(updated.map(|updated| updated.record)),
                }
            }
            _ => None,
        }
    }

    async fn current(&self, target: &Target) -> Option<Object> {
        self.read(target).await.and_then(Object::from_value)
    }
}

fn content_type(step: &Value) -> String {
    let mut headers = step["headers"].as_object().into_iter().flatten();
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    found.and_then(|(_, value)| value.as_str()).and_then(|value| value.split(';').next()).unwrap_or_default().to_owned()
}

/// The body as an object of the row, without what the schema does not know. `None`: it cannot be read.
fn decoded(row: &Resource, body: &Value) -> Option<Object> {
    let ty = row.ty.as_ref()?;
    let mut object = Object::from_value(json::from_value(ty.schema(), ty.id(), body).ok()?.value)?;
    object.set_gvk(&row.gvk());
    Some(object)
}

fn patched(row: &Resource, media: &str, current: Option<&Object>, body: &Value) -> Option<Value> {
    let ty = row.ty.as_ref()?;
    let current = current?.to_value();
    match media {
        "application/merge-patch+json" => Some(patch::merge(current, body)),
        "application/strategic-merge-patch+json" => patch::strategic(ty.schema(), ty.id(), current, body.clone()).ok(),
        "application/json-patch+json" => patch::json(current, body).ok(),
        _ => None,
    }
}

/// The causes of a Status: `reason|field|message`; `None` where it has none.
fn causes(status: &Value) -> Option<Vec<String>> {
    let causes = status["details"]["causes"].as_array()?;
    let line = |cause: &Value| {
        let text = |name: &str| cause[name].as_str().unwrap_or("");
        format!("{}|{}|{}", text("reason"), text("field"), text("message"))
    };
    Some(causes.iter().map(line).collect())
}
