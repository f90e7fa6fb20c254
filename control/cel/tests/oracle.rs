//! Each case of `oracle/cases.txt` against what Kubernetes' own environment found (`oracle/expected.jsonl`, written by
//! `tests/clients/oracle`): whether it compiles and the errors' text, its type, the most it can cost, its value or its error,
//! and what it did cost. `oracle/known.tsv` names the cases that differ; the list only shrinks.

use sampan_cel::{Decl, Environment, Inputs, Program, Root, Type, Value};
use serde_json::Value as Json;
use std::collections::BTreeSet;

const COST_MAX: u64 = 1_000_000;

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::String(text) => format!("{:?}", &**text),
        _ => "?".into(),
    }
}

/// What differs between the expected outcome and ours; empty where nothing does.
fn difference(expected: &Json, decl: &std::sync::Arc<Decl>, environment: &Environment, data: &Json) -> String {
    let text = |name: &str| expected[name].as_str().unwrap_or_default();
    let program = match Program::compile(text("expr"), environment) {
        Ok(program) => program,
        Err(issues) if issues.to_string() == text("compile") => return String::new(),
        Err(issues) => return format!("compile: {issues:?} not {:?}", text("compile")),
    };
    if !text("compile").is_empty() {
        return format!("compiles; expected {:?}", text("compile"));
    }
    if program.ty().to_string() != text("type") {
        return format!("type {} not {}", program.ty(), text("type"));
    }
    let most = program.estimate(Some(decl)).max;
    if most != expected["most"].as_u64().unwrap_or(0) {
        return format!("estimated cost {most} not {}", expected["most"]);
    }
    let own = Value::of(data, decl).expect("the data is as the schema says");
    let inputs = Inputs::new([("self", own), ("dynamic", Value::of_json(data))]);
    let (value, cost) = program.run(&inputs, COST_MAX);
    let outcome = match &value {
        Ok(value) => (shown(value), String::new()),
        Err(error) => (String::new(), error.to_string()),
    };
    if outcome != (text("value").to_owned(), text("error").to_owned()) {
        return format!("found {outcome:?} not {:?}", (text("value"), text("error")));
    }
    if Some(cost) != expected["cost"].as_u64() {
        return format!("cost {cost} not {}", expected["cost"]);
    }
    String::new()
}

#[test]
fn expressions_are_what_they_are_in_kubernetes() {
    let read = |text: &str| -> Json { serde_json::from_str(text).expect("a file of JSON") };
    let (schema, data) = (read(include_str!("oracle/schema.json")), read(include_str!("oracle/data.json")));
    let decl = Decl::of_schema(&schema, "selfType", Root::Resource).expect("a schema that can be used");
    let environment: Environment = [("self".into(), decl.ty()), ("dynamic".into(), Type::Dyn)].into();
    let known: BTreeSet<&str> =
        include_str!("oracle/known.tsv").lines().filter_map(|line| line.split('\t').next()).collect();
    let (mut wrong, mut agree, mut count) = (Vec::new(), Vec::new(), 0);
    for line in include_str!("oracle/expected.jsonl").lines() {
        let expected = read(line);
        let expr = expected["expr"].as_str().unwrap_or_default();
        let found = difference(&expected, &decl, &environment, &data);
        count += 1;
        match (found.is_empty(), known.contains(expr)) {
            (false, false) => wrong.push(format!("{expr}\t{found}")),
            (true, true) => agree.push(expr.to_owned()),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(agree.is_empty(), "these agree now, take them off known.tsv:\n{}", agree.join("\n"));
}
