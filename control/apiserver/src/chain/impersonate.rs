//! Acting as somebody else, as `k8s.io/apiserver`'s impersonation filter has it: each part of the other identity needs
//! the right to `impersonate` it.

use super::authorize::forbidden;
use super::{Filter, Next, refuse};
use crate::body::Body;
use crate::exchange::Identity;
use crate::limits::IMPERSONATION_VALUES_MAX;
use crate::respond;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use sampan_api::user::{GROUP_AUTHENTICATED, GROUP_SERVICE_ACCOUNTS, GROUP_UNAUTHENTICATED, USER_ANONYMOUS};
use sampan_api::{Attributes, Authorizer, Status, UserInfo, percent};
use std::sync::Arc;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// The step.
pub struct Impersonate {
    /// Decides who may act as whom.
    pub authorizer: Arc<dyn Authorizer>,
}

impl Filter for Impersonate {
    fn filter(self: Arc<Self>, request: Request<Body>, next: Next) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move { self.pass(request, next).await })
    }
}

impl Impersonate {
    async fn pass(&self, mut request: Request<Body>, next: Next) -> Response<Body> {
        let wanted = match wanted(request.headers()) {
            Ok(None) => return next.run(request).await,
            Ok(Some(wanted)) => wanted,
            // The text repeats what the request says.
            Err(status) => return respond::unsniffed(refuse(&request, &status)),
        };
        let Some(Identity(user)) = request.extensions().get::<Identity>().cloned() else {
            return refuse(&request, &Status::internal("the chain is incomplete"));
        };
        if let Err(status) = self.check(&user, &wanted).await {
            return respond::unsniffed(refuse(&request, &status));
        }
        tracing::debug!(user = %user.name, impersonated = %wanted.name, "impersonates");
        let names: Vec<_> =
            request.headers().keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
        for name in names {
            request.headers_mut().remove(name);
        }
        request.extensions_mut().insert(Identity(Arc::new(completed(wanted))));
        next.run(request).await
    }
}

/// The identity that the headers ask for; `None` where they ask for none.
fn wanted(headers: &HeaderMap) -> Result<Option<UserInfo>, Status> {
    let mut wanted = UserInfo::default();
    let mut values = 0;
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("impersonate-") {
            continue;
        }
        values += 1;
        let text = value.to_str().map_err(|_| Status::bad_request(format!("header {name} is not text")))?.to_owned();
        if values > IMPERSONATION_VALUES_MAX {
            return Err(Status::bad_request("too many impersonation headers"));
        }
        match name {
            // Of several the first counts.
            USER if wanted.name.is_empty() => wanted.name = text,
            UID if wanted.uid.is_empty() => wanted.uid = text,
            USER | UID => {}
            GROUP => wanted.groups.push(text),
            _ => {
                let Some(key) = name.strip_prefix(EXTRA) else { continue };
                let key = percent::decode(key).unwrap_or(key.into()).into_owned();
                wanted.extra.entry(key).or_default().push(text);
            }
        }
    }
    if !wanted.name.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted.groups.is_empty() && wanted.uid.is_empty() && wanted.extra.is_empty() {
        return Ok(None);
    }
    Err(Status::bad_request(format!("requested [{}] without impersonating a user", shown(&wanted).join(" "))))
}

/// The parts of an identity as Go prints the references to them.
fn shown(wanted: &UserInfo) -> Vec<String> {
    let mut all: Vec<String> = wanted.groups.iter().map(|group| format!("{{Group  {group}    }}")).collect();
    for (key, values) in &wanted.extra {
        all.extend(values.iter().map(|value| format!("{{UserExtra  {value}  {AUTHENTICATION}/v1  {key}}}")));
    }
    if !wanted.uid.is_empty() {
        all.push(format!("{{UID  {}  {AUTHENTICATION}/v1  }}", wanted.uid));
    }
    all
}

/// The groups that come with the name, as they would at a real log-in.
fn completed(mut user: UserInfo) -> UserInfo {
    let add = |user: &mut UserInfo, group: String| {
        if !user.groups.contains(&group) {
            user.groups.push(group);
        }
    };
    if user.groups.is_empty()
        && let Some((namespace, _)) = service_account(&user.name)
    {
        let of_namespace = format!("{GROUP_SERVICE_ACCOUNTS}:{namespace}");
        add(&mut user, GROUP_SERVICE_ACCOUNTS.to_owned());
        add(&mut user, of_namespace);
    }
    let marked = user.in_group(GROUP_AUTHENTICATED) || user.in_group(GROUP_UNAUTHENTICATED);
    if user.name == USER_ANONYMOUS {
        add(&mut user, GROUP_UNAUTHENTICATED.to_owned());
    } else if !marked {
        add(&mut user, GROUP_AUTHENTICATED.to_owned());
    }
    user
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

impl Impersonate {
    async fn check(&self, user: &Arc<UserInfo>, wanted: &UserInfo) -> Result<(), Status> {
        let attributes = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| Attributes {
            user: user.clone(),
            verb: "impersonate".into(),
            namespace: namespace.into(),
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            resource_request: true,
            ..Attributes::default()
        };
        let mut all = vec![match service_account(&wanted.name) {
            Some((namespace, name)) => attributes("", "serviceaccounts", "", namespace, name),
            None => attributes("", "users", "", "", &wanted.name),
        }];
        all.extend(wanted.groups.iter().map(|group| attributes("", "groups", "", "", group)));
        for (key, values) in &wanted.extra {
            all.extend(values.iter().map(|value| attributes(AUTHENTICATION, "userextras", key, "", value)));
        }
        if !wanted.uid.is_empty() {
            all.push(attributes(AUTHENTICATION, "uids", "", "", &wanted.uid));
        }
        for one in &all {
            let decision = self.authorizer.authorize(one).await;
            if !decision.allowed() {
                return Err(forbidden(one, &decision));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_and_completed_with_its_groups() {
        let check = |headers: &[(&str, &str)], expected: Option<(&str, &[&str])>| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(
                    http::HeaderName::from_bytes(name.as_bytes()).expect("a header name"),
                    value.parse().expect("a header value"),
                );
            }
            let found = wanted(&map).expect("readable").map(completed);
            let found =
                found.as_ref().map(|user| (user.name.as_str(), user.groups.iter().map(String::as_str).collect()));
            assert_eq!(found, expected.map(|(name, groups)| (name, groups.to_vec())));
        };
        check(&[], None);
        check(&[(USER, "")], None);
        check(&[(USER, "a b/c")], Some(("a b/c", &["system:authenticated"])));
        check(&[(USER, "a"), (GROUP, "g"), (GROUP, "h")], Some(("a", &["g", "h", "system:authenticated"])));
        check(&[(USER, "system:anonymous")], Some(("system:anonymous", &["system:unauthenticated"])));
        check(
            &[(USER, "system:serviceaccount:n:s")],
            Some((
                "system:serviceaccount:n:s",
                &["system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"],
            )),
        );
    }
}
