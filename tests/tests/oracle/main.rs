//! Kubernetes' own Go functions as oracle: the same inputs, made here by chance that repeats itself, for them and for ours.
//!
//! Two thousand inputs of each function; SAMPAN_TIER=nightly: 20,000. A difference that is not of a known class fails,
//! and so does a class in which nothing differs any more, an oracle that takes too few or too many of the inputs to show
//! anything, or one that never gives an error that it is known for. Where the oracle itself panics there is nothing to
//! compare with: such inputs are counted apart, and too many of them fail.

mod apply;
mod cel;
mod codec;
mod patches;
mod pods;
mod rbac;
mod structural;
mod words;

use sampan_testing::Dice;
use sampan_tests::{is_nightly, tool};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// What a function answers: a value, or the text of its error.
type Answer = Result<Value, String>;

/// A function of ours and the Go function that it must agree with.
struct Compared {
    /// Its name in `tests/clients/oracle`.
    of: &'static str,
    /// Makes an input.
    input: fn(&mut Dice) -> Value,
    ours: fn(&Value) -> Answer,
    /// Makes what is compared with ours of the oracle's answer to an input.
    heard: fn(&Value, Answer) -> Answer,
    /// Words of errors of which each must occur.
    errors: &'static [&'static str],
    known: &'static [Known],
}

/// Differences that are known, with their cause.
#[derive(Clone, Copy)]
struct Known {
    /// The cause, and where Go has it.
    why: &'static str,
    /// Whether a difference is one of these: the input, our answer, the oracle's.
    is: fn(&Value, &Answer, &Answer) -> bool,
}

/// The share of inputs, in percent, that an oracle takes: with fewer or more of them too little is compared.
const TAKEN: std::ops::RangeInclusive<usize> = 30..=70;
/// The share of inputs, one in so many, at which an oracle may panic at most.
const PANICKED_MOST: usize = 100;
/// Differences that a failure shows.
const SHOWN: usize = 20;

/// The oracle's answers, in the order of the inputs. `None`: it panicked.
fn ask(of: &str, inputs: &[Value]) -> Vec<Option<Answer>> {
    let mut child =
        Command::new(tool("oracle")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let questions: Vec<String> = inputs.iter().map(|input| json!({"of": of, "in": input}).to_string()).collect();
    let writer = std::thread::spawn(move || {
        for question in questions {
            writeln!(stdin, "{question}").expect("it reads");
        }
    });
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let answers = stdout.lines().map(|line| {
        let answer: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        if answer.get("panicked").is_some() {
            return None;
        }
        Some(match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["out"].clone()),
        })
    });
    let answers: Vec<Option<Answer>> = answers.collect();
    writer.join().expect("all was asked");
    assert!(child.wait().expect("it ends").success(), "{of}: the oracle failed");
    assert_eq!(answers.len(), inputs.len(), "{of}: an answer to each question");
    answers
}

impl Compared {
    /// A comparison of nothing, from which others take what they do not say.
    const NOTHING: Self = Self {
        of: "",
        input: |_| Value::Null,
        ours: |_| Ok(Value::Null),
        heard: |_, answer| answer,
        errors: &[],
        known: &[],
    };

    fn check(&self) {
        let count = if is_nightly() { 20_000 } else { 2_000 };
        let mut dice = Dice::new(0x5eed);
        let inputs: Vec<Value> = (0..count).map(|_| (self.input)(&mut dice)).collect();
        let heard = inputs.iter().zip(ask(self.of, &inputs));
        let heard = heard.filter_map(|(input, answer)| Some((input, (self.heard)(input, answer?))));
        let compared: Vec<(&Value, Answer)> = heard.collect();
        let panicked = count - compared.len();
        let (mut found, mut new) = (BTreeMap::<usize, usize>::new(), Vec::new());
        for (input, theirs) in &compared {
            let ours = (self.ours)(input);
            if ours == *theirs {
                continue;
            }
            match self.known.iter().position(|known| (known.is)(input, &ours, theirs)) {
                Some(class) => *found.entry(class).or_default() += 1,
                None => new.push(format!("{input}\n    ours   {ours:?}\n    theirs {theirs:?}")),
            }
        }
        let taken = compared.iter().filter(|(_, answer)| answer.is_ok()).count() * 100 / compared.len().max(1);
        let errors: BTreeSet<&str> =
            compared.iter().filter_map(|(_, answer)| answer.as_ref().err()).map(String::as_str).collect();
        println!(
            "{}: {} compared, {taken} % taken, {} texts of errors, {} differ; the oracle panicked at {panicked}",
            self.of,
            compared.len(),
            errors.len(),
            new.len()
        );
        let agreeing = |class: &usize| !found.contains_key(class);
        let agree: Vec<&str> = (0..self.known.len()).filter(agreeing).map(|class| self.known[class].why).collect();
        let silent: Vec<&&str> =
            self.errors.iter().filter(|text| !errors.iter().any(|one| one.contains(**text))).collect();
        assert!(new.is_empty(), "{}: {} differ:\n{}", self.of, new.len(), new[..new.len().min(SHOWN)].join("\n"));
        assert!(panicked * PANICKED_MOST <= count, "{}: the oracle panicked at {panicked} of {count}", self.of);
        assert!(TAKEN.contains(&taken), "{}: {taken} % of the inputs are taken", self.of);
        assert!(silent.is_empty(), "{}: these errors did not occur: {silent:?}", self.of);
        assert!(agree.is_empty() || !is_nightly(), "{}: nothing differs any more by: {agree:?}", self.of);
    }
}

#[test]
fn quantities() {
    words::QUANTITY.check();
}

#[test]
fn label_selectors() {
    words::LABEL_SELECTOR.check();
}

#[test]
fn field_selectors() {
    words::FIELD_SELECTOR.check();
}

#[test]
fn names() {
    words::NAME.check();
}

#[test]
fn json_of_all_kinds() {
    codec::JSON.check();
}

#[test]
fn protobuf_of_all_kinds() {
    codec::PROTOBUF.check();
    codec::PROTOBUF_OF_GO.check();
}

#[test]
fn pod_security() {
    pods::POD_SECURITY.check();
}

#[test]
fn role_based_access_control() {
    rbac::AUTHORIZATION.check();
    rbac::ESCALATION.check();
}

#[test]
fn custom_resources_by_their_schemas() {
    structural::STRUCTURAL.check();
}

#[test]
fn recorded_expressions() {
    cel::check_recorded();
}

#[test]
fn expressions() {
    cel::CEL.check();
}

#[test]
fn applies_of_several_managers() {
    apply::APPLY.check();
}

#[test]
fn json_patches() {
    patches::JSON.check();
}

#[test]
fn merge_patches() {
    patches::MERGE.check();
}

#[test]
fn strategic_merge_patches() {
    patches::STRATEGIC.check();
}
