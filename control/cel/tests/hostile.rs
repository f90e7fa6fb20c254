//! Expressions that are written to hurt: each ends in an error or at a limit, on a small stack.

use sampan_cel::limits::PER_CALL_COST_MAX;
use sampan_cel::{Environment, EvalError, Inputs, Program, Type, Value};
use serde_json::json;

/// The stack of a thread that serves.
const STACK_BYTES: usize = 2 << 20;

/// What becomes of an expression: the error of its compilation or of its run, or `fine`.
fn outcome(expression: String) -> String {
    let run = move || {
        let environment: Environment = [("x".into(), Type::Dyn)].into();
        let program = match Program::compile(&expression, &environment) {
            Ok(program) => program,
            Err(issues) => return issues.to_string(),
        };
        let data = json!({"list": vec![1; 1000], "text": "a".repeat(100_000)});
        let inputs = Inputs::new([("x", Value::of_json(&data))]);
        match program.run(&inputs, PER_CALL_COST_MAX).0 {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    // The stack is what is tried here, and so the thread is made by hand.
    #[allow(clippy::disallowed_methods)]
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).expect("a thread");
    thread.join().expect("it does not panic")
}

#[test]
fn expressions_that_nest_too_deep_are_refused() {
    let check = |expression: String| {
        let found = outcome(expression);
        assert!(found.contains("expression recursion limit exceeded: 250"), "{}", &found[..found.len().min(200)]);
    };
    for (open, close) in [("(", ")"), ("[", "]"), ("-(", ")"), ("{1: ", "}"), ("size(", ")"), ("true ? 1 : (", ")")] {
        check(format!("{}1{}", open.repeat(5_000), close.repeat(5_000)));
    }
    check(format!("x{}", ".a".repeat(5_000)));
    check(format!("x{}", "[0]".repeat(5_000)));
    check(format!("1{}", " + 1".repeat(5_000)));
    check(format!("x{}", " == x".repeat(5_000)));
    check(format!("{}1{}", "[1].map(i, ".repeat(300), ")".repeat(300)));
}

#[test]
fn what_is_allowed_to_nest_runs_on_a_small_stack() {
    assert_eq!(outcome(format!("{}1{} != 1", "(".repeat(200), ")".repeat(200))), "fine");
    assert_eq!(outcome(format!("size({}1{}) == 1", "[".repeat(200), "]".repeat(200))), "fine");
    assert_eq!(outcome(format!("1{} > 0", " + 1".repeat(240))), "fine");
    assert_eq!(outcome(format!("{}true{}", "[1].all(i, ".repeat(60), ")".repeat(60))), "fine");
    assert_eq!(outcome(format!("true{}", " || true".repeat(9_000))), "fine");
}

#[test]
fn expressions_that_grow_are_stopped() {
    let limit = EvalError::CostExceeded.to_string();
    let check = |expression: &str| assert_eq!(outcome(expression.into()), limit, "{expression}");
    check("lists.range(1000000000000).size() > 0");
    check("x.list.all(a, x.list.all(b, x.list.all(c, a + b + c > 0)))");
    check("x.list.map(a, x.text + x.text).size() > 0");
    check("x.text.replace('', x.text).size() > 0");
    check("x.text.split('').map(c, x.text).join(x.text).size() > 0");
    check("x.list.map(a, x.list).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).size() > 0");
    check("x.text.split('').distinct().size() + x.text.split('').sort().size() > 0");
    let many = "%s".repeat(8_000);
    let args = vec!["x.text"; 8_000].join(", ");
    assert_eq!(outcome(format!("'{many}'.format([{args}]).size() > 0")), limit);
    let doubled = (0..40).fold("x.list".to_owned(), |inner, _| format!("[{inner}].map(a, a + a)[0]"));
    assert_eq!(outcome(format!("{doubled}.size() > 0")), limit);
}

#[test]
fn macros_and_types_that_explode_are_refused() {
    let doubled = (0..40).fold("optional.of(x)".to_owned(), |inner, _| format!("{inner}.optMap(a, a)"));
    assert!(outcome(doubled).contains("nodes when its macros are expanded"));
    let wide = (0..60).fold("[]".to_owned(), |inner, _| format!("[{inner}].map(a, {{'a': [a, a], 'b': [a]}})"));
    assert!(!outcome(wide).is_empty());
}

#[test]
fn patterns_are_bounded_and_linear() {
    assert!(outcome("x.text.matches('(a{1000}){1000}')".into()).contains("invalid matches argument"));
    assert_eq!(outcome("x.text.matches('^(a+)+$')".into()), "fine");
    assert_eq!(outcome("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches('^(a+)+$') || true".into()), "fine");
    assert_eq!(outcome("x.list.all(i, 'a'.matches('(b{1,99}){1,9}' + string(i)) || true)".into()), "fine");
}

#[test]
fn patterns_that_are_made_while_it_runs_are_bounded_in_sum() {
    let limit = EvalError::CostExceeded.to_string();
    let many = |pattern: &str| format!("lists.range(1000).all(i, 'a'.matches('{pattern}' + string(i)) || true)");
    assert_eq!(outcome(many("(b{1,99}){1,9}")), limit);
    assert_eq!(outcome(many("\\\\pL{1,5}")), limit);
    assert_eq!(outcome(many("^[a-z0-9]+-")), "fine");
    // Each is made and billed once, however often it is used.
    let again = "lists.range(100).all(i, lists.range(200).all(j, 'a'.matches('(b{1,9}){1,9}' + string(j)) || true))";
    assert_eq!(outcome(again.to_owned()), "fine");
    // What is none, or too large by itself, is an error of its own.
    assert!(outcome("'a'.matches('(' + x.text.charAt(0))".into()).contains("missing closing )"));
}

#[test]
fn texts_without_sense_are_refused_and_nothing_panics() {
    for text in [
        "",
        "\u{0}",
        "'",
        "\"\"\"",
        "b'\\",
        "r'",
        "0x",
        "1e",
        ".",
        "..",
        "`a b`",
        "é",
        "'\\ud800'",
        "'\\U00110000'",
        "-",
        "- -1",
        "a.?",
        "a[?",
        "{?",
        "[?",
        "{,}",
        "[,]",
        "x{",
        "x{a",
        "//",
        "\r\n\t",
        "in",
        "9".repeat(400).as_str(),
        "1.0e400",
    ] {
        assert_ne!(outcome(text.to_owned()), "", "{text}");
    }
    assert!(outcome("1".repeat(200_000)).contains("code point size exceeds limit"));
}
