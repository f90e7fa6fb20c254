//! ClusterTrustBundles: certificates of authorities that all of a cluster may trust.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::immutable;
use super::super::validation::{At, FieldErrors};
use super::signer;
use crate::resource::Resource;
use crate::strategy::MetadataOfUpdate;
use sampan_api::names;
use sampan_api::object::Object;
use std::collections::BTreeMap;
use x509_parser::pem::Pem;

pub(super) fn row() -> Resource {
    Resource::new("certificates.k8s.io", "v1beta1", "clustertrustbundles", "ClusterTrustBundle")
        .cluster_scoped()
        .selectable("spec.signerName")
        .gated("ClusterTrustBundle")
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    // The signer's name, which is not at hand here, says which names are allowed.
    name: |_| Vec::new(),
    validate: Some(|_, bundle| {
        let mut errors = FieldErrors::default();
        let at = At::object(bundle);
        named(bundle, &mut errors);
        trust_bundle(at.get("spec").get("trustBundle"), &mut errors);
        errors
    }),
    validate_update: Some(|_, bundle, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(bundle), At::object(old));
        let (spec, before) = (at.get("spec"), old.get("spec"));
        named(bundle, &mut errors);
        if spec.get("trustBundle").value() != before.get("trustBundle").value() {
            trust_bundle(spec.get("trustBundle"), &mut errors);
        }
        immutable(spec.get("signerName"), before.get("signerName"), &mut errors);
        errors
    }),
    unconditional_update: false,
    metadata_of_update: Some(MetadataOfUpdate::Both),
    ..Rules::NONE
};

/// The name, which begins with the signer's where there is one, and the signer's.
fn named(bundle: &Object, errors: &mut FieldErrors) {
    let at = At::object(bundle);
    let (metadata, spec) = (at.get("metadata"), at.get("spec"));
    let (name, signer) = (metadata.get("name"), spec.get("signerName"));
    if signer.is_empty() {
        let wrong = match name.text().contains(':') {
            true => vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()],
            false => names::dns1123_subdomain(name.text()),
        };
        return name.invalid_each(errors, wrong);
    }
    let prefix = format!("{}:", signer.text().replace('/', ":"));
    let wrong = match name.text().strip_prefix(&prefix) {
        Some(rest) => names::dns1123_subdomain(rest),
        None => {
            let signer = signer.text();
            vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")]
        }
    };
    name.invalid_each(errors, wrong);
    signer::name(signer, errors);
}

/// Bytes of a bundle.
const BUNDLE_MAX: usize = 1024 * 1024;
/// What an error shows in place of a bundle.
const OMITTED: &str = "<value omitted>";

/// Certificates of authorities, each once, and at least one.
fn trust_bundle(at: At<'_>, errors: &mut FieldErrors) {
    if at.len() > BUNDLE_MAX {
        return at.too_long(errors, BUNDLE_MAX);
    }
    let mut seen: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    let mut sound = true;
    // Text that is no block is passed over, as Go does.
    let blocks = Pem::iter_from_buffer(at.text().as_bytes()).filter_map(Result::ok);
    for (index, block) in blocks.enumerate() {
        match anchor(&block) {
            Ok(()) => seen.entry(block.contents).or_default().push(index),
            Err(why) => {
                sound = false;
                at.invalid_as(errors, OMITTED, format!("entry {index} {why}"));
            }
        }
    }
    if !sound {
        return;
    }
    if seen.is_empty() {
        at.invalid_as(errors, OMITTED, "at least one trust anchor must be provided");
    }
    for indices in seen.values().filter(|indices| indices.len() > 1) {
        let shown: Vec<String> = indices.iter().map(usize::to_string).collect();
        at.invalid_as(errors, OMITTED, format!("duplicate trust anchor (indices [{}])", shown.join(" ")));
    }
}

/// Why a block is no certificate of an authority.
fn anchor(block: &Pem) -> Result<(), String> {
    if block.label != "CERTIFICATE" {
        return Err(format!("has bad block type: {}", block.label));
    }
    let Ok(certificate) = block.parse_x509() else {
        return Err("does not parse as X.509".to_owned());
    };
    if !certificate.is_ca() {
        return Err("does not have the CA bit set".to_owned());
    }
    Ok(())
}
