//! Label and field selectors: the grammars of `k8s.io/apimachinery/pkg/labels` and `pkg/fields`.

use crate::field::{FieldError, FieldErrors, Path};
use crate::limits::SELECTOR_MAX;
use crate::names;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// The comparison that a requirement makes with a label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    Exists,
    DoesNotExist,
    In,
    NotIn,
    Equals,
    NotEquals,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The comparison with its value.
    pub operator: Operator,
    /// Sorted. One for the comparisons, at least one for In and NotIn, none for the rest.
    pub values: Vec<String>,
}

/// All of its requirements must hold; without any, everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    /// All must hold.
    pub requirements: Vec<Requirement>,
}

/// The reason why a selector could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

fn check_length(text: &str) -> Result<(), SelectorError> {
    if text.len() <= SELECTOR_MAX {
        return Ok(());
    }
    Err(SelectorError(format!("invalid selector: may not be more than {SELECTOR_MAX} bytes")))
}

impl Requirement {
    /// Checks what can be checked of a key, an operator and its values.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>, path: &Path) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::new();
        let key_problems = names::qualified_name(key);
        if !key_problems.is_empty() {
            errors.push(FieldError::invalid(&path.child("key"), key, key_problems.join("; ")));
        }
        let values_path = path.child("values");
        let shown = || Value::from(values.clone());
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => errors.push(FieldError::invalid(
                &values_path,
                shown(),
                "for 'in', 'notin' operators, values set can't be empty",
            )),
            Operator::Equals | Operator::NotEquals if values.len() != 1 => errors.push(FieldError::invalid(
                &values_path,
                shown(),
                "exact-match compatibility requires one single value",
            )),
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => errors.push(FieldError::invalid(
                &values_path,
                shown(),
                "values set must be empty for exists and does not exist",
            )),
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => errors.push(FieldError::invalid(
                &values_path,
                shown(),
                "for 'Gt', 'Lt' operators, exactly one value is required",
            )),
            Operator::GreaterThan | Operator::LessThan => {
                for (i, value) in values.iter().enumerate() {
                    if value.parse::<i64>().is_err() {
                        errors.push(FieldError::invalid(
                            &values_path.index(i),
                            value,
                            "for 'Gt', 'Lt' operators, the value must be an integer",
                        ));
                    }
                }
            }
            _ => {}
        }
        for (i, value) in values.iter().enumerate() {
            let problems = names::label_value(value);
            if !problems.is_empty() {
                errors.push(FieldError::invalid(&values_path.index(i).key(key), value, problems.join("; ")));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        values.sort();
        values.dedup();
        Ok(Self { key: key.to_owned(), operator, values })
    }

    /// Whether a label of this value, or without one, meets it.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.binary_search_by(|one| one.as_str().cmp(value)).is_ok();
        match (self.operator, value) {
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
            (Operator::In | Operator::Equals, value) => value.is_some_and(listed),
            (Operator::NotIn | Operator::NotEquals, value) => !value.is_some_and(listed),
            (Operator::GreaterThan | Operator::LessThan, None) => false,
            (Operator::GreaterThan | Operator::LessThan, Some(value)) => {
                let (Ok(have), Some(Ok(bound))) = (value.parse::<i64>(), self.values.first().map(|v| v.parse::<i64>()))
                else {
                    return false;
                };
                if self.operator == Operator::GreaterThan { have > bound } else { have < bound }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.values.first().map_or("", String::as_str);
        match self.operator {
            Operator::Exists => f.write_str(&self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
            Operator::In => write!(f, "{} in ({})", self.key, self.values.join(",")),
            Operator::NotIn => write!(f, "{} notin ({})", self.key, self.values.join(",")),
            Operator::Equals => write!(f, "{}={first}", self.key),
            Operator::NotEquals => write!(f, "{}!={first}", self.key),
            Operator::GreaterThan => write!(f, "{}>{first}", self.key),
            Operator::LessThan => write!(f, "{}<{first}", self.key),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl LabelSelector {
    /// The selector that everything matches.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether everything matches.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Reads the form of query parameters: `a=b,c in (x, y),!d`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        check_length(text)?;
        let mut parser = Parser { tokens: lex(text), at: 0 };
        let mut requirements = parser.requirements().map_err(SelectorError)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// Reads a `metav1.LabelSelector`. An empty one selects everything; what an absent one means is the caller's rule.
    pub fn from_v1(selector: &Value, path: &Path) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::new();
        let mut requirements = Vec::new();
        let mut add = |result: Result<Requirement, FieldErrors>| match result {
            Ok(requirement) => requirements.push(requirement),
            Err(more) => errors.extend(more),
        };
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            add(Requirement::new(key, Operator::Equals, vec![value], &path.child("matchLabels")));
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for (i, expression) in expressions.into_iter().flatten().enumerate() {
            let path = path.child("matchExpressions").index(i);
            let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let at = path.child("operator");
                    let error = FieldError::invalid(&at, other, "not a valid selector operator");
                    add(Err([error].into_iter().collect()));
                    continue;
                }
            };
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            add(Requirement::new(text("key"), operator, values, &path));
        }
        if errors.is_empty() { Ok(Self { requirements }) } else { Err(errors) }
    }

    /// `label` gives the value of a label of the object in question.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// Whether labels in a map match.
    pub fn matches_map(&self, labels: &std::collections::BTreeMap<String, String>) -> bool {
        self.matches(|key| labels.get(key).map(String::as_str))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Symbol(&'static str),
    End,
}

impl Token {
    fn literal(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Symbol(symbol) => symbol,
            Self::End => "",
        }
    }
}

/// As Kubernetes' lexer, to which a NUL is the end of the text: in the place of a token it ends the selector, and after one it is
/// passed over.
fn lex(text: &str) -> Vec<Token> {
    const END: char = '\0';
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let symbol = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"].into_iter().find(|s| rest.starts_with(s));
        if let Some(symbol) = symbol {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else if rest.is_empty() || rest.starts_with(END) {
            tokens.push(Token::End);
            return tokens;
        } else {
            let special =
                |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<' | ' ' | '\t' | '\r' | '\n' | END);
            let end = rest.find(special).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.strip_prefix(END).unwrap_or(rest);
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Token::End => return Ok(out),
                Token::Word(_) | Token::Symbol("!") => {
                    out.push(self.requirement().map_err(|error| format!("unable to parse requirement: {error}"))?);
                    match self.next() {
                        Token::End => return Ok(out),
                        Token::Symbol(",") => {
                            let after = self.peek();
                            if !matches!(after, Token::Word(_) | Token::Symbol("!")) {
                                return Err(format!("found '{}', expected: identifier after ','", after.literal()));
                            }
                        }
                        other => {
                            return Err(format!("found '{}', expected: ',' or 'end of string'", other.literal()));
                        }
                    }
                }
                other => {
                    return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.literal()));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek() == &Token::Symbol("!");
        if negated {
            self.at += 1;
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.literal())),
        };
        let problems = names::qualified_name(&key);
        if !problems.is_empty() {
            return Err(FieldError::invalid(&Path::root(), key, problems.join("; ")).to_string());
        }
        let finish = |operator, values| {
            Requirement::new(&key, operator, values, &Path::root()).map_err(|errors| errors.to_string())
        };
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return finish(if negated { Operator::DoesNotExist } else { Operator::Exists }, Vec::new());
        }
        if negated {
            // Go infers DoesNotExist from the mark and leaves what follows to the caller.
            return finish(Operator::DoesNotExist, Vec::new());
        }
        let operator = match self.next() {
            Token::Word(word) if word == "in" => Operator::In,
            Token::Word(word) if word == "notin" => Operator::NotIn,
            Token::Symbol("=" | "==") => Operator::Equals,
            Token::Symbol("!=") => Operator::NotEquals,
            Token::Symbol(">") => Operator::GreaterThan,
            Token::Symbol("<") => Operator::LessThan,
            other => {
                return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.literal()));
            }
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        finish(operator, values)
    }

    fn exact_value(&mut self) -> Result<String, String> {
        match self.peek().clone() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            Token::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            other @ Token::Symbol(_) => Err(format!("found '{}', expected: identifier", other.literal())),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != Token::Symbol("(") {
            return Err(format!("found '{}' expected: '('", open.literal()));
        }
        match self.peek() {
            Token::Word(_) | Token::Symbol(",") => {}
            Token::Symbol(")") => {
                self.at += 1;
                return Ok(vec![String::new()]);
            }
            other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.literal())),
        }
        // A set, as Go has it. Between two commas, and before and after the only one, stands the empty string.
        let mut out = BTreeSet::new();
        loop {
            match (self.next(), self.peek()) {
                (Token::Word(word), after) => {
                    out.insert(word);
                    if !matches!(after, Token::Symbol("," | ")")) {
                        return Err(format!("found '{}', expected: ',' or ')'", after.literal()));
                    }
                }
                (Token::Symbol(","), after) => {
                    if out.is_empty() || matches!(after, Token::Symbol("," | ")")) {
                        out.insert(String::new());
                    }
                }
                (other, _) => return Err(format!("found '{}', expected: ',', or identifier", other.literal())),
            }
            if self.peek() == &Token::Symbol(")") {
                self.at += 1;
                return Ok(out.into_iter().collect());
            }
        }
    }
}

