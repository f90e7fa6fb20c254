//! The built-in policies behind `Policies`, natively.

use sampan_policies::entries;
use sampan_policy_sdk as sdk;
use sampan_scheduler_core::{
    Ask, Changes, ColumnSet, Fault, Feed, Normalize, Policies, Profile, ProfilePolicy, Reason, Scores, Unfit,
};

pub struct Native {
    runtime: sdk::Runtime,
    feed: Feed,
    pub asked: Vec<usize>,
}

fn changes(c: Changes) -> sdk::Changes {
    sdk::Changes {
        strings: c.strings,
        string_ends: c.string_ends,
        columns: c.columns,
        column_ends: c.column_ends,
        rows: c.rows,
        cell_ends: c.cell_ends,
        words: c.words,
    }
}

impl Native {
    pub fn new(profile: &Profile) -> Self {
        let mut runtime = sdk::Runtime::new(entries());
        for policy in &profile.policies {
            runtime.configure(policy.id, &policy.name, "").expect("a built-in policy");
        }
        Self { runtime, feed: Feed::new(profile.columns), asked: Vec::new() }
    }

    fn input(&mut self, ask: &Ask<'_>) -> sdk::Input {
        self.asked.push(ask.rows.len());
        let (sent, pod) = self.feed.changes(ask.snapshot, ask.pod);
        sdk::Input {
            changes: changes(sent),
            overlay: sdk::Changes::default(),
            pod,
            policies: ask.policies.to_vec(),
            nodes: ask.rows.to_vec(),
        }
    }
}

fn fault(ask: &Ask<'_>, failure: sdk::Failure) -> Fault {
    Fault { policies: ask.policies.to_vec(), cause: "Refused".into(), message: failure.message }
}

impl Policies for Native {
    fn filter(&mut self, _: u32, ask: &Ask<'_>) -> Result<Unfit, Fault> {
        let input = self.input(ask);
        let answer = self.runtime.filter(&input).map_err(|failure| fault(ask, failure))?;
        let reasons = answer.reasons.into_iter();
        let reasons = reasons.map(|r| Reason { policy: r.policy, unresolvable: r.bits & 1 == 1, texts: r.texts });
        Ok(Unfit { marks: answer.marks, reasons: reasons.collect(), skipped: answer.skipped })
    }

    fn score(&mut self, _: u32, ask: &Ask<'_>) -> Result<Scores, Fault> {
        let input = self.input(ask);
        let answer = self.runtime.score(&input).map_err(|failure| fault(ask, failure))?;
        Ok(Scores { skipped: answer.skipped, values: answer.values })
    }
}

/// The default profile, as the built-in objects make it.
pub fn profile() -> Profile {
    let described: serde_json::Value =
        serde_json::from_str(&sdk::Runtime::new(entries()).describe()).expect("describe is JSON");
    let mut columns = ColumnSet::default();
    let policies = described["policies"].as_array().expect("a list").iter().enumerate();
    let policies = policies
        .map(|(at, policy)| {
            let has = |point: &str| policy["points"].as_array().is_some_and(|p| p.iter().any(|p| p == point));
            let names = policy["columns"].as_array().expect("a list").iter().filter_map(|name| name.as_str());
            columns = columns.union(ColumnSet::from_names(names).expect("columns of the contract"));
            ProfilePolicy {
                id: at as u32,
                unit: 0,
                name: policy["name"].as_str().expect("a name").to_owned(),
                digest: String::new(),
                filter: has("filter"),
                score: has("score"),
                weight: match policy["name"].as_str() {
                    Some("TaintToleration") => 3,
                    Some("NodeAffinity") => 2,
                    _ => 1,
                },
                normalize: Normalize::from_name(policy["normalize"].as_str().unwrap_or_default()).expect("known"),
                cacheable: true,
                ignore_faults: false,
            }
        })
        .collect();
    Profile {
        scheduler_name: "default-scheduler".into(),
        policies,
        generation: 1,
        percentage_of_nodes_to_score: None,
        columns,
    }
}
