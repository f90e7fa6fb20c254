//! The report of `sampan up` when everything is there: the running pods of the applied objects, their addresses, and
//! commands to try next. It is as long for a cluster of many thousand pods as for a small one.

use crate::cluster::Cluster;
use crate::context::ClusterContext;
use sampan_api::k8s::api::apps::v1::Deployment;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::{LabelSelector, Object, Path};
use sampan_cli::apply::Applied;
use sampan_client::{Client, ListParams, kubeconfig};
use std::collections::BTreeMap;
use std::fmt;

/// Objects, or pods, that are shown one by one.
pub const SHOWN_MAX: usize = 10;

/// Numbers of applied objects, by kind and outcome.
#[derive(Debug, Default)]
pub struct Counts(BTreeMap<(String, &'static str), usize>);

impl Counts {
    /// Counts an object that was applied.
    pub fn add(&mut self, kind: &str, applied: Applied) {
        *self.0.entry((kind.to_lowercase(), applied.as_str())).or_default() += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.0.iter().map(|((kind, outcome), count)| format!("{count} {kind} {outcome}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// Pods that are shown.
#[derive(Default)]
struct Pods {
    shown: Vec<Pod>,
    /// Number of pods, those that are not shown among them; of a list by selector only those that are shown count.
    all: usize,
}

impl Pods {
    /// As many as are still to be shown of a list, and its length.
    async fn add(&mut self, admin: &Client, namespace: Option<&str>, params: ListParams) -> anyhow::Result<()> {
        let api = namespace.map_or_else(|| admin.all::<Pod>(), |namespace| admin.namespaced::<Pod>(namespace));
        let limit = u32::try_from((SHOWN_MAX - self.shown.len()).max(1)).ok();
        let page = api.list(&ListParams { limit, ..params }).await?;
        let rest = page.remaining.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        self.all += page.items.len() + rest;
        let room = SHOWN_MAX - self.shown.len();
        self.shown.extend(page.items.into_iter().take(room));
        Ok(())
    }
}

/// The pods that belong to what was applied.
async fn pods_of(admin: &Client, objects: &[Object]) -> anyhow::Result<Pods> {
    let mut pods = Pods::default();
    for object in objects.iter().take(SHOWN_MAX) {
        let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        let params = match (object.kind(), object.get(&["spec", "selector"])) {
            ("Pod", _) => {
                let field_selector = Some(format!("metadata.name={}", object.name()));
                ListParams { field_selector, ..ListParams::default() }
            }
            (_, Some(selector)) if object.get(&["spec", "template"]).is_some() => {
                let Ok(selector) = LabelSelector::from_v1(selector, &Path::root()) else { continue };
                ListParams { label_selector: Some(selector.to_string()), ..ListParams::default() }
            }
            _ => continue,
        };
        pods.add(admin, Some(namespace), params).await?;
    }
    Ok(pods)
}

/// The name of a Deployment that was applied, and not refused.
async fn deployment_of(admin: &Client, objects: &[Object]) -> anyhow::Result<Option<String>> {
    for object in objects.iter().filter(|object| object.kind() == "Deployment").take(SHOWN_MAX) {
        let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        if admin.namespaced::<Deployment>(namespace).get_opt(object.name()).await?.is_some() {
            return Ok(Some(object.name().to_owned()));
        }
    }
    Ok(None)
}

fn address_of(pod: &Pod) -> String {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default();
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let port = containers.flat_map(|container| container.ports.iter().flatten()).map(|port| port.container_port).next();
    match port {
        Some(port) if !ip.is_empty() => format!("http://{ip}:{port}/"),
        _ => ip,
    }
}

fn line_of(pod: &Pod) -> String {
    let metadata = &pod.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let name = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
    format!("  pod         {name}  {phase}  {}\n", address_of(pod))
}

/// Whether clients read that kubeconfig without being told of it.
fn is_looked_at(file: &std::path::Path) -> bool {
    let variable = |name: &str| std::env::var_os(name);
    let home = variable("HOME").map(std::path::PathBuf::from);
    let looked_at = kubeconfig::paths(variable("KUBECONFIG").as_deref(), home.as_deref());
    looked_at.is_ok_and(|files| files.iter().any(|one| one == file))
}

/// The whole text.
pub async fn up(
    admin: &Client,
    cluster: &Cluster,
    context: &ClusterContext,
    objects: &[Object],
) -> anyhow::Result<String> {
    let ClusterContext { name, merged, .. } = context;
    let mut text = format!("\nSampan is up at {}\n", cluster.server_url());
    let before = merged.previous_context.as_ref().map(|previous| format!("; before it was {previous}"));
    let file = merged.file.display();
    text.push_str(&format!("  kubeconfig  {file} (context {name}{})\n", before.unwrap_or_default()));
    text.push_str(&format!("  data        {}\n", cluster.data_dir.root.display()));
    let addresses = &cluster.addresses;
    let pod_block = addresses.pods().map(|block| format!("pods {block}, ")).unwrap_or_default();
    text.push_str(&format!("  addresses   {pod_block}Services {}\n", addresses.services()));
    let mut all = Pods::default();
    all.add(admin, None, ListParams::default()).await?;
    let applied = pods_of(admin, objects).await?;
    let pods = if objects.is_empty() { &all } else { &applied };
    pods.shown.iter().for_each(|pod| text.push_str(&line_of(pod)));
    if all.all > pods.shown.len() {
        let others = all.all - pods.shown.len();
        let pods = if others == 1 { "pod" } else { "pods" };
        text.push_str(&format!("  and {others} more {pods}: kubectl get pods -A\n"));
    }
    text.push_str("\nTry next, in another terminal:\n");
    if !is_looked_at(&merged.file) {
        text.push_str(&format!("  export KUBECONFIG={file}\n"));
    }
    if let Some(address) = pods.shown.iter().map(address_of).find(|address| address.starts_with("http")) {
        text.push_str(&format!("  curl {address}\n"));
    }
    text.push_str("  kubectl get pods -o wide\n");
    if let Some(name) = deployment_of(admin, objects).await? {
        text.push_str(&format!("  kubectl scale deployment {name} --replicas=20\n"));
    }
    if let Some(pod) = pods.shown.first().and_then(|pod| pod.metadata.name.as_deref()) {
        text.push_str(&format!("  sampan explain pod {pod}\n"));
    }
    text.push_str("\nCtrl-C ends it and takes the context away; the next `sampan up` finds everything as it was.\n");
    Ok(text)
}
