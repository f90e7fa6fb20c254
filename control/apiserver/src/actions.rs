//! Calls by name: what a row or subresource declares as an action. Nothing of that name is stored.

mod batch;
mod binding;
mod changes;
mod components;
mod eviction;
mod review;
mod scale;
mod token;

pub use components::of_components;
pub use token::of_tokens;

use crate::ask::Ask;
use crate::body::Body;
use crate::connect::Streams;
use crate::decode::{self, Expected};
use crate::encode;
use crate::metadata;
use crate::negotiate::{self, Endpoint, Output, Shape};
use crate::options::{self, WriteOptions};
use crate::request_info::LONG_RUNNING_SUBRESOURCES;
use crate::respond;
use async_trait::async_trait;
use http::Response;
use sampan_api::admission::{self, Admission, AdmitAll, Operation};
use sampan_api::{Attributes, GroupVersionResource, Object, Status, time};
use sampan_registry::ResourceTable;
use sampan_registry::options::Caller;
use sampan_registry::resource::{Body as RowBody, SubresourceBody};
use sampan_schema::managed::{self, Writer};
use sampan_schema::meta;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// A call by name. It is reached only by those who may do the request's verb to the row or subresource.
#[async_trait]
pub trait Action: Send + Sync + 'static {
    async fn call(&self, ask: &Ask, body: Body) -> Result<Response<Body>, Status>;
}

/// The actions that this room binds by itself.
pub(crate) fn builtin() -> HashMap<String, Arc<dyn Action>> {
    let mut all: HashMap<String, Arc<dyn Action>> = HashMap::new();
    let mut add = |name: &str, action: Arc<dyn Action>| all.insert(name.to_owned(), action).map_or((), drop);
    add("binding", Arc::new(binding::Bind));
    add("eviction", Arc::new(eviction::Evict));
    add("scale", Arc::new(scale::Scale));
    add("subjectaccessreview", Arc::new(review::AccessReview::Subject));
    add("localsubjectaccessreview", Arc::new(review::AccessReview::Local));
    add("selfsubjectaccessreview", Arc::new(review::AccessReview::Own));
    add("selfsubjectreview", Arc::new(review::WhoAmI));
    add("selfsubjectrulesreview", Arc::new(review::RulesReview));
    add("tokenreview", Arc::new(NotServed("tokenreviews")));
    add("token", Arc::new(NotServed("serviceaccounts/token")));
    add("componentstatus", Arc::new(NotServed("componentstatuses")));
    add("changes", Arc::new(changes::Changes));
    add("decisionbatch", Arc::new(batch::CreateBatch));
    add("scheduling", Arc::new(NotServed("the explanation of a scheduling decision")));
    all
}

/// The actions and streams that `table` names and nobody has bound, and streams whose requests would be timed.
pub(crate) fn unbound(
    table: &ResourceTable,
    actions: &HashMap<String, Arc<dyn Action>>,
    streams: &Streams,
) -> Vec<String> {
    let mut missing = Vec::new();
    let mut check = |bound: bool, name: &str, of: String| {
        if !bound {
            missing.push(format!("{name} of {of}"));
        }
    };
    for row in table.iter() {
        if let RowBody::Action(name) = &row.body {
            check(actions.contains_key(name.as_ref()), name, row.resource.to_string());
        }
        for subresource in &row.subresources {
            let of = || format!("{}/{}", row.resource, subresource.name);
            match &subresource.body {
                SubresourceBody::Action(name) => check(actions.contains_key(name.as_ref()), name, of()),
                SubresourceBody::Connect(name) => {
                    check(streams.contains_key(name.as_ref()), name, of());
                    let lasts = LONG_RUNNING_SUBRESOURCES.contains(&subresource.name.as_ref());
                    check(lasts, "the place among the long-running subresources", of());
                }
                SubresourceBody::View => {}
            }
        }
    }
    missing
}

