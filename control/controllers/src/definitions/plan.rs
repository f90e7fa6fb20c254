//! What the status of a definition says: pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sampan_api::{GroupVersionResource, Object};
use sampan_schema::certificates::check_authorities;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Of a definition whose instances are being deleted.
pub(super) const IN_PROGRESS: &str = "CustomResource deletion is in progress";

/// The names that a definition has, as `acceptedNames` holds them.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Map<String, Value>);

impl Names {
    /// Those that are accepted.
    pub fn accepted(definition: &Object) -> Self {
        Self::at(definition, &["status", "acceptedNames"])
    }

    fn at(definition: &Object, path: &[&str]) -> Self {
        Self(definition.get(path).and_then(Value::as_object).cloned().unwrap_or_default())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn short(&self) -> impl Iterator<Item = &str> {
        self.0.get("shortNames").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// The names that are taken in a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    /// Adds the names of a definition.
    pub fn add(&mut self, names: &Names) {
        let plain = ["plural", "singular"].map(|name| names.text(name)).into_iter().chain(names.short());
        self.resources.extend(plain.map(str::to_owned));
        self.kinds.extend(["kind", "listKind"].map(|name| names.text(name).to_owned()));
    }
}

/// Whether a condition is true.
pub(super) fn is_true(definition: &Object, name: &str) -> bool {
    condition(definition, name).is_some_and(|one| one["status"] == "True")
}

fn condition<'d>(definition: &'d Object, name: &str) -> Option<&'d Value> {
    let conditions = definition.get(&["status", "conditions"]).and_then(Value::as_array);
    conditions.into_iter().flatten().find(|one| one["type"] == name)
}

/// Sets a condition. One whose status stays keeps its time.
pub(super) fn set(definition: &mut Object, name: &str, status: &str, reason: &str, message: &str, now: &str) {
    let since = condition(definition, name).filter(|one| one["status"] == status);
    let since = since.and_then(|one| one["lastTransitionTime"].as_str()).unwrap_or(now).to_owned();
    let new =
        json!({"type": name, "status": status, "reason": reason, "message": message, "lastTransitionTime": since});
    let conditions = definition.get(&["status", "conditions"]).and_then(Value::as_array);
    let mut conditions: Vec<Value> = conditions.cloned().unwrap_or_default();
    match conditions.iter_mut().find(|one| one["type"] == name) {
        Some(one) => *one = new,
        None => conditions.push(new),
    }
    definition.set(&["status", "conditions"], conditions);
}

/// Accepts the names that a definition wants, as far as nobody else has them.
pub(super) fn names(definition: &mut Object, taken: &Taken, now: &str) {
    let wanted = Names::at(definition, &["spec", "names"]);
    let had = Names::accepted(definition);
    if wanted.0 == had.0 {
        return;
    }
    // A definition's own names are as taken as those of others, but for the field that has them.
    let mut taken = taken.clone();
    taken.add(&had);
    let mut accepted = had.0.clone();
    let mut refused: Option<(&str, String)> = None;
    let in_use = |name: &str| format!("{name:?} is already in use");
    for (field, reason, of) in [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ] {
        let conflicts: Vec<String> = if field == "shortNames" {
            let own: BTreeSet<&str> = had.short().collect();
            wanted.short().filter(|name| !own.contains(name) && of.contains(*name)).map(in_use).collect()
        } else {
            let name = wanted.text(field);
            let fresh = name == had.text(field) || !of.contains(name);
            (!fresh).then(|| in_use(name)).into_iter().collect()
        };
        match conflicts.as_slice() {
            [] => match wanted.0.get(field) {
                Some(value) => drop(accepted.insert(field.to_owned(), value.clone())),
                None => drop(accepted.remove(field)),
            },
            [one] => refused = Some((reason, one.clone())),
            many => refused = Some((reason, format!("[{}]", many.join(", ")))),
        }
    }
    match wanted.0.get("categories") {
        Some(value) => drop(accepted.insert("categories".to_owned(), value.clone())),
        None => drop(accepted.remove("categories")),
    }
    definition.set(&["status", "acceptedNames"], Value::Object(accepted));
    let installed = is_true(definition, "Established");
    match refused {
        Some((reason, message)) => {
            set(definition, "NamesAccepted", "False", reason, &message, now);
            if !installed && condition(definition, "Established").is_none() {
                set(definition, "Established", "False", "NotAccepted", "not all names are accepted", now);
            }
        }
        None => {
            set(definition, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now);
            if !installed {
                let message = "the initial names have been accepted";
                set(definition, "Established", "False", "Installing", message, now);
            }
        }
    }
}

