//! Projected volumes: which of them this node serves, and those that it has made.

use bytes::Bytes;
use parking_lot::Mutex;
use sampan_api::k8s::api::core::v1::{Container, Pod, Volume, VolumeProjection};
use sampan_wasm_runtime as wasm;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

/// Whether this node serves the volume: projected, of tokens, ConfigMaps and fields of the pod, with no folders in it.
pub(crate) fn is_served(volume: &Volume) -> bool {
    let Some(projected) = &volume.projected else { return false };
    projected.sources.iter().flatten().all(is_source_served)
}

fn is_source_served(source: &VolumeProjection) -> bool {
    if source.secret.is_some() || source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some() {
        return false;
    }
    let is_file = |path: &str| !path.is_empty() && !path.contains('/') && path != "." && path != "..";
    let token = source.service_account_token.iter().all(|token| is_file(&token.path));
    let map = source.config_map.iter().flat_map(|map| map.items.iter().flatten()).all(|item| is_file(&item.path));
    let downward = source.downward_api.iter().flat_map(|of| of.items.iter().flatten());
    token && map && downward.into_iter().all(|item| is_file(&item.path) && item.field_ref.is_some())
}

/// What a container asks of its mounts that this node does not serve. `field`: of the container.
pub(crate) fn unserved_mounts(container: &Container, volumes: &[Volume], field: &str) -> Vec<String> {
    let mut fields = Vec::new();
    for (i, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let at = format!("{field}.volumeMounts[{i}]");
        let volume = volumes.iter().find(|volume| volume.name == mount.name);
        if !volume.is_some_and(is_served) {
            fields.push(at);
        } else if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
            fields.push(format!("{at}.subPath"));
        } else if mount.recursive_read_only.as_deref().is_some_and(|how| how == "Enabled") {
            fields.push(format!("{at}.recursiveReadOnly"));
        }
    }
    fields
}

/// The volumes of all pods of this node that were made.
#[derive(Default)]
pub struct Volumes {
    pods: Mutex<HashMap<String, PodVolumes>>,
    /// The last CA that a volume got: it is the same in all of them, and kept once.
    ca: Mutex<Bytes>,
}

struct PodVolumes {
    pod: Arc<Pod>,
    ip: Ipv4Addr,
    by_name: BTreeMap<String, Made>,
}

/// A volume that guests may have.
#[derive(Clone)]
struct Made {
    volume: Arc<wasm::Volume>,
    /// When its tokens are to be renewed.
    renew_at: Option<SystemTime>,
}

/// The reason why a volume could not be made. It may be made later.
#[derive(Debug)]
pub(crate) struct NotMounted {
    pub(crate) volume: String,
    pub(crate) why: String,
}

/// What a volume is to hold, and until when.
pub(crate) struct Loaded {
    pub(crate) files: BTreeMap<String, Bytes>,
    pub(crate) renew_at: Option<SystemTime>,
}

impl Volumes {
    pub(crate) fn get(&self, uid: &str, name: &str) -> Option<Arc<wasm::Volume>> {
        Some(self.pods.lock().get(uid)?.by_name.get(name)?.volume.clone())
    }

    /// Keeps a volume. Where another container of the pod was first, its volume counts.
    pub(crate) fn insert(
        &self,
        uid: &str,
        pod: &Arc<Pod>,
        ip: Ipv4Addr,
        name: &str,
        loaded: Loaded,
    ) -> Arc<wasm::Volume> {
        let mut pods = self.pods.lock();
        let of_pod = || PodVolumes { pod: pod.clone(), ip, by_name: BTreeMap::new() };
        let volumes = pods.entry(uid.to_owned()).or_insert_with(of_pod);
        let new = || Made { volume: Arc::new(wasm::Volume::new(loaded.files)), renew_at: loaded.renew_at };
        volumes.by_name.entry(name.to_owned()).or_insert_with(new).volume.clone()
    }

    /// The pod is gone.
    pub(crate) fn remove(&self, uid: &str) {
        self.pods.lock().remove(uid);
    }

    /// Those whose tokens are to be renewed.
    pub(crate) fn due(&self, now: SystemTime) -> Vec<(String, Arc<Pod>, Ipv4Addr, String)> {
        let pods = self.pods.lock();
        let of_pod = |(uid, volumes): (&String, &PodVolumes)| {
            let due = volumes.by_name.iter().filter(|(_, made)| made.renew_at.is_some_and(|at| at <= now));
            let (uid, pod, ip) = (uid.clone(), volumes.pod.clone(), volumes.ip);
            due.map(|(name, _)| (uid.clone(), pod.clone(), ip, name.clone())).collect::<Vec<_>>()
        };
        pods.iter().flat_map(of_pod).collect()
    }

    pub(crate) fn renew(&self, uid: &str, name: &str, loaded: Loaded) {
        let mut pods = self.pods.lock();
        let Some(made) = pods.get_mut(uid).and_then(|volumes| volumes.by_name.get_mut(name)) else { return };
        made.renew_at = loaded.renew_at;
        made.volume.replace(loaded.files);
    }

    /// The bytes, or the same ones that another volume has already.
    pub(crate) fn shared(&self, bytes: Bytes) -> Bytes {
        let mut ca = self.ca.lock();
        if *ca != bytes {
            *ca = bytes;
        }
        ca.clone()
    }
}