/// Something that the API has and nobody does yet: says so.
struct NotServed(&'static str);

#[async_trait]
impl Action for NotServed {
    async fn call(&self, _: &Ask, _: Body) -> Result<Response<Body>, Status> {
        Err(respond::not_served(self.0))
    }
}

fn answer(code: u16, output: Output, expected: Expected, value: &Value) -> Result<Response<Body>, Status> {
    let Expected { gvk, ty, .. } = expected;
    match output.shape {
        Shape::Metadata(version) => {
            let value = metadata::of_value(value, version);
            Ok(respond::object(code, output, meta::find("PartialObjectMetadata").as_ref(), &value))
        }
        Shape::MetadataList(_) => Err(encode::not_a_list(&gvk.group, &gvk.kind)),
        _ => {
            let is_expected = value["kind"] == gvk.kind && value["apiVersion"] == gvk.api_version();
            Ok(respond::object(code, output, ty.filter(|_| is_expected).as_ref(), value))
        }
    }
}

impl Ask {
    /// Reads the body of a call as an object of [`Ask::expected`], with the options of a create, and has it admitted as the
    /// creation of the request's subresource or row.
    pub async fn read_object(&self, body: Body) -> Result<(Object, WriteOptions), Status> {
        let (object, options) = self.read_call(body).await?;
        self.validate_call(&object, &options).await?;
        Ok((object, options))
    }

    /// As [`Ask::read_object`], but that admission has only changed it: [`Ask::validate_call`] is to follow.
    pub(crate) async fn read_call(&self, body: Body) -> Result<(Object, WriteOptions), Status> {
        let expected = &self.expected();
        // A form of the answer that there is none of is refused before the body is read.
        self.output(Endpoint::Call)?;
        let format = negotiate::input(&self.parts.headers)?;
        let bytes = self.read(body).await?;
        let options = options::write(&self.query(), "CreateOptions")?;
        let decoded = decode::object(expected, format, &bytes, options.field_validation)?;
        let mut object = decoded.check_fields(options.field_validation, &self.exchange.warnings, expected)?;
        sampan_registry::settle_namespace(&self.row, &mut object, self.namespace()).map_err(Status::from)?;
        sampan_registry::defaults_of(expected.ty.as_ref(), &mut object)?;
        if let Some(ty) = &expected.ty {
            // Of what is made by a call its maker is told too, though nothing of it is stored.
            let now = time::rfc3339(self.env().now());
            let manager = self.caller(&options).field_manager;
            let writer = Writer { manager, subresource: self.subresource(), time: &now };
            managed::update(ty.schema(), ty.id(), None, object.fields_mut(), writer, &[], &managed::one_version);
        }
        let resource = self.row.gvr();
        let name = self.call_name(&object);
        let attributes = self.call_attributes(&resource, &name, &options);
        self.mutate(&attributes, Some(&mut object)).await?;
        Ok((object, options))
    }

    /// Has admission say whether a call may be.
    pub(crate) async fn validate_call(&self, object: &Object, options: &WriteOptions) -> Result<(), Status> {
        let resource = self.row.gvr();
        let name = self.call_name(object);
        self.validate(&self.call_attributes(&resource, &name, options), Some(object)).await
    }

    fn call_name(&self, object: &Object) -> String {
        if self.name().is_empty() { object.name().to_owned() } else { self.name().to_owned() }
    }

    fn call_attributes<'a>(
        &'a self,
        resource: &'a GroupVersionResource,
        name: &'a str,
        options: &'a WriteOptions,
    ) -> admission::Attributes<'a> {
        admission::Attributes {
            operation: Operation::Create,
            resource,
            subresource: self.subresource(),
            namespace: self.namespace(),
            name,
            user: &self.user,
            dry_run: options.dry_run,
            options: &options.shown,
            old: None,
            warnings: &self.exchange.warnings,
            kinds: &self.core.registry,
            annotations: None,
        }
    }

    /// The writer of what follows from a call that was admitted: Kubernetes asks admission about the call alone.
    pub(crate) fn admitted<'a>(&'a self, options: &'a WriteOptions) -> Caller<'a> {
        Caller { admission: &AdmitAll, ..self.caller(options) }
    }

    /// Answers a call with an object. It has a protobuf form where it is of the kind that the call's bodies are of.
    pub fn answer(&self, code: u16, value: &Value) -> Result<Response<Body>, Status> {
        answer(code, self.output(Endpoint::Call)?, self.expected(), value)
    }

    /// As [`Ask::answer`], with an object that takes long to make: the compute threads make and encode it.
    pub(crate) async fn answer_made(
        &self,
        code: u16,
        make: impl FnOnce() -> Value + Send + 'static,
    ) -> Result<Response<Body>, Status> {
        let (output, expected) = (self.output(Endpoint::Call)?, self.expected());
        self.compute(move || answer(code, output, expected, &make())).await
    }

    /// Answers a call that has nothing to show: a Status that says it was created.
    pub(crate) fn created(&self) -> Result<Response<Body>, Status> {
        let status = Status { code: 201, ..Status::success() };
        Ok(respond::status(&status, self.output(Endpoint::Plain)?))
    }

    /// The authorizer's decision about attributes other than the request's own.
    pub async fn authorize(&self, attributes: &Attributes) -> sampan_api::Decision {
        self.core.authorizer.authorize(attributes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_names_is_bound_or_missed() {
        let table = ResourceTable::builtin().expect("the built-in table is sound");
        let (mut actions, mut streams) = (builtin(), crate::connect::builtin());
        assert_eq!(unbound(&table, &actions, &streams), Vec::<String>::new());
        actions.remove("scale");
        streams.remove("log");
        let missing = unbound(&table, &actions, &streams);
        assert!(missing.iter().any(|one| one == "scale of deployments/scale"), "{missing:?}");
        assert!(missing.iter().any(|one| one == "log of pods/log"), "{missing:?}");
    }
}
