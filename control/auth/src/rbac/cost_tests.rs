//! What a decision costs: not more with longer roles, more subjects or more bindings.

use super::*;
use sampan_api::UserInfo;
use sampan_api::user::Attributes;

/// CPU time of this thread, seconds.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Decisions that are timed together.
const ASKED: usize = 200;
/// Long against a decision of a few microseconds, and short against one that reads all rules: these take a millisecond for
/// ten thousand.
const DECISION_SECONDS_MAX: f64 = 150e-6;

/// Seconds of one decision: the least of some, since other work only adds.
fn decision(index: &Index, a: &Attributes) -> f64 {
    let round = || {
        let start = cpu();
        for _ in 0..ASKED {
            assert!(!std::hint::black_box(index.authorize(a)).allowed());
        }
        (cpu() - start) / ASKED as f64
    };
    (0..5).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn bob() -> UserInfo {
    UserInfo { name: "bob".into(), groups: vec!["crew".into()], ..UserInfo::default() }
}

fn denied() -> Attributes {
    Attributes {
        user: bob().into(),
        verb: "get".into(),
        namespace: "ns".into(),
        resource: "secrets".into(),
        name: "x".into(),
        resource_request: true,
        ..Attributes::default()
    }
}

fn rule(verb: &str, group: &str, resource: &str, name: &str) -> PolicyRule {
    PolicyRule {
        verbs: vec![verb.into()],
        api_groups: vec![group.into()],
        resources: vec![resource.into(); 12],
        resource_names: Some(name).filter(|name| !name.is_empty()).map(str::to_owned).into_iter().collect(),
        ..PolicyRule::default()
    }
}

/// Roles of a length none of whose rules allows [`denied`], whatever most of them have in common with it.
fn roles(rules: usize) -> Vec<(&'static str, Vec<PolicyRule>)> {
    let make = |rule: &dyn Fn(usize) -> PolicyRule| (0..rules).map(rule).collect::<Vec<_>>();
    vec![
        ("the same", make(&|_| rule("get", "", "a/b", ""))),
        ("other resources", make(&|n| rule("get", "", &format!("r{n}"), ""))),
        ("other names", make(&|n| rule("get", "", "secrets", &format!("n{n}")))),
        (
            "each in one thing only",
            make(&|n| match n % 4 {
                0 => rule("list", "", "secrets", ""),
                1 => rule("get", "apps", "secrets", ""),
                2 => rule("get", "", "pods", ""),
                _ => rule("get", "", "secrets", "y"),
            }),
        ),
    ]
}

fn binding(name: String, subjects: Vec<Subject>) -> Binding {
    Binding { namespace: "ns".into(), name, role: RoleRef::Role("big".into()), subjects }
}

fn big(rules: Vec<PolicyRule>) -> Role {
    Role { namespace: "ns".into(), name: "big".into(), rules, ..Role::default() }
}

/// As many rules as an object of the largest size can have.
const RULES: usize = 20_000;

#[test]
fn a_decision_does_not_read_all_rules() {
    for (what, rules) in roles(RULES) {
        let index = Index::of(vec![big(rules)], vec![binding("b".into(), vec![Subject::User("bob".into())])]);
        let spent = decision(&index, &denied());
        println!("{RULES} rules, {what}: {:.2} us", spent * 1e6);
        assert!(spent < DECISION_SECONDS_MAX, "{what}: {spent} s");
    }
}

#[test]
fn a_path_is_not_compared_with_all_beginnings() {
    let path =
        |url: String| PolicyRule { verbs: vec!["get".into()], non_resource_urls: vec![url], ..Default::default() };
    // Beginnings of the path that are granted for another verb, and others for the right one.
    let own = (1..1_000).map(|n| PolicyRule { verbs: vec!["put".into()], ..path(format!("/{}*", "m".repeat(n))) });
    let others = (0..RULES).map(|n| path(format!("/{}/{n}*", "n".repeat(20))));
    let index =
        Index::of(vec![big(own.chain(others).collect())], vec![binding("b".into(), vec![Subject::User("bob".into())])]);
    let a = Attributes { resource_request: false, path: format!("/{}", "m".repeat(2_000)), ..denied() };
    let spent = decision(&index, &a);
    println!("{RULES} paths: {:.2} us", spent * 1e6);
    assert!(spent < DECISION_SECONDS_MAX, "{spent} s");
}

#[test]
fn a_role_is_looked_at_once_whatever_binds_it() {
    let rules = || roles(RULES).remove(3).1;
    let both = || vec![Subject::User("bob".into()), Subject::Group("crew".into())];
    let often = (0..3_000).flat_map(|_| both()).collect();
    let cases = [
        ("6000 subjects that are the same", vec![binding("b".into(), often)]),
        ("3000 bindings", (0..3_000).map(|n| binding(format!("b{n}"), both())).collect()),
    ];
    for (what, bindings) in cases {
        let index = Index::of(vec![big(rules())], bindings);
        let spent = decision(&index, &denied());
        println!("{RULES} rules, {what}: {:.2} us", spent * 1e6);
        assert!(spent < DECISION_SECONDS_MAX, "{what}: {spent} s");
    }
}

#[test]
fn a_review_lists_a_role_once_and_no_more_than_its_bound() {
    use crate::limits::RULES_TOLD_BYTES_MAX;
    let check = |what: &str, rules: Vec<PolicyRule>, listed: std::ops::Range<usize>, whole: bool| {
        let bindings = (0..300).map(|n| binding(format!("b{n}"), vec![Subject::User("bob".into()); 3])).collect();
        let start = cpu();
        let review = Index::of(vec![big(rules)], bindings).review(&bob(), "ns");
        let spent = cpu() - start;
        let count = review["resourceRules"].as_array().map_or(0, Vec::len);
        assert!(listed.contains(&count), "{what}: {count} rules");
        let bytes = review.to_string().len();
        assert!(bytes < RULES_TOLD_BYTES_MAX + 1_024, "{what}: {bytes} bytes");
        assert!(spent < 2.0, "{what}: {spent} s");
        assert_eq!((review["incomplete"] == false, review["evaluationError"].is_null()), (whole, whole), "{what}");
    };
    check("few", vec![rule("get", "", "pods", ""), rule("list", "", "pods", "")], 2..3, true);
    check("the same", roles(RULES).remove(0).1, 1..2, true);
    check("many", roles(RULES).remove(1).1, 1_000..RULES, false);
    let long =
        PolicyRule { resource_names: vec!["n".repeat(100); RULES_TOLD_BYTES_MAX / 50], ..rule("get", "", "pods", "") };
    check("one too long", vec![rule("get", "", "pods", ""), long], 1..2, false);
}

#[test]
fn a_change_costs_what_changed() {
    let rules = || roles(RULES).remove(1).1;
    let roles = (0..12).map(|n| Role { name: format!("big{n}"), ..big(rules()) }).collect();
    let subjects: Vec<Subject> = (0..3_000).map(|n| Subject::User(format!("u{n}"))).collect();
    let bindings: Vec<Binding> = (0..12)
        .map(|n| Binding { role: RoleRef::Role(format!("big{n}")), ..binding(format!("b{n}"), subjects.clone()) })
        .collect();
    let index = Index::of(roles, bindings);
    let timed = |change: &dyn Fn()| {
        let start = cpu();
        (0..ASKED).for_each(|_| change());
        index.settle();
        (cpu() - start) / ASKED as f64
    };
    let one = binding("small".into(), vec![Subject::User("bob".into())]);
    let spent = timed(&|| {
        index.set_binding(one.clone());
        index.remove_binding("ns", "small");
    });
    println!("a small binding made and deleted among large ones: {:.2} us", spent * 1e6);
    assert!(spent < DECISION_SECONDS_MAX, "{spent} s");
    assert_eq!(index.compiled(), 12);
}
