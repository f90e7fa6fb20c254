//! The resources that the server serves: aggregated discovery, and the older lists where a server has only those.

use crate::Result;
use crate::body::collect;
use crate::client::Client;
use crate::error::Error;
use crate::limits;
use bytes::Bytes;
use http::Request;
use http::header::ACCEPT;
use sampan_api::{GroupVersion, GroupVersionKind, GroupVersionResource};
use serde::Deserialize;
use std::collections::HashSet;

/// One resource of one version. Subresources are not in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiResource {
    pub resource: GroupVersionResource,
    pub kind: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    /// Names of its subresources, without the resource's own.
    pub subresources: Vec<String>,
}

impl ApiResource {
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|one| one == verb)
    }

    pub fn gvk(&self) -> GroupVersionKind {
        self.resource.group_version().with_kind(self.kind.clone())
    }
}

/// Every resource, groups and versions in the server's order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    pub resources: Vec<ApiResource>,
    /// Group versions of other servers, which did not say now what they serve.
    pub stale: Vec<GroupVersion>,
}

impl Discovery {
    /// What is not known, in client-go's words (`ErrGroupDiscoveryFailed`); `None`: all is known.
    pub fn failure(&self) -> Option<String> {
        let stale = |gv: &GroupVersion| format!("{0}: stale GroupVersion discovery: {0}", gv.api_version());
        let all: Vec<String> = self.stale.iter().map(stale).collect();
        (!all.is_empty()).then(|| format!("unable to retrieve the complete list of server APIs: {}", all.join(", ")))
    }

    /// The resource of exactly this version's kind.
    pub fn by_kind(&self, gvk: &GroupVersionKind) -> Option<&ApiResource> {
        self.resources
            .iter()
            .find(|one| one.kind == gvk.kind && one.resource.group == gvk.group && one.resource.version == gvk.version)
    }

    /// The most preferred resource of that plural, singular or short name, perhaps with `.version.group` or `.group`.
    pub fn by_name(&self, name: &str) -> Option<&ApiResource> {
        let name = name.to_lowercase();
        let is = |one: &&ApiResource, text: &str| {
            one.resource.resource == text || one.singular == text || one.short_names.iter().any(|short| short == text)
        };
        self.resources.iter().find(|one| is(one, &name)).or_else(|| {
            let (name, rest) = name.split_once('.')?;
            let exactly = rest.split_once('.').and_then(|(version, group)| {
                let of = |one: &&ApiResource| one.resource.version == version && one.resource.group == group;
                self.resources.iter().find(|one| of(one) && is(one, name))
            });
            exactly.or_else(|| self.resources.iter().find(|one| one.resource.group == rest && is(one, name)))
        })
    }

    /// Each resource once, in the most preferred version of its group.
    pub fn preferred(&self) -> impl Iterator<Item = &ApiResource> {
        let mut seen = HashSet::new();
        self.resources.iter().filter(move |one| seen.insert((&one.resource.group, &one.resource.resource)))
    }
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

impl Client {
    /// Asks what the server serves.
    ///
    /// # Errors
    /// `Api`, the transport's, `Decode`.
    pub async fn discover(&self) -> Result<Discovery> {
        let mut found = Discovery::default();
        for path in ["/api", "/apis"] {
            let request = Request::get(path).header(ACCEPT, AGGREGATED).body(Bytes::new());
            let request = request.map_err(|error| Error::Config(error.to_string()))?;
            let body = collect(self.stream(request).await?, limits::BODY_MAX).await?;
            let list: GroupList = serde_json::from_slice(&body).map_err(Error::decode(path))?;
            if list.kind == "APIGroupDiscoveryList" {
                for group in &list.items {
                    let stale = group.versions.iter().filter(|version| version.freshness == "Stale");
                    let name =
                        |version: &Version| GroupVersion::new(group.metadata.name.clone(), version.version.clone());
                    found.stale.extend(stale.map(name));
                }
                found.resources.extend(list.items.into_iter().flat_map(Group::resources));
            } else {
                self.discover_old(path, list, &mut found).await?;
            }
        }
        Ok(found)
    }

