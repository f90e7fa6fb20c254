//! Bounds the events that are written, of all, by namespace, by user, by source and object (plugin/pkg/admission/eventratelimit).

use crate::chain::Plugin;
use crate::limits::EVENT_RATE_CACHE_DEFAULT;
use crate::lru::Lru;
use async_trait::async_trait;
use parking_lot::Mutex;
use sampan_api::admission::{Attributes, Operation};
use sampan_api::field::{FieldError, Path};
use sampan_api::status::Reason;
use sampan_api::{Object, Status};
use sampan_env::Env;
use serde::Deserialize;
use serde_json::Value;
use std::time::Instant;

/// The plugin's configuration (`eventratelimit.admission.k8s.io/v1alpha1`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EventRateLimitConfiguration {
    limits: Vec<Limit>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Limit {
    #[serde(rename = "type")]
    by: String,
    /// Events a second.
    qps: i32,
    /// Events at once.
    burst: i32,
    /// Keys that are kept, those that were asked for last; 0: [`EVENT_RATE_CACHE_DEFAULT`].
    cache_size: i32,
}

/// What events are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

const TYPES: [(&str, By); 4] = [
    ("Server", By::Server),
    ("Namespace", By::Namespace),
    ("User", By::User),
    ("SourceAndObject", By::SourceAndObject),
];

impl Limit {
    fn by(&self) -> Option<By> {
        TYPES.iter().find(|(name, _)| *name == self.by).map(|(_, by)| *by)
    }
}

impl EventRateLimitConfiguration {
    /// What is wrong, in Kubernetes' words.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.limits.is_empty() {
            errors.push(FieldError::invalid(&Path::new("limits"), serde_json::json!([]), "must not be empty"));
        }
        for (index, limit) in self.limits.iter().enumerate() {
            let path = Path::new("limits").index(index);
            if limit.by().is_none() {
                errors.push(FieldError::not_supported(
                    &path.child("type"),
                    limit.by.as_str(),
                    &TYPES.map(|(name, _)| name),
                ));
            }
            for (field, value) in [("burst", limit.burst), ("qps", limit.qps)] {
                if value <= 0 {
                    errors.push(FieldError::invalid(&path.child(field), value, "must be positive"));
                }
            }
            if limit.by() != Some(By::Server) && limit.cache_size < 0 {
                errors.push(FieldError::invalid(&path.child("cacheSize"), limit.cache_size, "must not be negative"));
            }
        }
        errors.iter().map(ToString::to_string).collect()
    }
}

/// The plugin.
pub struct EventRateLimit {
    env: Env,
    limits: Vec<Enforcer>,
}

struct Enforcer {
    name: &'static str,
    by: By,
    /// Events a second, and at once.
    rate: f64,
    burst: f64,
    buckets: Mutex<Lru<Bucket>>,
}

/// Events that may still come, as of an instant.
struct Bucket {
    left: f64,
    at: Instant,
}

impl EventRateLimit {
    /// With the limits of a configuration that has no problems.
    pub(crate) fn new(configuration: &EventRateLimitConfiguration, env: Env) -> Self {
        let limits = configuration.limits.iter().filter_map(|limit| {
            let (name, by) = TYPES.into_iter().find(|(name, _)| *name == limit.by)?;
            let keys = match (by, usize::try_from(limit.cache_size).unwrap_or_default()) {
                (By::Server, _) => 1,
                (_, 0) => EVENT_RATE_CACHE_DEFAULT,
                (_, given) => given,
            };
            let (rate, burst) = (f64::from(limit.qps), f64::from(limit.burst));
            Some(Enforcer { name, by, rate, burst, buckets: Mutex::new(Lru::new(keys)) })
        });
        Self { limits: limits.collect(), env }
    }
}

impl Enforcer {
    /// Takes one event from the key's bucket.
    fn accept(&self, key: &str, now: Instant) -> Result<(), String> {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(key, || Bucket { left: self.burst, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = self.rate.mul_add(passed, bucket.left).min(self.burst);
        bucket.at = now;
        if bucket.left < 1.0 {
            return Err(format!("limit reached on type {} for key {key}", self.name));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

fn key(by: By, attributes: &Attributes<'_>, event: Option<&Object>) -> String {
    match by {
        By::Server => String::new(),
        By::Namespace => attributes.namespace.to_owned(),
        By::User => attributes.user.name.clone(),
        By::SourceAndObject => {
            let text =
                |path: [&str; 2]| event.and_then(|event| event.get(&path)).and_then(Value::as_str).unwrap_or_default();
            let source = ["component", "host"].map(|name| text(["source", name]));
            let object = ["kind", "namespace", "name", "uid", "apiVersion"].map(|name| text(["involvedObject", name]));
            [source.concat(), object.concat()].concat()
        }
    }
}

#[async_trait]
impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        "EventRateLimit"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        let written = matches!(attributes.operation, Operation::Create | Operation::Update);
        attributes.is("", "events") && written && !attributes.dry_run
    }

    async fn validate(&self, attributes: &Attributes<'_>, event: Option<&Object>) -> Result<(), Status> {
        let now = self.env.instant().into_std();
        let asked = self.limits.iter().map(|limit| limit.accept(&key(limit.by, attributes, event), now));
        let reached: Vec<String> = asked.filter_map(Result::err).collect();
        let told = match reached.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        Err(Status::failure(Reason::TooManyRequests, format!("Too many requests: {told}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::admission::{NoKinds, Warnings};
    use sampan_api::meta::GroupVersionResource;
    use sampan_api::user::UserInfo;
    use serde_json::json;
    use std::time::{Duration, SystemTime};

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_own_rate() {
        let limits = json!({"limits": [{"type": "User", "qps": 2, "burst": 1, "cacheSize": 2},
            {"type": "Server", "qps": 10, "burst": 3}]});
        let configuration: EventRateLimitConfiguration = serde_json::from_value(limits).expect("a configuration");
        assert_eq!(configuration.problems(), Vec::<String>::new());
        let plugin = EventRateLimit::new(&configuration, Env::simulated(1, SystemTime::UNIX_EPOCH));
        let (events, warnings) = (GroupVersionResource::new("", "v1", "events"), Warnings::default());
        let told = async |user: &str| {
            let user = UserInfo::new(user, ["system:authenticated"]);
            let attributes = Attributes {
                operation: Operation::Create,
                resource: &events,
                subresource: "",
                namespace: "default",
                name: "e",
                user: &user,
                dry_run: false,
                options: &Value::Null,
                old: None,
                warnings: &warnings,
                kinds: &NoKinds,
                annotations: None,
            };
            plugin.validate(&attributes, None).await.err().map(|status| (status.code, status.message))
        };
        let limited = |of: &str| Some((429, format!("Too many requests: {of}")));
        assert_eq!(told("a").await, None);
        assert_eq!(told("a").await, limited("limit reached on type User for key a"));
        assert_eq!(told("b").await, None, "another's are counted on their own");
        let both = "[limit reached on type User for key b, limit reached on type Server for key ]";
        assert_eq!(told("b").await, limited(both));
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!(told("a").await, None, "one came back");
        assert_eq!(told("a").await, limited("limit reached on type User for key a"));
    }
}
