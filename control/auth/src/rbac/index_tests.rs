use super::*;
use crate::rbac::{PolicyRule, Subject};
use sampan_api::{LabelSelector, Path};
use sampan_testing::Dice;
use serde_json::json;

fn get(resource: &str) -> PolicyRule {
    PolicyRule {
        verbs: vec!["get".into()],
        api_groups: vec![String::new()],
        resources: vec![resource.to_owned()],
        ..PolicyRule::default()
    }
}

fn role(namespace: &str, name: &str, resources: &[&str]) -> Role {
    Role {
        namespace: namespace.into(),
        name: name.into(),
        rules: resources.iter().map(|one| get(one)).collect(),
        ..Role::default()
    }
}

fn user(name: &str) -> Subject {
    Subject::User(name.into())
}

fn group(name: &str) -> Subject {
    Subject::Group(name.into())
}

fn binding(namespace: &str, name: &str, role: &str, subjects: &[Subject]) -> Binding {
    let role = match role.strip_prefix("cluster:") {
        Some(name) => RoleRef::ClusterRole(name.into()),
        None => RoleRef::Role(role.into()),
    };
    Binding { namespace: namespace.into(), name: name.into(), role, subjects: subjects.to_vec() }
}

fn index(roles: &[Role], bindings: &[Binding]) -> Index {
    Index::of(roles.to_vec(), bindings.to_vec())
}

/// Bob is in the group `crew`.
fn asks(resource: &str, namespace: &str) -> Attributes {
    Attributes {
        user: UserInfo { name: "bob".into(), groups: vec!["crew".into(), "all".into()], ..UserInfo::default() }.into(),
        verb: "get".into(),
        namespace: namespace.into(),
        resource: resource.into(),
        resource_request: true,
        ..Attributes::default()
    }
}

#[test]
fn the_first_binding_that_allows_is_told() {
    let account = Subject::ServiceAccount { namespace: "ns".into(), name: "robot".into() };
    let index = index(
        &[
            role("", "reader", &["pods", "nodes"]),
            role("ns", "own", &["pods", "secrets"]),
            role("other", "own", &["leases"]),
        ],
        &[
            binding("ns", "b", "own", &[user("alice"), group("crew"), user("bob"), user("bob")]),
            binding("ns", "a", "own", &[group("all"), group("crew")]),
            binding("ns", "c", "cluster:reader", &[user("bob"), account]),
            binding("", "z", "cluster:reader", &[group("all")]),
            binding("third", "b", "cluster:reader", &[group("none"), group("all"), user("bob")]),
            binding("other", "gone", "absent", &[user("bob")]),
            binding("other", "gone-too", "absent", &[group("crew")]),
            binding("other", "gone-again", "cluster:absent", &[group("all")]),
            binding("", "z-gone", "cluster:absent", &[user("eve")]),
            binding("fourth", "c", "x", &[user("eve")]),
            binding("fourth", "b", "w", &[group("late")]),
            binding("fourth", "a", "x", &[group("late")]),
        ],
    );
    let check = |resource: &str, namespace: &str, expected: &str| {
        let decision = index.authorize(&asks(resource, namespace));
        let allowed = expected.contains("allowed");
        assert_eq!((decision.allowed(), decision.reason.as_str()), (allowed, expected), "{resource} in {namespace}");
    };
    let cluster = "RBAC: allowed by ClusterRoleBinding \"z\" of ClusterRole \"reader\" to Group \"all\"";
    check("pods", "ns", cluster);
    check("nodes", "", cluster);
    // Of several bindings the first by name, and of its subjects the first: as kube-apiserver's, where they come in that order.
    check("secrets", "ns", "RBAC: allowed by RoleBinding \"a/ns\" of Role \"own\" to Group \"all\"");
    check("pods", "third", cluster);
    check("leases", "ns", "");
    check("secrets", "", "");
    let absent = "RBAC: [role.rbac.authorization.k8s.io \"absent\" not found, \
                  clusterrole.rbac.authorization.k8s.io \"absent\" not found]";
    check("secrets", "other", absent);
    let eve = UserInfo::new("eve", ["late"]);
    let decision = index.authorize(&Attributes { user: eve.into(), ..asks("pods", "fourth") });
    let absent = "RBAC: [clusterrole.rbac.authorization.k8s.io \"absent\" not found, \
                  role.rbac.authorization.k8s.io \"x\" not found, role.rbac.authorization.k8s.io \"w\" not found]";
    assert_eq!(decision.reason, absent);
    let robot = UserInfo { name: "system:serviceaccount:ns:robot".into(), ..UserInfo::default() };
    let decision = index.authorize(&Attributes { user: robot.into(), ..asks("nodes", "ns") });
    let to = "RBAC: allowed by RoleBinding \"c/ns\" of ClusterRole \"reader\" to ServiceAccount \"robot/ns\"";
    assert_eq!(decision.reason, to);
}

