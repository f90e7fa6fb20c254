//! Names of properties as identifiers of expressions: `x-y` is `x__dash__y`.

use std::borrow::Cow;

/// Words that are no names in an expression.
pub(crate) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
/// Words of the grammar, which are no names either.
const LITERALS: [&str; 4] = ["true", "false", "null", "in"];

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || LITERALS.contains(&name)
}

/// Whether a name can be used in an expression as it is.
pub fn is_identifier(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !is_reserved(name)
}

/// The identifier under which a property is used; `None` for a name that cannot be one.
pub fn escape(name: &str) -> Option<Cow<'_, str>> {
    let first = name.bytes().next()?;
    if first.is_ascii_digit() {
        return None;
    }
    if is_reserved(name) {
        return Some(format!("__{name}__").into());
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte)) {
        return None;
    }
    if !name.contains(['-', '.', '/']) && !name.contains("__") {
        return Some(name.into());
    }
    let words = [("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];
    let (mut rest, mut out) = (name, String::with_capacity(name.len() + 16));
    'next: while let Some(char) = rest.chars().next() {
        for (plain, word) in words {
            if let Some(after) = rest.strip_prefix(plain) {
                out.push_str(word);
                rest = after;
                continue 'next;
            }
        }
        out.push(char);
        rest = &rest[char.len_utf8()..];
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_are_escaped_as_kubernetes_does() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(escape(name).as_deref(), expected, "{name}");
        check("plain_1", Some("plain_1"));
        check("namespace", Some("__namespace__"));
        check("a-b.c/d", Some("a__dash__b__dot__c__slash__d"));
        check("a__b", Some("a__underscores__b"));
        check("a___b", Some("a__underscores___b"));
        check("1a", None);
        check("", None);
        check("a b", None);
        check("ä", None);
    }
}
