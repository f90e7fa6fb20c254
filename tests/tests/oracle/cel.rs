//! Expressions in CEL: whether they compile, their type, the most they can cost, what they come to, and what that did cost.
//! Those of `cel/cases.txt` are compared with what was found of them once (`cel/expected.jsonl`), those that are made of
//! them by chance with what the oracle says.

use crate::{Answer, Compared, Known};
use sampan_cel::{Decl, Environment, Inputs, Program, Root, Type, Value};
use sampan_tests::expressions::{self, ABOUT};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// What the oracle allows an expression.
const COST_MAX: u64 = 1_000_000;

pub(crate) const CEL: Compared = Compared {
    of: "cel",
    input: |dice| json!({"schema": ABOUT.0, "data": ABOUT.1, "expr": expressions::any(dice)}),
    ours,
    heard,
    errors: &[
        "found no matching overload for",
        "undeclared reference to",
        "undefined field",
        "Syntax error:",
        "no such key:",
        "division by zero",
        "index out of bounds:",
        "type conversion error",
    ],
    known: &[
        Known {
            why: "cel-go walks a map in the order of Go's maps (common/types/map.go: mapIterator), which is another at each run: \
              what is found first and where a loop ends is chance",
            is: |input, ours, theirs| {
                let text = input["expr"].as_str().unwrap_or_default();
                let walks = LOOPS.iter().any(|one| text.contains(one)) && MAPS.iter().any(|one| text.contains(one));
                let type_and_most = |answer: &Answer| match answer {
                    Ok(found) => format!("{} {}", found[0].as_str().unwrap_or_default(), first(&found[1])),
                    Err(text) => text.split(", ").next().unwrap_or_default().to_owned(),
                };
                walks && type_and_most(ours) == type_and_most(theirs)
            },
        },
        Known {
            why: "the reference goes on after a syntax error and tells further ones, and says of some what it would put in \
                  (antlr4-go, error_strategy.go: Sync, singleTokenInsertion); ours tells the first",
            is: |_, ours, theirs| {
                let place = |answer: &Answer| {
                    let text = answer.as_ref().err()?;
                    text.split_once(": Syntax error:").map(|(place, _)| place.to_owned())
                };
                place(ours).is_some() && place(ours) == place(theirs)
            },
        },
        Known {
            why: "a macro that is wrong is told there beside a syntax error elsewhere (cel-go, parser/parser.go: expandMacro, for \
                  its tree is made although it does not parse); ours tells the syntax error alone",
            is: |_, ours, theirs| match (ours, theirs) {
                (Err(ours), Err(theirs)) => ours.contains(": Syntax error:") && theirs.contains(ours.as_str()),
                _ => false,
            },
        },
        Known {
            why: "what `type` is itself is a type without a parameter there (cel-go, checker/types.go: FormatCELType)",
            is: |_, ours, theirs| match (ours, theirs) {
                (Err(ours), Err(theirs)) => ours.replace("type(type(dyn))", "type(type)") == *theirs,
                _ => false,
            },
        },
        Known {
            why: "estimates beyond every budget are summed in another order, and end at another bound (cel-go, \
                  checker/cost.go: addUint64NoOverflow)",
            is: |_, ours, theirs| match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => {
                    beyond_budgets(&ours[1])
                        && beyond_budgets(&theirs[1])
                        && ours[0] == theirs[0]
                        && ours[2] == theirs[2]
                }
                _ => false,
            },
        },
        Known {
            why: "what an expression that fails has cost by then is counted there by the values on its stack \
                  (cel-go, interpreter/runtimecost.go: costTrackPlanOption): a few more or less",
            is: |_, ours, theirs| match (ours, theirs) {
                (Err(ours), Err(theirs)) => failing(ours).zip(failing(theirs)).is_some_and(|(ours, theirs)| {
                    ours.estimated == theirs.estimated && ours.why == theirs.why && ours.cost.abs_diff(theirs.cost) <= 3
                }),
                _ => false,
            },
        },
        Known {
            why: "the reference takes any value as the key of a map that an expression makes (common/types/map.go)",
            is: |_, ours, _| ours.as_ref().is_err_and(|text| text.contains(": unsupported key type: ")),
        },
    ],
};