/// Says that a definition is served, or why it is not: nobody could know its webhook by the certificates that it names.
pub(super) fn establish(definition: &mut Object, now: &str) {
    let bundle = definition.get_str(&["spec", "conversion", "webhook", "clientConfig", "caBundle"]).unwrap_or_default();
    if STANDARD.decode(bundle).map_or(true, |bundle| check_authorities(&bundle).is_err()) {
        let message = "The conversion webhook CABundle is invalid";
        return set(definition, "Established", "False", "InvalidCABundle", message, now);
    }
    set(definition, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now);
}

/// Says whether a group of the community's own was approved.
pub(super) fn approval(definition: &mut Object, now: &str) {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let group = definition.get_str(&["spec", "group"]).unwrap_or_default();
    let is_of = |domain: &str| group == domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !is_of("k8s.io") && !is_of("kubernetes.io") {
        return;
    }
    let given = definition.get_str(&["metadata", "annotations", ANNOTATION]).unwrap_or_default().to_owned();
    let is_url = given.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    let (status, reason, message) = match given.as_str() {
        "" => (
            "False",
            "MissingAnnotation",
            format!("protected groups must have approval annotation \"{ANNOTATION}\", {SEE}"),
        ),
        text if text.starts_with("unapproved") => ("False", "UnapprovedAnnotation", format!("not approved: {text:?}")),
        text if is_url => ("True", "ApprovedAnnotation", format!("approved in {text}")),
        _ => (
            "False",
            "InvalidAnnotation",
            format!(
                "protected groups must have approval annotation \"{ANNOTATION}\" with either a URL or a reason starting with \
                 \"unapproved\", {SEE}"
            ),
        ),
    };
    set(definition, "KubernetesAPIApprovalPolicyConformant", status, reason, &message, now);
}

/// The resource of a definition in a version that is served: the stored one where it is, since nothing of it need be
/// converted.
pub(super) fn served(definition: &Object) -> Option<GroupVersionResource> {
    let both = |version: &&Value| version["served"] == true && version["storage"] == true;
    find(definition, both).or_else(|| find(definition, |version| version["served"] == true))
}

/// The resource of a definition in the version that is stored.
pub(super) fn stored(definition: &Object) -> Option<GroupVersionResource> {
    find(definition, |version| version["storage"] == true)
}

