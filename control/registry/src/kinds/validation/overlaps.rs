//! Files of a volume that would be written over each other, told as warnings.

use super::At;
use sampan_api::limits::WARNINGS_MAX;
use std::collections::BTreeMap;

/// Longer paths no file system takes (Linux' PATH_MAX): they are not compared.
const PATH_MAX: usize = 4096;

/// Warns of volumes whose files overlap.
pub(super) fn volumes(list: At<'_>, warnings: &mut Vec<String>) {
    for volume in list.items() {
        if warnings.len() >= WARNINGS_MAX {
            return;
        }
        let name = volume.get("name");
        for (field, what, called) in
            [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("downwardAPI", "DownwardAPI", "")]
        {
            let source = volume.get(field);
            let described = match called {
                "" => what.to_owned(),
                called => format!("{what} {:?}", source.get(called).text()),
            };
            let mut seen = Files::default();
            for item in source.get("items").items() {
                seen.add(item.get("path").text(), "", |overlap| tell(name.text(), &described, overlap, warnings));
            }
        }
        projected(name.text(), volume.get("projected"), warnings);
    }
}

fn tell(volume: &str, described: &str, overlap: &str, warnings: &mut Vec<String>) {
    warnings.push(format!("volume {volume:?} ({described}): overlapping paths: {overlap}"));
}

fn projected(volume: &str, at: At<'_>, warnings: &mut Vec<String>) {
    let mut seen = Files::default();
    for source in at.get("sources").items() {
        if source.is_empty() {
            warnings.push(format!("volume {volume:?} (Projected) has no sources provided"));
        }
        let mut add = |path: &str, source: &str| {
            seen.add(path, source, |overlap| tell(volume, "Projected", overlap, warnings));
        };
        for (field, what) in [("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")] {
            let from = source.get(field);
            let named = format!("{what} {:?}", from.get("name").text());
            let named = if field == "downwardAPI" { what } else { &named };
            from.get("items").items().for_each(|item| add(item.get("path").text(), named));
        }
        let token = source.get("serviceAccountToken");
        if token.is_set() {
            add(token.get("path").text(), "ServiceAccountToken");
        }
        let bundle = source.get("clusterTrustBundle");
        if bundle.is_set() {
            let name = if bundle.get("name").is_set() { bundle.get("name") } else { bundle.get("signerName") };
            add(bundle.get("path").text(), &format!("ClusterTrustBundle {:?}", name.text()));
        }
        let certificate = source.get("podCertificate");
        for (field, what) in [
            ("certificateChainPath", "PodCertificate chain"),
            ("keyPath", "PodCertificate key"),
            ("credentialBundlePath", "PodCertificate credential bundle"),
        ] {
            add(certificate.get(field).text(), what);
        }
    }
}

/// Paths that were seen, each with a slash at its end, and where they came from.
#[derive(Default)]
struct Files {
    by_path: BTreeMap<String, Vec<usize>>,
    shown: Vec<String>,
}

impl Files {
    fn add(&mut self, path: &str, source: &str, mut overlap: impl FnMut(&str)) {
        let path = path.trim_end_matches('/');
        if path.is_empty() || path.len() > PATH_MAX {
            return;
        }
        let shown = if source.is_empty() { format!("{path:?}") } else { format!("{path:?} ({source})") };
        let key = format!("{path}/");
        // What lies in it, and what it lies in.
        let within = self.by_path.range(key.clone()..).take_while(|(other, _)| other.starts_with(&key));
        let mut found: Vec<usize> = within.flat_map(|(_, places)| places.iter().copied()).take(WARNINGS_MAX).collect();
        for (end, _) in path.match_indices('/') {
            let above = self.by_path.get(&key[..=end]).into_iter().flatten().copied();
            found.extend(above.take(WARNINGS_MAX));
        }
        found.sort_unstable();
        for other in found.into_iter().take(WARNINGS_MAX) {
            overlap(&format!("{shown} with {}", self.shown[other]));
        }
        self.by_path.entry(key).or_default().push(self.shown.len());
        self.shown.push(shown);
    }
}
