//! The functions of `authorizer`.

use super::Eval;
use crate::authorizer::Authorization;
use crate::error::{EvalError, Question};
use crate::value::{Library, Value};
use sampan_api::user::{Attributes, UserInfo};
use std::sync::Arc;

fn identity(state: &Authorization<'_>) -> Option<Arc<UserInfo>> {
    match state {
        Authorization::Authorizer(user) => Some((*user).clone()),
        Authorization::ServiceAccount(user) => Some(user.clone()),
        _ => None,
    }
}

/// The question of a `check` of this verb.
pub(crate) fn question(state: &Authorization<'_>, verb: &str) -> Result<Question, EvalError> {
    match state {
        Authorization::Path(attributes) | Authorization::Resource(attributes) => {
            Ok(Question(Attributes { verb: verb.to_owned(), ..attributes.clone() }))
        }
        _ => Err(EvalError::no_such_overload()),
    }
}

/// The functions of the library but `check`.
pub(super) fn call<'a>(state: &Authorization<'a>, function: &str, args: &[&str]) -> Eval<'a> {
    let not_empty = |what: &str, text: &str| match text {
        "" => Err(EvalError::failed(format!("{what} must not be empty"))),
        text => Ok(text.to_owned()),
    };
    let next = match (state, function, args) {
        (Authorization::Decision(decision), name, []) => {
            return Ok(match name {
                "allowed" => Value::Bool(decision.allowed()),
                "reason" => Value::made(decision.reason.as_str()),
                "errored" => Value::Bool(false),
                "error" => Value::made(""),
                _ => return Err(EvalError::no_such_overload()),
            });
        }
        (_, "path", [path]) => {
            let path = not_empty("path", path)?;
            let user = identity(state).ok_or_else(EvalError::no_such_overload)?;
            Authorization::Path(Attributes { user, path, ..Attributes::default() })
        }
        (_, "group", [group]) => {
            let user = identity(state).ok_or_else(EvalError::no_such_overload)?;
            Authorization::Group(Attributes { user, group: (*group).to_owned(), ..Attributes::default() })
        }
        (_, "serviceAccount", [namespace, name]) => {
            identity(state).ok_or_else(EvalError::no_such_overload)?;
            if !sampan_api::names::dns1123_subdomain(name).is_empty() {
                return Err(EvalError::failed("Invalid service account name"));
            }
            if !sampan_api::names::dns1123_label(namespace).is_empty() {
                return Err(EvalError::failed("Invalid service account namespace"));
            }
            Authorization::ServiceAccount(Arc::new(UserInfo::service_account(namespace, name)))
        }
        (Authorization::Group(attributes), "resource", [resource]) => {
            let resource = not_empty("resource", resource)?;
            let version = "*".to_owned();
            Authorization::Resource(Attributes { resource, version, resource_request: true, ..attributes.clone() })
        }
        (Authorization::Resource(attributes), name, [value]) => {
            let mut attributes = attributes.clone();
            let slot = match name {
                "subresource" => &mut attributes.subresource,
                "namespace" => &mut attributes.namespace,
                "name" => &mut attributes.name,
                "fieldSelector" => &mut attributes.field_selector,
                "labelSelector" => &mut attributes.label_selector,
                _ => return Err(EvalError::no_such_overload()),
            };
            *slot = (*value).to_owned();
            Authorization::Resource(attributes)
        }
        _ => return Err(EvalError::no_such_overload()),
    };
    Ok(Value::Library(Library::Authorization(Arc::new(next))))
}