#[test]
fn a_refusal_names_only_some_of_many_roles_that_do_not_exist() {
    let name = |n: usize| format!("r{n:05}");
    let bindings: Vec<Binding> = (0..5_000).map(|n| binding("ns", &name(n), &name(n), &[user("bob")])).collect();
    let reason = index(&[], &bindings).authorize(&asks("pods", "ns")).reason;
    assert!(reason.len() < 100 * ABSENT_ROLES_TOLD_MAX, "{} bytes", reason.len());
    let (first, last) = (format!("RBAC: [role.rbac.authorization.k8s.io \"{}\" not found, ", name(0)), name(31));
    assert!(reason.starts_with(&first) && reason.contains(&last), "{reason}");
    assert!(reason.ends_with("and 4968 more roles not found]"), "{reason}");
}

/// What roles and bindings allow, found by reading all of them.
fn allowed(roles: &HashMap<RoleKey, Role>, bindings: &HashMap<RoleKey, Binding>, a: &Attributes) -> bool {
    let holds = |one: &Binding| {
        (one.namespace.is_empty() || one.namespace == a.namespace)
            && one.subjects.iter().any(|subject| match subject {
                Subject::User(name) => *name == a.user.name,
                Subject::Group(name) => a.user.groups.contains(name),
                Subject::ServiceAccount { .. } => false,
            })
    };
    let mut of = bindings.values().filter(|one| holds(one)).filter_map(|one| roles.get(&one.role_key()));
    of.any(|role| reached(roles, role).iter().any(|one| one.rules.iter().any(|rule| rule.allows(a))))
}

/// The roles whose rules a role has: its own, or those of all that it selects, found until no more are.
fn reached<'a>(roles: &'a HashMap<RoleKey, Role>, role: &'a Role) -> Vec<&'a Role> {
    let mut found = vec![role];
    loop {
        let selectors = || found.iter().filter_map(|one| one.aggregates.as_ref()).flatten();
        let selected = |one: &Role| one.namespace.is_empty() && selectors().any(|all| all.matches_map(&one.labels));
        let is_new = |one: &&Role| selected(one) && !found.iter().any(|known| std::ptr::eq(*known, *one));
        let Some(more) = roles.values().find(is_new) else { break };
        found.push(more);
    }
    found.retain(|one| one.aggregates.is_none());
    found
}