fn find(definition: &Object, which: impl Fn(&&Value) -> bool) -> Option<GroupVersionResource> {
    let versions = definition.get(&["spec", "versions"]).and_then(Value::as_array);
    let version = versions.into_iter().flatten().find(which)?;
    let text = |path: &[&str]| definition.get_str(path).unwrap_or_default().to_owned();
    let plural = text(&["status", "acceptedNames", "plural"]);
    Some(GroupVersionResource::new(text(&["spec", "group"]), version["name"].as_str()?.to_owned(), plural))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(status: Value) -> Object {
        let names = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
            "shortNames": ["wd"]});
        Object::from_value(json!({"spec": {"group": "example.com", "names": names}, "status": status}))
            .expect("an object")
    }

    #[test]
    fn names_are_accepted_unless_others_have_them() {
        let check = |others: Value, reason: &str, established: &str, kept: &str| {
            let mut taken = Taken::default();
            taken.add(&Names(others.as_object().expect("names").clone()));
            let mut object = definition(json!({}));
            names(&mut object, &taken, "now");
            let of = |name: &str, field: &str| condition(&object, name).expect("a condition")[field].clone();
            assert_eq!(of("NamesAccepted", "reason"), reason);
            assert_eq!(of("Established", "reason"), established);
            let accepted = Names::accepted(&object);
            assert_eq!(accepted.0.keys().cloned().collect::<Vec<_>>().join(","), kept);
        };
        check(json!({}), "NoConflicts", "Installing", "kind,listKind,plural,shortNames,singular");
        check(json!({"shortNames": ["widgets"]}), "PluralConflict", "NotAccepted", "kind,listKind,shortNames,singular");
        check(json!({"plural": "wd"}), "ShortNamesConflict", "NotAccepted", "kind,listKind,plural,singular");
        check(json!({"kind": "WidgetList"}), "ListKindConflict", "NotAccepted", "kind,plural,shortNames,singular");
    }

    #[test]
    fn names_that_a_definition_has_elsewhere_are_taken_as_well() {
        let own = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
            "shortNames": ["wd"]});
        let check = |field: &str, value: Value, expected: &str| {
            let mut object = definition(json!({"acceptedNames": own}));
            object.set(&["spec", "names", field], value.clone());
            names(&mut object, &Taken::default(), "now");
            let found = condition(&object, "NamesAccepted").expect("a condition");
            assert_eq!(found["message"], expected, "{field} {value}");
        };
        check("shortNames", json!(["wd", "w"]), "no conflicts found");
        check("shortNames", json!(["widgets"]), "\"widgets\" is already in use");
        check(
            "shortNames",
            json!(["widgets", "widget"]),
            "[\"widgets\" is already in use, \"widget\" is already in use]",
        );
        check("singular", json!("wd"), "\"wd\" is already in use");
        check("kind", json!("WidgetList"), "\"WidgetList\" is already in use");
        // What is wanted first nobody has yet.
        let mut object = definition(json!({}));
        object.set(&["spec", "names", "shortNames"], json!(["widgets"]));
        names(&mut object, &Taken::default(), "now");
        assert!(is_true(&object, "NamesAccepted"));
    }

    #[test]
    fn a_definition_whose_webhook_nobody_could_know_is_not_established() {
        let check = |bundle: &str, status: &str, reason: &str| {
            let mut object = definition(json!({}));
            object.set(&["spec", "conversion", "webhook", "clientConfig", "caBundle"], STANDARD.encode(bundle));
            establish(&mut object, "now");
            let found = condition(&object, "Established").expect("a condition");
            assert_eq!((&found["status"], &found["reason"]), (&json!(status), &json!(reason)), "{bundle}");
        };
        check("", "True", "InitialNamesAccepted");
        check("x", "False", "InvalidCABundle");
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check(junk, "False", "InvalidCABundle");
        let key = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).expect("a certificate");
        check(&format!("{junk}{}", key.cert.pem()), "True", "InitialNamesAccepted");
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut object = definition(json!({}));
        set(&mut object, "Terminating", "True", "A", "a", "1");
        set(&mut object, "Terminating", "True", "B", "b", "2");
        assert_eq!(condition(&object, "Terminating").expect("one")["lastTransitionTime"], "1");
        set(&mut object, "Terminating", "False", "C", "c", "3");
        assert_eq!(condition(&object, "Terminating").expect("one")["lastTransitionTime"], "3");
    }

    #[test]
    fn the_community_s_groups_need_an_approval() {
        let check = |annotation: &str, status: &str, reason: &str| {
            let mut object = definition(json!({}));
            object.set(&["spec", "group"], "x.k8s.io");
            object.set(&["metadata", "annotations", "api-approved.kubernetes.io"], annotation);
            approval(&mut object, "now");
            let found = condition(&object, "KubernetesAPIApprovalPolicyConformant").expect("a condition");
            assert_eq!((&found["status"], &found["reason"]), (&json!(status), &json!(reason)));
        };
        check("", "False", "MissingAnnotation");
        check("unapproved, testing", "False", "UnapprovedAnnotation");
        check("https://github.com/kubernetes/enhancements/pull/1111", "True", "ApprovedAnnotation");
        check("yes", "False", "InvalidAnnotation");
    }
}
