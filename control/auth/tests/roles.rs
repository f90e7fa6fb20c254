//! The roles and bindings of a first start against those of kube-apiserver v1.35.0. `roles-v1.35.tsv` holds the facts of its bootstrap
//! policy (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata, without feature gates).

use sampan_api::Object;
use sampan_auth::bootstrap::rbac_objects;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const FACTS: &str = include_str!("roles-v1.35.tsv");

/// What there is beyond Kubernetes, on purpose: the scheduler's rights on our own kinds, under a name of our own.
const OURS: &str = "system:sampan-scheduler";

fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    value[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Rules as what they grant: GROUP:RESOURCE or a URL, with the name where one is named, and the verbs.
fn granted(rules: &Value) -> BTreeSet<String> {
    let mut verbs: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for rule in rules.as_array().into_iter().flatten() {
        let mut of = |what: String| verbs.entry(what).or_default().extend(list(rule, "verbs"));
        list(rule, "nonResourceURLs").into_iter().for_each(|url| of(url.to_owned()));
        let names: Vec<String> = list(rule, "resourceNames").into_iter().map(|name| format!("={name}")).collect();
        let names = if names.is_empty() { vec![String::new()] } else { names };
        for group in list(rule, "apiGroups") {
            let group = if group.is_empty() { "core" } else { group };
            for resource in list(rule, "resources") {
                names.iter().for_each(|name| of(format!("{group}:{resource}{name}")));
            }
        }
    }
    let line =
        |(what, verbs): (String, BTreeSet<&str>)| format!("{what} {}", verbs.into_iter().collect::<Vec<_>>().join(","));
    verbs.into_iter().map(line).collect()
}

fn facts(object: &Object) -> BTreeSet<String> {
    let value = object.to_value();
    if object.kind().ends_with("Binding") {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let subjects = value["subjects"].as_array().into_iter().flatten();
        let subjects = subjects.map(|one| {
            let namespace = one["namespace"].as_str().map_or_else(String::new, |namespace| format!("{namespace}/"));
            format!("{}:{namespace}{}", text(one, "kind"), text(one, "name"))
        });
        let role = &value["roleRef"];
        return subjects.chain([format!("{}:{}", text(role, "kind"), text(role, "name"))]).collect();
    }
    let mut all = granted(&value["rules"]);
    let gathered = object.labels().filter(|(name, _)| name.contains("aggregate-to"));
    all.extend(gathered.map(|(name, _)| format!("label {name}")));
    let selectors = value["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten();
    let labels = selectors.filter_map(|selector| selector["matchLabels"].as_object()).flatten();
    all.extend(labels.map(|(name, _)| format!("selects {name}")));
    if all.is_empty() {
        all.insert("nothing".to_owned());
    }
    all
}

#[test]
fn the_rights_of_a_first_start_are_those_of_kubernetes() {
    let wanted: BTreeSet<&str> = FACTS.lines().filter(|line| !line.starts_with('#')).collect();
    let mut found = BTreeSet::new();
    for object in rbac_objects(|_| false).iter().filter(|object| object.name() != OURS) {
        let namespace = if object.namespace().is_empty() { "-" } else { object.namespace() };
        let of = |fact: String| format!("{}\t{namespace}\t{}\t{fact}", object.kind(), object.name());
        found.extend(facts(object).into_iter().map(of));
        assert_eq!(object.label("kubernetes.io/bootstrapping"), Some("rbac-defaults"), "{}", object.name());
        assert_eq!(object.annotation("rbac.authorization.kubernetes.io/autoupdate"), Some("true"), "{}", object.name());
    }
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    let more: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:#?}\nbeyond Kubernetes: {more:#?}");
    assert!(wanted.len() > 600, "the facts are there: {}", wanted.len());
}

#[test]
fn a_feature_brings_its_rights() {
    let with = rbac_objects(|gate| gate == "PodCertificateRequest");
    let named = |name: &str| with.iter().find(|object| object.name() == name && object.kind() == "ClusterRole");
    let right = |name: &str| named(name).map(facts).unwrap_or_default();
    let requests = "certificates.k8s.io:podcertificaterequests";
    assert!(right("system:node").contains(&format!("{requests} create,get,list,watch")));
    let cleaner = right("system:controller:podcertificaterequestcleaner");
    assert_eq!(cleaner.into_iter().collect::<Vec<_>>(), [format!("{requests} delete,get,list,watch")]);
    assert_eq!(with.len(), rbac_objects(|_| false).len() + 2, "a role and its binding");
}
