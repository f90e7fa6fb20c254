//! Projected volumes: tokens of the pod's service account, ConfigMaps and facts about the pod, as read-only files in
//! memory. Every pod has one of them, which admission gives it. Tokens are renewed before they end.

use crate::environment::field_of;
use crate::limits::{
    TOKEN_RENEWAL_AGE_MAX, TOKEN_RENEWAL_JITTER, TOKEN_RENEWAL_PERIOD, TOKENS_RENEWED_AT_ONCE, VOLUME_BYTES_MAX,
    VOLUME_FILES_MAX,
};
use crate::projected::{Loaded, NotMounted};
use crate::worker::Shared;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use sampan_api::k8s::api::core::v1::{
    ConfigMap, ConfigMapProjection, Container, Pod, ServiceAccount, ServiceAccountTokenProjection, Volume,
};
use sampan_api::time::earlier;
use sampan_wasm_runtime as wasm;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The directories of a container. Its volumes are made where they are not yet.
pub(crate) async fn mount(
    shared: &Shared,
    pod: &Arc<Pod>,
    container: &Container,
    ip: Ipv4Addr,
) -> Result<Vec<wasm::Mount>, NotMounted> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        let Some(spec) = volumes.iter().find(|volume| volume.name == mount.name) else { continue };
        let known = shared.volumes.get(&uid, &mount.name);
        let volume = match known {
            Some(volume) => volume,
            None => {
                let loaded = load(shared, pod, spec, ip).await;
                let loaded = loaded.map_err(|why| NotMounted { volume: mount.name.clone(), why })?;
                shared.volumes.insert(&uid, pod, ip, &mount.name, loaded)
            }
        };
        mounts.push(wasm::Mount { path: mount.mount_path.as_str().into(), volume });
    }
    Ok(mounts)
}

/// Renews tokens for as long as the node lives.
pub(crate) async fn keep_fresh(shared: Arc<Shared>) {
    loop {
        shared.env.sleep(TOKEN_RENEWAL_PERIOD).await;
        let due = shared.volumes.due(shared.env.now());
        let shared = &shared;
        stream::iter(due)
            .for_each_concurrent(TOKENS_RENEWED_AT_ONCE, |(uid, pod, ip, name)| async move {
                let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
                let Some(spec) = volumes.iter().find(|volume| volume.name == name) else { return };
                match load(shared, &pod, spec, ip).await {
                    Ok(loaded) => shared.volumes.renew(&uid, &name, loaded),
                    // The old one holds for a while yet, and this is tried again.
                    Err(error) => tracing::warn!(pod = %uid, volume = %name, %error, "a token could not be renewed"),
                }
            })
            .await;
    }
}

async fn load(shared: &Shared, pod: &Pod, volume: &Volume, ip: Ipv4Addr) -> Result<Loaded, String> {
    let mut loaded = Loaded { files: BTreeMap::new(), renew_at: None };
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_deref()).unwrap_or_default();
    for source in sources {
        if let Some(projection) = &source.service_account_token {
            let (token, renew_at) = token(shared, pod, projection).await?;
            loaded.files.insert(projection.path.clone(), token);
            loaded.renew_at = Some(loaded.renew_at.map_or(renew_at, |at| at.min(renew_at)));
        }
        if let Some(projection) = &source.config_map {
            config_map(shared, pod, projection, &mut loaded.files).await?;
        }
        for item in source.downward_api.iter().flat_map(|of| of.items.iter().flatten()) {
            let Some(field) = &item.field_ref else { continue };
            let text = field_of(pod, &field.field_path, ip, &shared.host_ip)?;
            loaded.files.insert(item.path.clone(), text.into());
        }
    }
    let bytes: usize = loaded.files.iter().map(|(name, file)| name.len().saturating_add(file.len())).sum();
    if loaded.files.len() > VOLUME_FILES_MAX || bytes > VOLUME_BYTES_MAX {
        return Err(format!("this node gives a volume at most {VOLUME_FILES_MAX} files and {VOLUME_BYTES_MAX} bytes"));
    }
    Ok(loaded)
}

/// A token that is bound to the pod, and when it is to be renewed: at four fifths of its time, and after a day.
async fn token(
    shared: &Shared,
    pod: &Pod,
    projection: &ServiceAccountTokenProjection,
) -> Result<(Bytes, SystemTime), String> {
    let metadata = &pod.metadata;
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let seconds = projection.expiration_seconds.unwrap_or(3600);
    let audiences: Vec<&str> = projection.audience.as_deref().filter(|one| !one.is_empty()).into_iter().collect();
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid},
        },
    });
    let asked_at = shared.env.now();
    let api = shared.client.namespaced::<ServiceAccount>(metadata.namespace.as_deref().unwrap_or_default());
    let answer: Value = api
        .create_subresource(account, "token", &request)
        .await
        .map_err(|error| format!("failed to fetch token: {error}"))?;
    let token = answer["status"]["token"].as_str().ok_or("failed to fetch token: there is none in the answer")?;
    // What was asked for may have been shortened.
    let lifetime = Duration::from_secs(answer["spec"]["expirationSeconds"].as_u64().unwrap_or(seconds.unsigned_abs()));
    let age = (lifetime.saturating_mul(4) / 5).min(TOKEN_RENEWAL_AGE_MAX);
    let jitter = TOKEN_RENEWAL_JITTER.mul_f64((shared.env.random_u64() >> 11) as f64 / (1u64 << 53) as f64);
    let renew_at = earlier(sampan_api::time::later(asked_at, age), jitter);
    Ok((Bytes::copy_from_slice(token.as_bytes()), renew_at))
}

async fn config_map(
    shared: &Shared,
    pod: &Pod,
    projection: &ConfigMapProjection,
    files: &mut BTreeMap<String, Bytes>,
) -> Result<(), String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let (name, optional) = (projection.name.as_str(), projection.optional == Some(true));
    let map = shared.client.namespaced::<ConfigMap>(namespace).get_opt(name).await;
    let Some(map) = map.map_err(|error| error.to_string())? else {
        return if optional { Ok(()) } else { Err(format!("configmap {name:?} not found")) };
    };
    let held = |key: &str| -> Option<Bytes> {
        let text = map.data.as_ref().and_then(|data| data.get(key)).map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let binary = || map.binary_data.as_ref().and_then(|data| data.get(key)).map(|of| Bytes::copy_from_slice(&of.0));
        text.or_else(binary)
    };
    let keys = map.data.iter().flat_map(|data| data.keys()).chain(map.binary_data.iter().flat_map(|data| data.keys()));
    let all: Vec<(&str, &str)> = match projection.items.as_deref() {
        None | Some([]) => keys.map(|key| (key.as_str(), key.as_str())).collect(),
        Some(items) => items.iter().map(|item| (item.key.as_str(), item.path.as_str())).collect(),
    };
    for (key, path) in all {
        match held(key) {
            Some(bytes) if key == "ca.crt" => drop(files.insert(path.to_owned(), shared.volumes.shared(bytes))),
            Some(bytes) => drop(files.insert(path.to_owned(), bytes)),
            None if optional => {}
            None => return Err(format!("references non-existent config key: {key}")),
        }
    }
    Ok(())
}
