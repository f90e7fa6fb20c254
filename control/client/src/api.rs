use crate::body::collect;
use crate::client::Client;
use crate::decode::record_from_value;
use crate::error::Error;
use crate::params::{DeleteParams, ListParams, Patch, Query, WatchParams, WriteParams};
use crate::watch::{self, WatchStream};
use crate::{Result, limits};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use sampan_api::k8s::Resource;
use sampan_api::{GroupVersionResource, Object, Record, Records, Status, percent, typed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::marker::PhantomData;
use std::sync::Arc;

/// The calls on one resource in one namespace (or in all, or cluster-scoped). `K` is a typed kind or [`Object`].
#[derive(Clone)]
pub struct Api<K> {
    client: Client,
    resource: GroupVersionResource,
    namespace: Option<String>,
    /// apiVersion and kind of a typed `K`, written where its own encoding leaves them out.
    type_meta: Option<(&'static str, &'static str)>,
    kind: PhantomData<fn() -> K>,
}

/// One page of a list, or all of it.
#[derive(Clone, Debug)]
pub struct List<K> {
    pub items: Vec<K>,
    /// The one revision that all items were read at.
    pub resource_version: String,
    pub continue_token: Option<String>,
    /// Items after this page, where the server tells.
    pub remaining: Option<u64>,
}

/// One page of a list as shared records.
#[derive(Clone, Debug)]
pub struct RecordList {
    pub items: Vec<Arc<Record>>,
    pub revision: u64,
    pub continue_token: Option<String>,
    pub remaining: Option<u64>,
}

/// The answer of a delete.
#[derive(Clone, Debug)]
pub enum Deleted<K> {
    /// The object is gone.
    Gone(Box<Status>),
    /// The object as it is now: it stays until its finalizers or its grace period are done; or, for the few kinds that
    /// answer so, as it was last.
    Object(Box<K>),
}

impl<K: Resource> Api<K> {
    pub(crate) fn typed(client: Client, namespace: Option<&str>) -> Self {
        Self {
            client,
            resource: GroupVersionResource::new(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT),
            namespace: namespace.map(str::to_owned),
            type_meta: Some((K::API_VERSION, K::KIND)),
            kind: PhantomData,
        }
    }
}

impl Api<Object> {
    pub(crate) fn dynamic(client: Client, resource: &GroupVersionResource, namespace: Option<&str>) -> Self {
        Self {
            client,
            resource: resource.clone(),
            namespace: namespace.map(str::to_owned),
            type_meta: None,
            kind: PhantomData,
        }
    }
}

impl<K> Api<K> {
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn resource(&self) -> &GroupVersionResource {
        &self.resource
    }

    fn path(&self, name: Option<&str>, subresource: Option<&str>) -> String {
        let mut path = self.resource.base_path();
        if let Some(namespace) = &self.namespace {
            path.push_str("/namespaces/");
            percent::encode_into(namespace, &mut path);
        }
        path.push('/');
        path.push_str(&self.resource.resource);
        for part in [name, subresource].into_iter().flatten() {
            path.push('/');
            percent::encode_into(part, &mut path);
        }
        path
    }

    fn name_required(name: &str) -> Result<&str> {
        // An empty name would turn a call on one object into a call on all of them.
        if name.is_empty() { Err(Error::Config("resource name may not be empty".into())) } else { Ok(name) }
    }

    fn build(
        method: Method,
        path: String,
        query: Query,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Request<Bytes>> {
        let uri = path + &query.finish();
        let mut request = Request::builder().method(method).uri(&uri).header(ACCEPT, "application/json");
        if let Some((content_type, _)) = &body {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        request
            .body(body.map(|(_, bytes)| Bytes::from(bytes)).unwrap_or_default())
            .map_err(|error| Error::Config(format!("request path {uri:?}: {error}")))
    }

    /// One object as it is shared in process; remote: decoded from the answer.
    ///
    /// # Errors
    /// `Api` (404 when there is none), the transport's, `Decode`.
    pub async fn get_record(&self, name: &str) -> Result<Arc<Record>> {
        let path = self.path(Some(Self::name_required(name)?), None);
        let request = Self::build(Method::GET, path, Query::default(), None)?;
        let mut response = self.client.open(request, true).await?;
        if let Some(Records::One(record)) = response.extensions_mut().remove::<Records>() {
            return Ok(record);
        }
        let bytes = collect(response.into_body(), limits::BODY_MAX).await?;
        let value: Value = serde_json::from_slice(&bytes).map_err(Error::decode(self.resource.to_string()))?;
        record_from_value(value).map(Arc::new)
    }

    /// One page of shared records.
    ///
    /// # Errors
    /// `Api` (410 when the continue token has expired), the transport's, `Decode`.
    pub async fn list_records(&self, params: &ListParams) -> Result<RecordList> {
        let request = Self::build(Method::GET, self.path(None, None), params.query(), None)?;
        let mut response = self.client.open(request, true).await?;
        match response.extensions_mut().remove::<Records>() {
            Some(Records::List { items, revision, continue_token, remaining }) => {
                let items = Arc::unwrap_or_clone(items);
                Ok(RecordList { items, revision, continue_token, remaining })
            }
            _ => {
                let bytes = collect(response.into_body(), limits::BODY_MAX).await?;
                self.records_of_list(&bytes)
            }
        }
    }

    fn records_of_list(&self, bytes: &[u8]) -> Result<RecordList> {
        let list: Envelope<Value> = serde_json::from_slice(bytes).map_err(Error::decode(self.resource.to_string()))?;
        let kind = list.kind.strip_suffix("List").unwrap_or(&list.kind).to_owned();
        let items = list.items.into_iter().map(|mut item| {
            if let Some(fields) = item.as_object_mut() {
                fields.entry("apiVersion").or_insert_with(|| list.api_version.clone().into());
                fields.entry("kind").or_insert_with(|| kind.clone().into());
            }
            record_from_value(item).map(Arc::new)
        });
        Ok(RecordList {
            items: items.collect::<Result<_>>()?,
            revision: list.metadata.resource_version.parse().unwrap_or(0),
            continue_token: list.metadata.continue_token.filter(|token| !token.is_empty()),
            remaining: list.metadata.remaining,
        })
    }

    /// Every page of shared records, all of one revision.
    ///
    /// # Errors
    /// As [`Api::list_records`].
    pub async fn list_all_records(&self, params: &ListParams) -> Result<RecordList> {
        let mut params = ListParams { limit: Some(params.limit.unwrap_or(limits::PAGE_SIZE)), ..params.clone() };
        let mut whole = self.list_records(&params).await?;
        for _ in 0..limits::PAGES_MAX {
            let Some(token) = whole.continue_token.take() else { break };
            params.continue_token = Some(token);
            let page = self.list_records(&params).await?;
            whole.items.extend(page.items);
            whole.continue_token = page.continue_token;
        }
        Ok(whole)
    }

    /// # Errors
    /// `Api` (410 when the revision has been compacted), the transport's. Errors after the start are in the stream.
    pub async fn watch(&self, params: &WatchParams) -> Result<WatchStream> {
        let request = Self::build(Method::GET, self.path(None, None), params.query(), None)?;
        let mut response = self.client.open(request, true).await?;
        if let Some(Records::Watch(slot)) = response.extensions_mut().remove::<Records>()
            && let Some(stream) = slot.take()
        {
            return Ok(watch::of_records(stream));
        }
        Ok(watch::of_body(response.into_body()))
    }

    /// Deletes every object that the list's selectors select.
    ///
    /// # Errors
    /// `Api`, the transport's.
    pub async fn delete_collection(&self, params: &DeleteParams, select: &ListParams) -> Result<()> {
        let body = self.options_body(params)?;
        let request = Self::build(Method::DELETE, self.path(None, None), select.query(), body)?;
        self.client.request_bytes(request).await.map(drop)
    }

    fn options_body(&self, params: &DeleteParams) -> Result<Option<(&'static str, Vec<u8>)>> {
        params
            .body()
            .map(|body| serde_json::to_vec(&body).map(|bytes| (JSON, bytes)).map_err(Error::encode("DeleteOptions")))
            .transpose()
    }

    /// # Errors
    /// `Api`, the transport's, `Decode`.
    pub async fn get_subresource<T: DeserializeOwned>(&self, name: &str, subresource: &str) -> Result<T> {
        let path = self.path(Some(Self::name_required(name)?), Some(subresource));
        self.client.request(Self::build(Method::GET, path, Query::default(), None)?).await
    }

    /// POSTs to a subresource: binding, eviction, token.
    ///
    /// # Errors
    /// `Api`, the transport's, `Encode`, `Decode`.
    pub async fn create_subresource<B: Serialize, T: DeserializeOwned>(
        &self,
        name: &str,
        subresource: &str,
        body: &B,
    ) -> Result<T> {
        self.write_subresource(Method::POST, name, subresource, body).await
    }

    /// PUTs a subresource: scale, approval.
    ///
    /// # Errors
    /// `Api` (409 when stale), the transport's, `Encode`, `Decode`.
    pub async fn update_subresource<B: Serialize, T: DeserializeOwned>(
        &self,
        name: &str,
        subresource: &str,
        body: &B,
    ) -> Result<T> {
        self.write_subresource(Method::PUT, name, subresource, body).await
    }

    async fn write_subresource<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        name: &str,
        subresource: &str,
        body: &B,
    ) -> Result<T> {
        let bytes = serde_json::to_vec(body).map_err(Error::encode(subresource))?;
        let path = self.path(Some(Self::name_required(name)?), Some(subresource));
        self.client.request(Self::build(method, path, Query::default(), Some((JSON, bytes)))?).await
    }
}

impl<K: Serialize + DeserializeOwned> Api<K> {
    /// # Errors
    /// `Api` (404 when there is none), the transport's, `Decode`.
    pub async fn get(&self, name: &str) -> Result<K> {
        let path = self.path(Some(Self::name_required(name)?), None);
        self.client.request(Self::build(Method::GET, path, Query::default(), None)?).await
    }

    /// `None` when there is none.
    ///
    /// # Errors
    /// `Api` other than 404, the transport's, `Decode`.
    pub async fn get_opt(&self, name: &str) -> Result<Option<K>> {
        match self.get(name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One page.
    ///
    /// # Errors
    /// `Api` (410 when the continue token has expired), the transport's, `Decode`.
    pub async fn list(&self, params: &ListParams) -> Result<List<K>> {
        let request = Self::build(Method::GET, self.path(None, None), params.query(), None)?;
        let bytes = self.client.request_bytes(request).await?;
        let what = || Error::decode(self.resource.to_string());
        let list: Envelope<Box<RawValue>> = serde_json::from_slice(&bytes).map_err(what())?;
        let kind = list.kind.strip_suffix("List").unwrap_or(&list.kind);
        let prefix = format!("{{\"apiVersion\":{},\"kind\":{},", Value::from(&*list.api_version), Value::from(kind));
        let items = list.items.iter().map(|item| {
            // Items of a list leave out what the list says; a value tree has nowhere else to take it from.
            let whole = match (self.type_meta, item.get().strip_prefix('{')) {
                (None, Some(rest)) if rest.trim_start() != "}" => {
                    typed::from_slice(format!("{prefix}{rest}").as_bytes())
                }
                _ => typed::from_slice(item.get().as_bytes()),
            };
            whole.map_err(what())
        });
        Ok(List {
            items: items.collect::<Result<_>>()?,
            resource_version: list.metadata.resource_version.clone(),
            continue_token: list.metadata.continue_token.clone().filter(|token| !token.is_empty()),
            remaining: list.metadata.remaining,
        })
    }

    /// Every page, all of one revision.
    ///
    /// # Errors
    /// As [`Api::list`].
    pub async fn list_all(&self, params: &ListParams) -> Result<List<K>> {
        let mut params = ListParams { limit: Some(params.limit.unwrap_or(limits::PAGE_SIZE)), ..params.clone() };
        let mut whole = self.list(&params).await?;
        for _ in 0..limits::PAGES_MAX {
            let Some(token) = whole.continue_token.take() else { break };
            params.continue_token = Some(token);
            let page = self.list(&params).await?;
            whole.items.extend(page.items);
            whole.continue_token = page.continue_token;
        }
        whole.remaining = None;
        Ok(whole)
    }

    /// # Errors
    /// `Api` (409 when it exists, 422 when it is invalid), the transport's, `Encode`, `Decode`.
    pub async fn create(&self, object: &K) -> Result<K> {
        self.create_with(object, &WriteParams::default()).await
    }

    /// # Errors
    /// As [`Api::create`].
    pub async fn create_with(&self, object: &K, params: &WriteParams) -> Result<K> {
        let body = self.encode(object)?;
        self.client.request(Self::build(Method::POST, self.path(None, None), params.query(), Some((JSON, body)))?).await
    }

    /// # Errors
    /// `Api` (409 when its resourceVersion is stale), the transport's, `Encode`, `Decode`.
    pub async fn update(&self, name: &str, object: &K) -> Result<K> {
        self.update_with(name, None, object, &WriteParams::default()).await
    }

    /// # Errors
    /// As [`Api::update`].
    pub async fn update_status(&self, name: &str, object: &K) -> Result<K> {
        self.update_with(name, Some("status"), object, &WriteParams::default()).await
    }

    /// # Errors
    /// As [`Api::update`].
    pub async fn update_with(
        &self,
        name: &str,
        subresource: Option<&str>,
        object: &K,
        params: &WriteParams,
    ) -> Result<K> {
        let path = self.path(Some(Self::name_required(name)?), subresource);
        let body = self.encode(object)?;
        self.client.request(Self::build(Method::PUT, path, params.query(), Some((JSON, body)))?).await
    }

    /// # Errors
    /// `Api`, the transport's, `Encode`, `Decode`.
    pub async fn patch(&self, name: &str, patch: &Patch) -> Result<K> {
        self.patch_with(name, None, patch, &WriteParams::default()).await
    }

    /// # Errors
    /// As [`Api::patch`].
    pub async fn patch_status(&self, name: &str, patch: &Patch) -> Result<K> {
        self.patch_with(name, Some("status"), patch, &WriteParams::default()).await
    }

    /// # Errors
    /// As [`Api::patch`].
    pub async fn patch_with(
        &self,
        name: &str,
        subresource: Option<&str>,
        patch: &Patch,
        params: &WriteParams,
    ) -> Result<K> {
        let path = self.path(Some(Self::name_required(name)?), subresource);
        let body = serde_json::to_vec(patch.body()).map_err(Error::encode("a patch"))?;
        let request = Self::build(Method::PATCH, path, params.query(), Some((patch.content_type(), body)))?;
        self.client.request(request).await
    }

    /// # Errors
    /// `Api` (404 when there is none, 409 when a precondition fails), the transport's, `Decode`.
    pub async fn delete(&self, name: &str, params: &DeleteParams) -> Result<Deleted<K>> {
        let path = self.path(Some(Self::name_required(name)?), None);
        let body = self.options_body(params)?;
        let bytes = self.client.request_bytes(Self::build(Method::DELETE, path, Query::default(), body)?).await?;
        let what = || Error::decode(format!("the answer to a delete of {}", self.resource));
        let answer: TypeMeta = serde_json::from_slice(&bytes).map_err(what())?;
        if answer.kind == "Status" && answer.api_version == "v1" {
            serde_json::from_slice(&bytes).map(|status| Deleted::Gone(Box::new(status))).map_err(what())
        } else {
            serde_json::from_slice(&bytes).map(|object| Deleted::Object(Box::new(object))).map_err(what())
        }
    }

    fn encode(&self, object: &K) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec(object).map_err(Error::encode(self.resource.to_string()))?;
        match self.type_meta {
            Some((api_version, kind)) if !bytes.starts_with(b"{\"apiVersion\":") => {
                let mut whole = format!("{{\"apiVersion\":\"{api_version}\",\"kind\":\"{kind}\"").into_bytes();
                if bytes.len() > 2 {
                    whole.push(b',');
                }
                whole.extend_from_slice(&bytes[1..]);
                Ok(whole)
            }
            _ => Ok(bytes),
        }
    }
}

const JSON: &str = "application/json";

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<T> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: ListMeta,
    /// Go writes an empty list as `null`.
    #[serde(
        default = "Vec::new",
        deserialize_with = "null_as_empty",
        bound(deserialize = "T: serde::Deserialize<'de>")
    )]
    items: Vec<T>,
}

fn null_as_empty<'de, D: serde::Deserializer<'de>, T: serde::Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<T>, D::Error> {
    <Option<Vec<T>> as serde::Deserialize>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: Option<String>,
    #[serde(rename = "remainingItemCount")]
    remaining: Option<u64>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct TypeMeta {
    api_version: String,
    kind: String,
}
