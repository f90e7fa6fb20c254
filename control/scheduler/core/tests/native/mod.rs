//! The built-in policies behind `Policies`, natively.

use sampan_policies::entries;
use sampan_policy_sdk as sdk;
use sampan_scheduler_core::{
    Answer, Changes, ColumnSet, Fault, Feed, FilterAnswer, Normalize, Point, Points, Policies, Profile, ProfilePolicy,
    Question, Reason, ScoreAnswer, Unanswered,
};

pub struct Native {
    runtime: sdk::Runtime,
    feed: Feed,
    /// Rows of each question.
    pub asked: Vec<usize>,
    /// Bytes that the mirror was sent.
    pub fed: usize,
}

/// As a component is sent them.
pub fn changes(c: Changes) -> sdk::Changes {
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
        let built_in = profile.policies().iter().filter(|policy| policy.unit == 0);
        for policy in built_in {
            runtime.configure(policy.id, &policy.name, "").expect("a built-in policy");
        }
        let columns = profile.units().iter().find(|(unit, _)| *unit == 0).map(|(_, columns)| *columns);
        Self { runtime, feed: Feed::new(columns.unwrap_or_default()), asked: Vec::new(), fed: 0 }
    }

    fn input(&mut self, question: &Question<'_>) -> sdk::Input {
        self.asked.push(question.rows.len());
        let (sent, pod) = self.feed.changes(question.snapshot, question.signature);
        self.fed += sent.bytes();
        sdk::Input {
            changes: changes(sent),
            overlay: sdk::Changes::default(),
            pod,
            policies: question.policies.to_vec(),
            nodes: question.rows.to_vec(),
        }
    }
}

impl Policies for Native {
    fn ask(&mut self, point: Point, _: u32, question: &Question<'_>) -> Result<Answer, Unanswered> {
        let input = self.input(question);
        let failed = |failure: sdk::Failure| Fault::new(question.policies.to_vec(), "Refused", &failure.message);
        match point {
            Point::Filter => {
                let answer = self.runtime.filter(&input).map_err(failed)?;
                let reasons = answer.reasons.into_iter();
                let reasons =
                    reasons.map(|r| Reason { policy: r.policy, unresolvable: r.bits & 1 == 1, texts: r.texts });
                let reasons = reasons.collect();
                Ok(Answer::Filter(FilterAnswer { marks: answer.marks, reasons, skipped: answer.skipped }))
            }
            Point::Score => {
                let answer = self.runtime.score(&input).map_err(failed)?;
                Ok(Answer::Score(ScoreAnswer { skipped: answer.skipped, values: answer.values }))
            }
        }
    }
}

/// The default profile, as the built-in objects make it.
pub fn profile() -> Profile {
    let described: serde_json::Value =
        serde_json::from_str(&sdk::Runtime::new(entries()).describe()).expect("describe is JSON");
    let policies = described["policies"].as_array().expect("a list").iter().enumerate();
    let policies = policies
        .map(|(at, policy)| {
            let has = |point: &str| policy["points"].as_array().is_some_and(|p| p.iter().any(|p| p == point));
            let names = policy["columns"].as_array().expect("a list").iter().filter_map(|name| name.as_str());
            let points = [Point::Filter, Point::Score].into_iter().filter(|point| has(point.name()));
            ProfilePolicy {
                id: at as u32,
                unit: 0,
                name: policy["name"].as_str().expect("a name").to_owned(),
                generation: Some(1),
                digest: String::new(),
                args_digest: String::new(),
                points: Points::of(points),
                columns: ColumnSet::from_names(names).expect("columns of the contract"),
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
    Profile::new("default-scheduler", policies, 1)
}
