//! Tokens: asked for (TokenRequest, k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage/token.go) and asked about
//! (TokenReview).

use super::Action;
use crate::ask::Ask;
use crate::body::Body;
use async_trait::async_trait;
use http::Response;
use sampan_api::field::{FieldError, FieldErrors, Path, go_quote};
use sampan_api::{GroupKind, GroupResource, Object, Record, Status, names};
use sampan_auth::service_account::{Bound, Ref, ServiceAccountTokens, TokenOrder};
use sampan_auth::union::BearerTokens;
use sampan_registry::options::GetOptions;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The actions on tokens, by the names under which rows have them.
pub fn of_tokens(issuer: Arc<ServiceAccountTokens>, bearers: Arc<BearerTokens>) -> [(String, Arc<dyn Action>); 2] {
    [("token".into(), Arc::new(Issue(issuer))), ("tokenreview".into(), Arc::new(Review(bearers)))]
}

const GROUP: &str = "authentication.k8s.io";
/// Lifetimes that may be asked for, in seconds.
const LIFETIME_MIN: i64 = 10 * 60;
const LIFETIME_MAX: i64 = 1 << 32;
/// The lifetime that admission asks for in the volume of each pod, seconds. Clients of old read their token once: such a
/// token holds for a year, and says from when on its use is worth a note.
const LIFETIME_PROJECTED: i64 = 60 * 60 + 7;
const LIFETIME_EXTENDED: i64 = 24 * 365 * 60 * 60;

/// Makes a token for a service account.
struct Issue(Arc<ServiceAccountTokens>);

#[async_trait]
impl Action for Issue {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        let (mut request, options) = ask.read_call(body).await?;
        let (name, namespace) = (ask.name(), ask.namespace());
        let kind = GroupKind::new(GROUP, "TokenRequest");
        for (field, own, what) in [("name", name, "name"), ("namespace", namespace, "namespace")] {
            let given = request.get_str(&["metadata", field]).unwrap_or("");
            if !given.is_empty() && given != own {
                let text = format!("must match the service account {what} if specified");
                let mut errors = FieldErrors::new();
                errors.push(FieldError::invalid(&Path::new("metadata").child(field), given, text));
                return Err(Status::invalid(&kind, name, &errors));
            }
        }
        let registry = ask.registry();
        let account = registry.get(ask.row(), namespace, name, &GetOptions::default()).await.map_err(Status::from)?;
        let given = request.uid();
        if !given.is_empty() && given != &*account.uid {
            let text = format!(
                "the UID in the token request ({given}) does not match the UID of the service account ({})",
                account.uid
            );
            return Err(Status::conflict(&GroupResource::new(GROUP, "TokenRequest"), name, &text));
        }
        let now = ask.env().now();
        self.complete(&mut request, &account, now);
        let lifetime = lifetime(&request);
        let errors = problems(lifetime);
        if !errors.is_empty() {
            return Err(Status::invalid(&kind, "", &errors));
        }
        ask.validate_call(&request, &options).await?;
        let bound = bound(ask, &request, &account).await?;
        let token = self.issue(&request, bound, lifetime)?;
        let until = now + Duration::from_secs(u64::try_from(lifetime).unwrap_or_default());
        let until = sampan_api::time::rfc3339(until);
        request.set(&["status"], json!({"token": token, "expirationTimestamp": until}));
        ask.answer(201, &request.into_value())
    }
}

impl Issue {
    /// Fills in what the request leaves open.
    fn complete(&self, request: &mut Object, account: &Record, now: std::time::SystemTime) {
        let open = request.get(&["spec", "audiences"]).and_then(Value::as_array).is_none_or(Vec::is_empty);
        if open {
            request.set(&["spec", "audiences"], self.0.audiences().to_vec());
        }
        if request.get(&["spec", "boundObjectRef"]).is_none() {
            request.set(&["spec", "boundObjectRef"], Value::Null);
        }
        request.set_meta("name", &*account.key.name);
        request.set_meta("namespace", &*account.key.namespace);
        request.set_meta("uid", &*account.uid);
        request.set_meta("creationTimestamp", sampan_api::time::rfc3339(now));
    }

    fn issue(&self, request: &Object, mut bound: Bound, lifetime: i64) -> Result<String, Status> {
        let audiences: Vec<String> = texts(request.get(&["spec", "audiences"]));
        let mut lifetime_seconds = lifetime;
        let own = audiences.iter().all(|one| self.0.audiences().contains(one));
        if bound.pod.is_some() && lifetime == LIFETIME_PROJECTED && own {
            let made = request.get_str(&["metadata", "creationTimestamp"]).and_then(sampan_api::time::parse);
            let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
            bound.warnafter = made.and_then(|made| i64::try_from(made.as_secs()).ok()).map(|made| made + lifetime);
            lifetime_seconds = LIFETIME_EXTENDED;
        }
        let order = TokenOrder { bound, audiences, lifetime_seconds };
        self.0.issue(order).map_err(|error| Status::internal(&format!("failed to generate token: {error}")))
    }
}