    async fn discover_old(&self, path: &str, list: GroupList, found: &mut Discovery) -> Result<()> {
        let core = list.versions.into_iter().map(|version| (String::new(), version));
        let groups = list
            .groups
            .into_iter()
            .flat_map(|group| group.versions.into_iter().map(move |version| (group.name.clone(), version.version)));
        for (group, version) in core.chain(groups) {
            let path = if group.is_empty() { format!("{path}/{version}") } else { format!("{path}/{group}/{version}") };
            let request = Request::get(&path).header(ACCEPT, "application/json").body(Bytes::new());
            let list: OldList = self.request(request.map_err(|error| Error::Config(error.to_string()))?).await?;
            let (subresources, resources): (Vec<_>, Vec<_>) =
                list.resources.into_iter().partition(|one| one.name.contains('/'));
            for one in resources {
                let own = |sub: &OldResource| Some(sub.name.strip_prefix(&one.name)?.strip_prefix('/')?.to_owned());
                let subresources = subresources.iter().filter_map(own).collect();
                found.resources.push(ApiResource {
                    resource: GroupVersionResource::new(group.clone(), version.clone(), one.name),
                    kind: one.kind,
                    singular: one.singular_name,
                    short_names: one.short_names,
                    categories: one.categories,
                    namespaced: one.namespaced,
                    verbs: one.verbs,
                    subresources,
                });
            }
        }
        Ok(())
    }

    /// The answer of `/version`.
    ///
    /// # Errors
    /// `Api`, the transport's, `Decode`.
    pub async fn version(&self) -> Result<serde_json::Value> {
        let request = Request::get("/version").header(ACCEPT, "application/json").body(Bytes::new());
        self.request(request.map_err(|error| Error::Config(error.to_string()))?).await
    }
}

#[derive(Deserialize)]
struct GroupList {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
    /// `/api`'s older form.
    #[serde(default)]
    versions: Vec<String>,
    /// `/apis`' older form.
    #[serde(default)]
    groups: Vec<OldGroup>,
}

#[derive(Deserialize)]
struct OldGroup {
    name: String,
    versions: Vec<OldVersion>,
}

#[derive(Deserialize)]
struct OldVersion {
    version: String,
}

#[derive(Deserialize)]
struct OldList {
    resources: Vec<OldResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldResource {
    name: String,
    kind: String,
    #[serde(default)]
    singular_name: String,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: GroupMeta,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct GroupMeta {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    freshness: String,
    #[serde(default)]
    resources: Vec<Described>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    resource: String,
    response_kind: ResponseKind,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    subresources: Vec<DescribedSubresource>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct DescribedSubresource {
    subresource: String,
}

impl Group {
    fn resources(self) -> impl Iterator<Item = ApiResource> {
        let group = self.metadata.name;
        self.versions.into_iter().flat_map(move |version| {
            let group = group.clone();
            version.resources.into_iter().map(move |one| ApiResource {
                resource: GroupVersionResource::new(group.clone(), version.version.clone(), one.resource),
                kind: one.response_kind.kind,
                singular: one.singular_resource,
                short_names: one.short_names,
                categories: one.categories,
                namespaced: one.scope == "Namespaced",
                verbs: one.verbs,
                subresources: one.subresources.into_iter().map(|sub| sub.subresource).collect(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_several_names() {
        let resource = |group: &str, version: &str, plural: &str, singular: &str, short: &str| ApiResource {
            resource: GroupVersionResource::new(group, version, plural),
            kind: String::new(),
            singular: singular.into(),
            short_names: vec![short.into()],
            categories: Vec::new(),
            namespaced: true,
            verbs: Vec::new(),
            subresources: Vec::new(),
        };
        let resources = vec![
            resource("", "v1", "pods", "pod", "po"),
            resource("apps", "v1", "deployments", "deployment", "deploy"),
            resource("autoscaling", "v2", "scalers", "scaler", "sc"),
            resource("autoscaling", "v1", "scalers", "scaler", "sc"),
            resource("example.io", "v1", "pods", "pod", "po"),
        ];
        let discovery = Discovery { resources, stale: Vec::new() };
        let check = |name: &str, expected: Option<&str>| {
            let found = discovery.by_name(name).map(|one| one.resource.group_version().api_version());
            assert_eq!(found.as_deref(), expected, "{name}");
        };
        check("po", Some("v1"));
        check("Deployment", Some("apps/v1"));
        check("deploy.apps", Some("apps/v1"));
        check("deployments.v1.apps", Some("apps/v1"));
        check("deployments.v2.apps", None);
        check("scalers", Some("autoscaling/v2"));
        check("scalers.v1.autoscaling", Some("autoscaling/v1"));
        check("pods.example.io", Some("example.io/v1"));
        check("pods.v1.example.io", Some("example.io/v1"));
        check("pods.v1.", Some("v1"));
    }
}