/// One term of a field selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// The field's path: `metadata.name`.
    pub field: String,
    /// The value that it is compared with.
    pub value: String,
    /// Whether it must be equal (`=`) or must not (`!=`).
    pub equal: bool,
}

/// `spec.nodeName=a,status.phase!=Running`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    /// All must hold.
    pub requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// The selector that everything matches.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether everything matches.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Reads `a=b,c!=d`, as `fields.ParseSelector` does: terms in the order of their texts, and a term that compares no field
    /// with nothing (`=`) is none.
    ///
    /// # Errors
    /// When it is no such list.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        check_length(text)?;
        let mut requirements = Vec::new();
        let mut terms = split_terms(text);
        terms.sort_unstable();
        for term in terms.into_iter().filter(|term| !term.is_empty()) {
            let cannot = || SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'"));
            let (field, operator, value) = split_term(term).ok_or_else(cannot)?;
            let value = unescape(value)?;
            if !field.is_empty() || !value.is_empty() {
                requirements.push(FieldRequirement { field: field.to_owned(), value, equal: operator != "!=" });
            }
        }
        Ok(Self { requirements })
    }

    /// `field` gives the value of a field of the object in question; an absent one counts as empty.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|one| (field(&one.field).unwrap_or_default() == one.value) == one.equal)
    }

    /// The value that a field must have, if the selector says so: what lets an index serve it.
    pub fn required_value(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|one| one.equal && one.field == field).map(|one| one.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, one) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let value = one.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{}{value}", one.field, if one.equal { "=" } else { "!=" })?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, &str, &str)> {
    term.char_indices().find_map(|(i, _)| {
        let operator = ["!=", "==", "="].into_iter().find(|operator| term[i..].starts_with(operator))?;
        Some((&term[..i], operator, &term[i + operator.len()..]))
    })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => {
                    return Err(SelectorError(format!("invalid field selector: invalid escape sequence: \\{c}")));
                }
                None => return Err(SelectorError("invalid field selector: invalid escape sequence: \\".into())),
            },
            ',' | '=' => {
                // Go prints the rune as a number.
                let rune = u32::from(c);
                return Err(SelectorError(format!("invalid field selector: unescaped character in value: {rune}")));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn label_selectors_match_as_kubernetes_matches() {
        let labels: BTreeMap<String, String> =
            [("app", "web"), ("tier", "1"), ("x.io/y", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let check = |text: &str, expected: bool| {
            let selector = LabelSelector::parse(text).expect(text);
            assert_eq!(selector.matches_map(&labels), expected, "{text}");
            assert_eq!(LabelSelector::parse(&selector.to_string()).expect("its own form"), selector, "{text}");
        };
        for text in [
            "",
            "app",
            "app=web",
            "app==web",
            "app in (a, web)",
            "app notin (b)",
            "!none",
            "none!=a",
            "tier>0",
            "tier<2",
            "x.io/y=",
            "none notin (a)",
            "app=web,tier=1",
            "in!=a",
            // A NUL ends it, or what stands before it.
            "\0none",
            "app \0none",
            "app\0\0none",
            "app=\0web",
            "app in (a\0,\0web\0)",
            "app,\0tier",
        ] {
            check(text, true);
        }
        for text in ["none", "app!=web", "!app", "app in (a)", "tier>1", "app=web,none", "x.io/y!="] {
            check(text, false);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_kubernetes_words() {
        let check = |text: &str, error: &str| assert_eq!(LabelSelector::parse(text).expect_err(text).0, error);
        check("a,", "found '', expected: identifier after ','");
        check(",a", "found ',', expected: !, identifier, or 'end of string'");
        check("a=b=c", "found '=', expected: ',' or 'end of string'");
        check("a in b", "unable to parse requirement: found 'b' expected: '('");
        check("a\0b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
        check("a=b\0c", "found 'c', expected: ',' or 'end of string'");
        check("a,\0", "found '', expected: identifier after ','");
        check("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
        assert!(LabelSelector::parse("a in (").is_err() && LabelSelector::parse("a>b").is_err());
    }

    #[test]
    fn v1_selectors() {
        let selector =
            json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]});
        let selector = LabelSelector::from_v1(&selector, &Path::new("spec")).expect("valid");
        assert_eq!(selector.to_string(), "a=b,c in (d)");
        let bad = json!({"matchExpressions": [{"key": "c", "operator": "Near"}]});
        let errors = LabelSelector::from_v1(&bad, &Path::new("spec")).expect_err("not an operator");
        assert_eq!(
            errors.to_string(),
            "spec.matchExpressions[0].operator: Invalid value: \"Near\": not a valid selector operator"
        );
    }

    #[test]
    fn field_selectors() {
        let selector = FieldSelector::parse("spec.nodeName=a,status.phase!=Running,x==b\\,c").expect("valid");
        assert_eq!(selector.to_string(), "spec.nodeName=a,status.phase!=Running,x=b\\,c");
        assert_eq!(selector.required_value("spec.nodeName"), Some("a"));
        let fields = |name: &str| match name {
            "spec.nodeName" => Some("a"),
            "x" => Some("b,c"),
            _ => None,
        };
        assert!(selector.matches(fields));
        let check = |text: &str, error: &str| assert_eq!(FieldSelector::parse(text).expect_err(text).0, error);
        check("nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'");
        check("a=b=c", "invalid field selector: unescaped character in value: 61");
        check(r"a=b\c", r"invalid field selector: invalid escape sequence: \c");
    }

    #[test]
    fn a_selector_has_a_longest_form() {
        let fits = "a".repeat(63) + &",a".repeat((SELECTOR_MAX - 63) / 2);
        LabelSelector::parse(&fits).expect("not too long");
        let text = format!("a={}", "b".repeat(SELECTOR_MAX));
        assert!(LabelSelector::parse(&text).is_err() && FieldSelector::parse(&text).is_err());
    }
}