fn lifetime(request: &Object) -> i64 {
    request.get(&["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or(0)
}

fn problems(lifetime: i64) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let path = Path::new("spec").child("expirationSeconds");
    if lifetime < LIFETIME_MIN {
        errors.push(FieldError::invalid(&path, lifetime, "may not specify a duration less than 10 minutes"));
    }
    if lifetime > LIFETIME_MAX {
        errors.push(FieldError::invalid(&path, lifetime, "may not specify a duration larger than 2^32 seconds"));
    }
    errors
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

async fn lookup(ask: &Ask, resource: &str, namespace: &str, name: &str) -> Result<Arc<Record>, Status> {
    let table = ask.registry().table();
    let row = table.lookup("", "v1", resource).ok_or_else(|| Status::internal(&format!("no row for {resource}")))?;
    let namespace = if row.namespaced { namespace } else { "" };
    ask.registry().get(row, namespace, name, &GetOptions::default()).await.map_err(Status::from)
}

/// The account, and the object that the token is to be bound to, which must be there and of the UID that is asked for.
async fn bound(ask: &Ask, request: &Object, account: &Record) -> Result<Bound, Status> {
    let reference = |record: &Record| Ref { name: record.key.name.to_string(), uid: record.uid.to_string() };
    let mut bound =
        Bound { namespace: account.key.namespace.to_string(), serviceaccount: reference(account), ..Bound::default() };
    let Some(to) = request.get(&["spec", "boundObjectRef"]).filter(|to| to.is_object()) else { return Ok(bound) };
    let text = |field: &str| to.get(field).and_then(Value::as_str).unwrap_or("");
    let (group, version) = match text("apiVersion").split_once('/') {
        Some(both) => both,
        None => ("", text("apiVersion")),
    };
    let (kind, name) = (text("kind"), text("name"));
    if group.is_empty() && matches!(kind, "Pod" | "Node" | "Secret") {
        check_key(name)?;
    }
    let found = match (group, kind) {
        ("", "Pod") => {
            let pod = lookup(ask, "pods", &bound.namespace, name).await?;
            bound.node = node_of(ask, &pod, &account.key.name).await?;
            bound.pod.insert(reference(&pod)).clone()
        }
        ("", "Node") => bound.node.insert(reference(&*lookup(ask, "nodes", "", name).await?)).clone(),
        ("", "Secret") => {
            let secret = lookup(ask, "secrets", &bound.namespace, name).await?;
            bound.secret.insert(reference(&secret)).clone()
        }
        _ => {
            let text = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(text));
        }
    };
    let uid = text("uid");
    if !uid.is_empty() && uid != found.uid {
        let text = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        return Err(Status::conflict(&GroupResource::new(group, kind), name, &text));
    }
    Ok(bound)
}

/// Whether a name can be that of an object at all, as Go's storage asks before it looks (`NamespaceKeyFunc`).
pub(super) fn check_key(name: &str) -> Result<(), Status> {
    if name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    match names::path_segment(name).as_slice() {
        [] => Ok(()),
        wrong => Err(Status::bad_request(format!("Name parameter invalid: {}: {}", go_quote(name), wrong.join(";")))),
    }
}

/// The node that the pod is on: by name alone where there is no such Node. Error: the pod is of another account.
async fn node_of(ask: &Ask, pod: &Record, account: &str) -> Result<Option<Ref>, Status> {
    let object = pod.object();
    if object.get_str(&["spec", "serviceAccountName"]).unwrap_or("") != account {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        )));
    }
    let Some(name) = object.get_str(&["spec", "nodeName"]).filter(|name| !name.is_empty()) else { return Ok(None) };
    let uid = match lookup(ask, "nodes", "", name).await {
        Ok(node) => node.uid.to_string(),
        Err(status) if status.is(sampan_api::Reason::NotFound) => String::new(),
        Err(status) => return Err(status),
    };
    Ok(Some(Ref { name: name.to_owned(), uid }))
}

/// Says whose a token is.
struct Review(Arc<BearerTokens>);

#[async_trait]
impl Action for Review {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status> {
        let (mut review, options) = ask.read_call(body).await?;
        let token = review.get_str(&["spec", "token"]).unwrap_or("").to_owned();
        if token.is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        ask.validate_call(&review, &options).await?;
        let audiences = texts(review.get(&["spec", "audiences"]));
        let mut status = Map::new();
        match self.0.review(token.trim(), &audiences).await {
            Ok(authenticated) => {
                let user = &authenticated.user;
                authenticated.warning.into_iter().for_each(|text| ask.exchange.warnings.add(text));
                status.insert("authenticated".into(), true.into());
                status.insert("audiences".into(), authenticated.audiences.into());
                status.insert("user".into(), super::review::user_info(user));
            }
            Err(refused) => {
                status.insert("error".into(), refused.0.into());
                status.insert("user".into(), json!({}));
            }
        }
        review.set(&["status"], Value::Object(status));
        review.metadata_mut();
        ask.answer(201, &review.into_value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_object_can_have_are_not_looked_up() {
        let check = |name: &str, expected: &str| {
            let told = check_key(name).err().map(|status| (status.code, status.message));
            let expected = (!expected.is_empty()).then(|| (400, expected.to_owned()));
            assert_eq!(told, expected, "{name:?}");
        };
        check("a", "");
        check("A B", "");
        check("", "Name parameter required.");
        check("a/b", "Name parameter invalid: \"a/b\": may not contain '/'");
        check("..", "Name parameter invalid: \"..\": may not be '..'");
    }
}
