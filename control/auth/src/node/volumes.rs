//! Secrets that volumes name, for the nodes whose pods use the volumes' claims (k8s.io/kubernetes'
//! `VisitPVSecretNames`, as far as nodes see).

use sampan_api::Record;
use serde::Deserialize;

/// Name of the informer's index over [`edges`].
pub(super) const EDGES: &str = "claims and secrets of volumes";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Volume {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    claim_ref: Option<Reference>,
    azure_file: Option<Source>,
    cephfs: Option<Source>,
    cinder: Option<Source>,
    flex_volume: Option<Source>,
    rbd: Option<Source>,
    #[serde(rename = "scaleIO")]
    scale_io: Option<Source>,
    iscsi: Option<Source>,
    storageos: Option<Source>,
    csi: Option<Source>,
}

/// What any source of a volume has to name a secret.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Source {
    secret_name: Option<String>,
    secret_namespace: Option<String>,
    secret_ref: Option<Reference>,
    node_publish_secret_ref: Option<Reference>,
    node_stage_secret_ref: Option<Reference>,
    node_expand_secret_ref: Option<Reference>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    namespace: Option<String>,
    name: Option<String>,
}

impl Reference {
    fn parts(&self) -> [&str; 2] {
        [&self.namespace, &self.name].map(|one| one.as_deref().unwrap_or_default())
    }
}

impl Spec {
    /// Namespace and name of each secret. `claim`: the namespace of the volume's claim.
    fn secrets(&self, claim: &str) -> Vec<(String, String)> {
        let mut secrets: Vec<[&str; 2]> = Vec::new();
        if let Some(azure) = &self.azure_file {
            secrets.push([
                azure.secret_namespace.as_deref().unwrap_or_default(),
                azure.secret_name.as_deref().unwrap_or_default(),
            ]);
        }
        let by_claim = [&self.cephfs, &self.flex_volume, &self.rbd, &self.scale_io, &self.iscsi];
        secrets.extend(by_claim.into_iter().flatten().filter_map(|one| one.secret_ref.as_ref()).map(Reference::parts));
        for secret in &mut secrets {
            if secret[0].is_empty() {
                secret[0] = claim;
            }
        }
        let own = [&self.cinder, &self.storageos].into_iter().flatten().map(|one| &one.secret_ref);
        let csi = self
            .csi
            .iter()
            .flat_map(|csi| [&csi.node_publish_secret_ref, &csi.node_stage_secret_ref, &csi.node_expand_secret_ref]);
        secrets.extend(own.chain(csi).flatten().map(Reference::parts));
        secrets.retain(|[_, name]| !name.is_empty());
        secrets.into_iter().map(|[namespace, name]| (namespace.to_owned(), name.to_owned())).collect()
    }
}

/// Says that a volume of that claim names that secret.
pub(super) fn edge(claim: [&str; 2], secret: [&str; 2]) -> String {
    // Names have no slash in them.
    [claim[0], claim[1], secret[0], secret[1]].join("/")
}

/// All that a volume says in this way. One that cannot be read says nothing.
pub(super) fn edges(volume: &Record) -> Vec<String> {
    let Ok(Volume { spec }) = serde_json::from_slice(&volume.json) else { return Vec::new() };
    let Some(claim) =
        spec.claim_ref.as_ref().map(Reference::parts).filter(|claim| claim.iter().all(|one| !one.is_empty()))
    else {
        return Vec::new();
    };
    let secrets = spec.secrets(claim[0]);
    secrets.iter().map(|(namespace, name)| edge(claim, [namespace, name])).collect()
}

/// Namespace and name of a volume's claim; both may be empty.
pub(super) fn claim(volume: &Record) -> Result<[String; 2], serde_json::Error> {
    let volume: Volume = serde_json::from_slice(&volume.json)?;
    let claim = volume.spec.claim_ref.unwrap_or_default();
    Ok([claim.namespace, claim.name].map(Option::unwrap_or_default))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn volumes_name_secrets_in_many_ways() {
        let check = |source: &str, value: Value, expected: &[&str]| {
            let mut spec: Spec = serde_json::from_value(json!({source: value})).expect("a spec");
            spec.claim_ref = Some(Reference { namespace: Some("of-claim".into()), name: Some("c".into()) });
            let secrets: Vec<String> =
                spec.secrets("of-claim").iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
            assert_eq!(secrets, expected, "{source}");
        };
        let reference = json!({"secretRef": {"namespace": "own", "name": "s"}});
        let nameless = json!({"secretRef": {"name": "s"}});
        for source in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi"] {
            check(source, reference.clone(), &["own/s"]);
            check(source, nameless.clone(), &["of-claim/s"]);
            check(source, json!({"secretRef": null}), &[]);
        }
        for source in ["cinder", "storageos"] {
            check(source, reference.clone(), &["own/s"]);
            check(source, nameless.clone(), &["/s"]);
        }
        check("azureFile", json!({"secretName": "s", "secretNamespace": "own"}), &["own/s"]);
        check("azureFile", json!({"secretName": "s", "secretNamespace": ""}), &["of-claim/s"]);
        check("azureFile", json!({"secretName": "s"}), &["of-claim/s"]);
        let csi = |name: &str| json!({name: {"namespace": "own", "name": "s"}, "volumeHandle": "v"});
        for name in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
            check("csi", csi(name), &["own/s"]);
        }
        for name in ["controllerPublishSecretRef", "controllerExpandSecretRef", "secretRef"] {
            check("csi", csi(name), &[]);
        }
        check("nfs", reference, &[]);
    }
}
