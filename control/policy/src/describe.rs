//! A component's description of itself: the JSON of `describe`, as plugins/wit/RATIONALE.md has it.

use crate::limits;
use sampan_scheduler_core::{ColumnSet, EVENTS, Normalize, UnknownColumn, is_event};
use serde::Deserialize;

/// The part of a description that is not understood.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// Over [`limits::DESCRIBE_BYTES`].
    #[error("describe: {0} bytes are too many")]
    TooLong(usize),
    /// It is no JSON of that form.
    #[error("describe: {0}")]
    NotJson(#[from] serde_json::Error),
    /// A column that this version does not have.
    #[error("describe: policy {policy:?}: {source}")]
    Column { policy: String, source: UnknownColumn },
    /// A normalisation that this version does not have.
    #[error("describe: policy {policy:?}: there is no normalisation {normalize:?}")]
    Normalize { policy: String, normalize: String },
    /// A scope that this version does not have.
    #[error("describe: policy {policy:?}: there is no scope {scope:?}")]
    Scope { policy: String, scope: String },
    /// An event that this version does not have.
    #[error("describe: policy {policy:?}: there is no event {event:?}")]
    Event { policy: String, event: String },
    /// No policy at all.
    #[error("describe: it has no policy")]
    Empty,
}

#[derive(Deserialize)]
struct Written {
    policies: Vec<WrittenPolicy>,
}

/// Members that are not known are left alone: a newer component may have more to say.
#[derive(Deserialize)]
struct WrittenPolicy {
    name: String,
    points: Vec<String>,
    columns: Vec<String>,
    #[serde(default = "node")]
    scope: String,
    #[serde(default)]
    pure: bool,
    #[serde(default = "none")]
    normalize: String,
    events: Option<Vec<String>>,
    #[serde(default)]
    args: serde_json::Value,
}

fn node() -> String {
    "node".into()
}
fn none() -> String {
    "none".into()
}

/// One policy of a component.
#[derive(Clone, Debug)]
pub struct PolicyDescription {
    /// By which `spec.policy` names it.
    pub name: String,
    /// Extension points at which it takes part.
    pub points: Vec<String>,
    /// The columns of nodes and pods that it reads.
    pub columns: ColumnSet,
    /// An answer about a node depends on the pod and that node alone, and is always the same.
    pub cacheable: bool,
    /// The mapping of its raw scores to 0 to 100.
    pub normalize: Normalize,
    /// Events that may help a pod that it refused; every event, where it does not say.
    pub events: Vec<String>,
    /// JSON schema of its arguments, as it was written.
    pub args_schema: serde_json::Value,
}

/// A component's description of itself.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its policies; at least one.
    pub policies: Vec<PolicyDescription>,
}

impl Description {
    /// Reads the text of `describe`.
    ///
    /// # Errors
    /// The first thing that is not understood.
    pub fn parse(text: &str) -> Result<Self, DescribeError> {
        if text.len() > limits::DESCRIBE_BYTES {
            return Err(DescribeError::TooLong(text.len()));
        }
        let written: Written = serde_json::from_str(text)?;
        if written.policies.is_empty() {
            return Err(DescribeError::Empty);
        }
        let policies = written.policies.into_iter().map(WrittenPolicy::check).collect::<Result<_, _>>()?;
        Ok(Self { policies })
    }

    /// The policy of that name.
    pub fn policy(&self, name: &str) -> Option<&PolicyDescription> {
        self.policies.iter().find(|policy| policy.name == name)
    }
}

impl WrittenPolicy {
    fn check(self) -> Result<PolicyDescription, DescribeError> {
        let columns = ColumnSet::from_names(self.columns.iter().map(String::as_str))
            .map_err(|source| DescribeError::Column { policy: self.name.clone(), source })?;
        let Some(normalize) = Normalize::from_name(&self.normalize) else {
            return Err(DescribeError::Normalize { policy: self.name, normalize: self.normalize });
        };
        let of_a_node = match self.scope.as_str() {
            "node" => true,
            "global" => false,
            _ => return Err(DescribeError::Scope { policy: self.name, scope: self.scope }),
        };
        let events = match self.events {
            None => EVENTS.iter().map(|event| (*event).to_owned()).collect(),
            Some(events) => match events.iter().find(|event| !is_event(event)) {
                Some(event) => return Err(DescribeError::Event { policy: self.name, event: event.clone() }),
                None => events,
            },
        };
        Ok(PolicyDescription {
            name: self.name,
            points: self.points,
            columns,
            cacheable: of_a_node && self.pure,
            normalize,
            events,
            args_schema: self.args,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named() {
        let check = |text: &str, expected: &str| {
            let error = Description::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("{", "describe: EOF");
        check(r#"{"policies":[]}"#, "no policy");
        check(r#"{"policies":[{"name":"a","points":[],"columns":["node.moon"]}]}"#, "no column \"node.moon\"");
        check(r#"{"policies":[{"name":"a","points":[],"columns":[],"normalize":"x"}]}"#, "no normalisation \"x\"");
        check(r#"{"policies":[{"name":"a","points":[],"columns":[],"scope":"x"}]}"#, "no scope \"x\"");
        check(
            r#"{"policies":[{"name":"a","points":[],"columns":[],"events":["Node/Gone"]}]}"#,
            "no event \"Node/Gone\"",
        );
        let events = |written: &str| {
            let text = format!(r#"{{"policies":[{{"name":"a","points":[],"columns":[]{written}}}]}}"#);
            Description::parse(&text).expect(written).policies[0].events.clone()
        };
        assert_eq!(events(""), EVENTS, "who does not say is helped by anything");
        assert_eq!(events(r#","events":[]"#), [""; 0]);
        assert_eq!(events(r#","events":["Pod/Delete"]"#), ["Pod/Delete"]);
        let good = r#"{"policies":[{"name":"a","points":["filter"],"columns":["node.name"],"pure":true,"later":1}]}"#;
        let described = Description::parse(good).expect("unknown members are left alone");
        assert!(described.policy("a").is_some_and(|policy| policy.cacheable));
        assert!(described.policy("b").is_none());
    }
}