/// Compares the recorded expressions. `cel/known.tsv` names those that differ; one that does not any more fails.
pub(crate) fn check_recorded() {
    let known: BTreeSet<&str> =
        include_str!("cel/known.tsv").lines().filter_map(|line| line.split('\t').next()).collect();
    let (mut wrong, mut agree, mut count) = (Vec::new(), Vec::new(), 0);
    for line in include_str!("cel/expected.jsonl").lines() {
        let recorded: Json = serde_json::from_str(line).expect("a line of JSON");
        let expr = recorded["expr"].as_str().unwrap_or_default().to_owned();
        let input = json!({"expr": expr});
        let (ours, theirs) = (ours(&input), heard(&input, Ok(recorded)));
        count += 1;
        match (ours == theirs, known.contains(expr.as_str())) {
            (false, false) => wrong.push(format!("{expr}\n    ours   {ours:?}\n    theirs {theirs:?}")),
            (true, true) => agree.push(expr),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(agree.is_empty(), "these agree now, take them off known.tsv:\n{}", agree.join("\n"));
}

/// What walks a map, or makes a text or a list of one.
const LOOPS: &[&str] = &[".all(", ".exists(", ".exists_one(", ".existsOne(", ".map(", ".filter(", ".transform"];
/// What is a map.
const MAPS: &[&str] = &["{", "spec.map", "spec.deep", "spec.any", "dynamic"];

/// The most that an expression can cost, out of both costs.
fn first(costs: &Json) -> &str {
    costs.as_str().and_then(|text| text.split(", ").next()).unwrap_or_default()
}

static DECLARED: LazyLock<(Arc<Decl>, Environment)> = LazyLock::new(|| {
    let decl = Decl::of_schema(&ABOUT.0, "selfType", Root::Resource).expect("a schema that can be used");
    let environment = Environment::from([("self".into(), decl.ty()), ("dynamic".into(), Type::Dyn)]);
    (decl, environment)
});

/// What the oracle found of an expression, as `ours` says it.
fn heard(_: &Json, answer: Answer) -> Answer {
    let found = answer?;
    let text = |name: &str| found[name].as_str().unwrap_or_default();
    if !text("compile").is_empty() {
        return Err(text("compile").to_owned());
    }
    let costs = format!("{}, {}", found["most"].as_u64().unwrap_or(0), found["cost"].as_u64().unwrap_or(0));
    if text("error").is_empty() {
        Ok(json!([text("type"), costs, text("value")]))
    } else {
        Err(format!("{} {costs}: {}", text("type"), text("error")))
    }
}

fn ours(input: &Json) -> Answer {
    let (decl, environment) = &*DECLARED;
    let text = input["expr"].as_str().unwrap_or_default();
    let program = Program::compile(text, environment).map_err(|issues| issues.to_string())?;
    let most = program.estimate(Some(decl)).max;
    let own = Value::of(&ABOUT.1, decl).expect("the data is as the schema says");
    let inputs = Inputs::new([("self", own), ("dynamic", Value::of_json(&ABOUT.1))]);
    let (value, cost) = program.run(&inputs, COST_MAX);
    let (ty, costs) = (program.ty().to_string(), format!("{most}, {cost}"));
    match value {
        Ok(value) => Ok(json!([ty, costs, shown(&value)])),
        Err(error) => Err(format!("{ty} {costs}: {error}")),
    }
}

/// As the oracle shows scalars; of what is none it shows nothing.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::String(text) => format!("{:?}", &**text),
        _ => "?".to_owned(),
    }
}

/// Whether the estimate in `ESTIMATE, COST` is over what any budget allows.
fn beyond_budgets(costs: &Json) -> bool {
    let estimate = costs.as_str().and_then(|text| text.split(", ").next()?.parse::<u64>().ok());
    estimate.is_some_and(|estimate| estimate > 1 << 60)
}

/// An evaluation that fails, as the oracle tells it: `TYPE ESTIMATE, COST: WHY`.
struct Failing<'a> {
    estimated: &'a str,
    cost: u64,
    why: &'a str,
}

fn failing(text: &str) -> Option<Failing<'_>> {
    let (costs, why) = text.split_once(": ")?;
    let (estimated, cost) = costs.split_once(", ")?;
    Some(Failing { estimated, cost: cost.parse().ok()?, why })
}
