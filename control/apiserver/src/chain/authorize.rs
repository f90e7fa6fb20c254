//! Authorization: whether the caller may do what the request line says. It comes before the body is read.

use super::{Filter, Next, refuse};
use crate::body::Body;
use crate::exchange::{Exchange, Identity};
use crate::query::Query;
use crate::respond;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_api::field::go_quote;
use sampan_api::{Attributes, Authorizer, Decision, GroupResource, Status, UserInfo};
use std::sync::Arc;

/// The step.
pub struct Authorize {
    /// Decides.
    pub authorizer: Arc<dyn Authorizer>,
}

impl Filter for Authorize {
    fn filter(self: Arc<Self>, request: Request<Body>, next: Next) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move { self.pass(request, next).await })
    }
}

impl Authorize {
    async fn pass(&self, request: Request<Body>, next: Next) -> Response<Body> {
        let found = (request.extensions().get::<Arc<Exchange>>(), request.extensions().get::<Identity>());
        let (Some(exchange), Some(Identity(user))) = found else {
            // The steps before this one put both there; without them nobody may do anything.
            return refuse(&request, &Status::internal("the chain is incomplete"));
        };
        let exchange = exchange.clone();
        let attributes = attributes(&exchange, user, request.uri().query());
        let decision = self.authorizer.authorize(&attributes).await;
        if decision.allowed() {
            exchange.let_through();
            return next.run(request).await;
        }
        // As responsewriters.Forbidden does: the text repeats what the request says.
        respond::unsniffed(refuse(&request, &forbidden(&attributes, &decision)))
    }
}

/// The request in the terms of authorization.
pub(crate) fn attributes(exchange: &Exchange, user: &Arc<UserInfo>, query: Option<&str>) -> Attributes {
    let info = &exchange.info;
    if !info.is_resource_request() {
        return Attributes {
            user: user.clone(),
            verb: info.verb().to_owned(),
            path: info.path().to_owned(),
            ..Attributes::default()
        };
    }
    let (mut field_selector, mut label_selector) = (String::new(), String::new());
    if matches!(info.verb(), "list" | "watch" | "deletecollection") {
        let query = Query::parse(query);
        query.get("fieldSelector").unwrap_or("").clone_into(&mut field_selector);
        query.get("labelSelector").unwrap_or("").clone_into(&mut label_selector);
    }
    Attributes {
        user: user.clone(),
        verb: info.verb().to_owned(),
        namespace: info.namespace().to_owned(),
        group: info.group().to_owned(),
        version: info.version().to_owned(),
        resource: info.resource().to_owned(),
        subresource: info.subresource().to_owned(),
        name: info.authorized_name().to_owned(),
        resource_request: true,
        path: info.path().to_owned(),
        field_selector,
        label_selector,
    }
}

/// The refusal, worded as `k8s.io/apiserver`'s responsewriters.ForbiddenStatusError words it.
pub(crate) fn forbidden(attributes: &Attributes, decision: &Decision) -> Status {
    let mut text = refusal_text(attributes);
    if !decision.reason.is_empty() {
        text.push_str(": ");
        text.push_str(&decision.reason);
    }
    let resource = GroupResource::new(attributes.group.clone(), attributes.resource.clone());
    Status::forbidden(&resource, &attributes.name, &text)
}

/// `User "u" cannot list resource "pods" in API group "" in the namespace "n"`
fn refusal_text(attributes: &Attributes) -> String {
    let user = go_quote(&attributes.user.name);
    if !attributes.resource_request {
        return format!("User {user} cannot {} path {}", attributes.verb, go_quote(&attributes.path));
    }
    let resource = if attributes.subresource.is_empty() {
        attributes.resource.clone()
    } else {
        format!("{}/{}", attributes.resource, attributes.subresource)
    };
    let what = format!(
        "User {user} cannot {} resource {} in API group {}",
        attributes.verb,
        go_quote(&resource),
        go_quote(&attributes.group)
    );
    if attributes.namespace.is_empty() {
        format!("{what} at the cluster scope")
    } else {
        format!("{what} in the namespace {}", go_quote(&attributes.namespace))
    }
}