fn any_role(dice: &mut Dice) -> Role {
    let mut pick = |of: &[&'static str]| of[dice.roll(of.len() as u64) as usize];
    let namespace = pick(&["", "", "n", "m"]);
    let mut role = role(namespace, pick(&["a", "b", "c"]), &[pick(&["pods", "nodes"]), pick(&["leases", "pods"])]);
    if namespace.is_empty() {
        role.labels = [("l".to_owned(), pick(&["x", "y"]).to_owned())].into();
        if pick(&["own", "own", "others"]) == "others" {
            let selector = json!({"matchLabels": {"l": pick(&["x", "y"])}});
            role.aggregates = Some(vec![LabelSelector::from_v1(&selector, &Path::root()).expect("a selector")]);
        }
    }
    role
}

fn any_binding(dice: &mut Dice) -> Binding {
    let mut pick = |of: &[&'static str]| of[dice.roll(of.len() as u64) as usize];
    let namespace = pick(&["", "n", "m"]);
    let roles: &[&str] = if namespace.is_empty() {
        &["cluster:a", "cluster:b", "cluster:c"]
    } else {
        &["a", "b", "c", "cluster:a", "cluster:b"]
    };
    let subjects = [user(pick(&["bob", "eve"])), group(pick(&["crew", "others"])), user(pick(&["bob", "ann"]))];
    binding(namespace, pick(&["p", "q", "r"]), pick(roles), &subjects[pick(&["", "1", "12"]).len()..])
}

#[test]
fn changes_lead_where_a_fresh_start_does() {
    let mut counts = [0, 0];
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let (live, mut roles, mut bindings) = (Index::default(), HashMap::new(), HashMap::new());
        for _ in 0..40 {
            if dice.one_in(2) {
                let one = any_role(&mut dice);
                let key = (one.namespace.clone(), one.name.clone());
                if dice.one_in(3) {
                    live.remove_role(&key.0, &key.1);
                    roles.remove(&key);
                } else {
                    live.set_role(one.clone());
                    roles.insert(key, one);
                }
            } else {
                let one = any_binding(&mut dice);
                let key = (one.namespace.clone(), one.name.clone());
                if dice.one_in(3) {
                    live.remove_binding(&key.0, &key.1);
                    bindings.remove(&key);
                } else {
                    live.set_binding(one.clone());
                    bindings.insert(key, one);
                }
            }
            live.settle();
            for (resource, namespace) in [("pods", "n"), ("nodes", "m"), ("leases", ""), ("leases", "n")] {
                let a = asks(resource, namespace);
                let expected = allowed(&roles, &bindings, &a);
                assert_eq!(live.authorize(&a).allowed(), expected, "seed {seed}: {a:?} {roles:?} {bindings:?}");
                counts[usize::from(expected)] += 1;
            }
        }
        let all = |all: &HashMap<RoleKey, Role>| all.values().cloned().collect::<Vec<_>>();
        let fresh = index(&all(&roles), &bindings.values().cloned().collect::<Vec<_>>());
        for namespace in ["", "n", "m"] {
            let a = asks("pods", namespace);
            assert_eq!(live.authorize(&a), fresh.authorize(&a), "seed {seed}");
            assert_eq!(live.review(&a.user, namespace), fresh.review(&a.user, namespace), "seed {seed}");
        }
        // Nothing is kept of what is gone.
        bindings.keys().for_each(|(namespace, name)| live.remove_binding(namespace, name));
        roles.keys().for_each(|(namespace, name)| live.remove_role(namespace, name));
        live.settle();
        assert!(live.book.lock().slots.is_empty() && live.grants.is_empty(), "seed {seed}");
    }
    assert!(counts.iter().all(|count| *count > 5_000), "both answers come: {counts:?}");
}

#[test]
fn only_what_changed_is_compiled() {
    let index = index(&[role("", "big", &["pods"]), role("ns", "own", &["pods"])], &[]);
    let check = |expected: u64, what: &str| assert_eq!(index.compiled(), expected, "{what}");
    check(2, "at first");
    for n in 0..50 {
        index.set_binding(binding("ns", &format!("b{n}"), "cluster:big", &[user("bob")]));
        index.settle();
    }
    check(2, "bindings");
    index.set_role(Role { labels: [("l".to_owned(), "x".to_owned())].into(), ..role("", "big", &["pods"]) });
    index.settle();
    check(2, "a label");
    index.set_role(role("", "big", &["nodes"]));
    index.settle();
    check(3, "rules");
    assert!(index.authorize(&asks("nodes", "ns")).allowed() && !index.authorize(&asks("pods", "ns")).allowed());
}
