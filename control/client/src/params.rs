//! Parameters of a call beside its object; each becomes query parameters or a `DeleteOptions` body.

use sampan_api::percent;
use serde_json::{Value, json};
use std::time::Duration;

/// Builds a query string; every value is escaped.
#[derive(Default)]
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        percent::encode_into(value, &mut self.0);
    }

    fn add_opt(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.add(name, value);
        }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// One page of a list. Without `resource_version`: what is current.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListParams {
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
    /// Items at the most; `None`: all.
    pub limit: Option<u32>,
    pub continue_token: Option<String>,
    pub resource_version: Option<String>,
    /// Exactly `resource_version` (`true`), or not older than it.
    pub exact: bool,
}

impl ListParams {
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { label_selector: Some(selector.into()), ..Self::default() }
    }

    pub fn fields(selector: impl Into<String>) -> Self {
        Self { field_selector: Some(selector.into()), ..Self::default() }
    }

    pub(crate) fn query(&self) -> Query {
        let mut query = Query::default();
        query.add_opt("labelSelector", self.label_selector.as_deref());
        query.add_opt("fieldSelector", self.field_selector.as_deref());
        if let Some(limit) = self.limit {
            query.add("limit", &limit.to_string());
        }
        query.add_opt("continue", self.continue_token.as_deref());
        // A continue token carries its own revision; the API refuses both together.
        if self.continue_token.is_none() {
            query.add_opt("resourceVersion", self.resource_version.as_deref());
            if self.resource_version.as_deref().is_some_and(|version| !version.is_empty()) {
                query.add("resourceVersionMatch", if self.exact { "Exact" } else { "NotOlderThan" });
            }
        }
        query
    }
}

/// A watch. Bookmarks are always asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchParams {
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
    /// Everything after this revision; `None` or empty: from what is current.
    pub resource_version: Option<String>,
    /// First the current objects as ADDED, then a bookmark with `initial_events_end` (watch-list).
    pub send_initial_events: bool,
    /// After which the server ends it.
    pub timeout: Option<Duration>,
}

impl WatchParams {
    pub(crate) fn query(&self) -> Query {
        let mut query = Query::default();
        query.add("watch", "true");
        query.add("allowWatchBookmarks", "true");
        query.add_opt("labelSelector", self.label_selector.as_deref());
        query.add_opt("fieldSelector", self.field_selector.as_deref());
        query.add_opt("resourceVersion", self.resource_version.as_deref());
        if self.send_initial_events {
            query.add("sendInitialEvents", "true");
            query.add("resourceVersionMatch", "NotOlderThan");
        }
        if let Some(timeout) = self.timeout {
            query.add("timeoutSeconds", &timeout.as_secs().to_string());
        }
        query
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    Strict,
    Warn,
    Ignore,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteParams {
    pub dry_run: bool,
    pub field_manager: Option<String>,
    pub field_validation: Option<FieldValidation>,
    /// Of an apply: takes over fields that others own.
    pub force: bool,
}

impl WriteParams {
    pub(crate) fn query(&self) -> Query {
        let mut query = Query::default();
        if self.dry_run {
            query.add("dryRun", "All");
        }
        if self.force {
            query.add("force", "true");
        }
        query.add_opt("fieldManager", self.field_manager.as_deref());
        if let Some(validation) = self.field_validation {
            query.add(
                "fieldValidation",
                match validation {
                    FieldValidation::Strict => "Strict",
                    FieldValidation::Warn => "Warn",
                    FieldValidation::Ignore => "Ignore",
                },
            );
        }
        query
    }
}

/// A patch. All but an apply need no field manager.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// RFC 6902: a list of operations.
    Json(Value),
    /// RFC 7396.
    Merge(Value),
    /// Kubernetes' own: lists are merged by the keys that the schema declares.
    Strategic(Value),
    /// Server-side apply: the fields that the manager wants, whole.
    Apply(Value),
}

impl Patch {
    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json-patch+json",
            Self::Merge(_) => "application/merge-patch+json",
            Self::Strategic(_) => "application/strategic-merge-patch+json",
            Self::Apply(_) => "application/apply-patch+yaml",
        }
    }

    pub fn body(&self) -> &Value {
        match self {
            Self::Json(body) | Self::Merge(body) | Self::Strategic(body) | Self::Apply(body) => body,
        }
    }
}

/// The fate of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner reference and stay.
    Orphan,
    /// The owner goes at once, they after it.
    Background,
    /// They go first.
    Foreground,
}

impl Propagation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "Orphan",
            Self::Background => "Background",
            Self::Foreground => "Foreground",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteParams {
    pub grace_period_seconds: Option<i64>,
    pub propagation: Option<Propagation>,
    /// Only if the object is still this one: 409 otherwise.
    pub uid: Option<String>,
    /// Only if the object is still as it was at this version: 409 otherwise.
    pub resource_version: Option<String>,
    pub dry_run: bool,
}

impl DeleteParams {
    /// Only the object of this UID: a successor of the same name is left alone.
    pub fn uid(uid: impl Into<String>) -> Self {
        Self { uid: Some(uid.into()), ..Self::default() }
    }

    /// The `DeleteOptions` body; `None` when there is nothing to say.
    pub(crate) fn body(&self) -> Option<Value> {
        if *self == Self::default() {
            return None;
        }
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(seconds) = self.grace_period_seconds {
            body["gracePeriodSeconds"] = seconds.into();
        }
        if let Some(propagation) = self.propagation {
            body["propagationPolicy"] = propagation.as_str().into();
        }
        if let Some(uid) = &self.uid {
            body["preconditions"]["uid"] = uid.as_str().into();
        }
        if let Some(version) = &self.resource_version {
            body["preconditions"]["resourceVersion"] = version.as_str().into();
        }
        if self.dry_run {
            body["dryRun"] = json!(["All"]);
        }
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_become_the_queries_that_the_api_documents() {
        let check = |query: Query, text: &str| assert_eq!(query.finish(), text);
        check(ListParams::default().query(), "");
        check(ListParams::labels("a in (b,c)").query(), "?labelSelector=a%20in%20%28b%2Cc%29");
        let page = ListParams {
            limit: Some(5),
            continue_token: Some("x=".into()),
            resource_version: Some("7".into()),
            ..ListParams::default()
        };
        check(page.query(), "?limit=5&continue=x%3D");
        let exact = ListParams { resource_version: Some("7".into()), exact: true, ..ListParams::default() };
        check(exact.query(), "?resourceVersion=7&resourceVersionMatch=Exact");
        let watch =
            WatchParams { send_initial_events: true, timeout: Some(Duration::from_secs(9)), ..WatchParams::default() };
        check(
            watch.query(),
            "?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=9",
        );
        let write = WriteParams {
            dry_run: true,
            field_manager: Some("a b".into()),
            field_validation: Some(FieldValidation::Strict),
            force: true,
        };
        check(write.query(), "?dryRun=All&force=true&fieldManager=a%20b&fieldValidation=Strict");
    }

    #[test]
    fn delete_options_have_a_body_only_when_they_say_something() {
        assert_eq!(DeleteParams::default().body(), None);
        let params = DeleteParams { propagation: Some(Propagation::Background), ..DeleteParams::uid("u") };
        assert_eq!(
            params.body(),
            Some(json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
                "preconditions": {"uid": "u"}}))
        );
    }
}
