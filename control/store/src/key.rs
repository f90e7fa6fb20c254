//! The rules for keys, and the half-open range of keys that a prefix means.

use crate::error::Error;
use crate::limits::KEY_BYTES_MAX;

/// Keys begin with `/` and hold no control characters.
pub(crate) fn check(key: &str) -> Result<(), Error> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::TooLarge { what: "a key", size: key.len(), limit: KEY_BYTES_MAX });
    }
    check_prefix(key)?;
    if key.is_empty() {
        return Err(Error::Invalid("a key is empty".into()));
    }
    Ok(())
}

/// Whether anything can be stored under a key; nothing is under any other.
pub(crate) fn is_key(text: &str) -> bool {
    check(text).is_ok()
}

/// Whether a key can begin so.
pub(crate) fn is_prefix(text: &str) -> bool {
    check_prefix(text).is_ok()
}

pub(crate) fn check_prefix(prefix: &str) -> Result<(), Error> {
    if !prefix.is_empty() && !prefix.starts_with('/') {
        return Err(Error::Invalid(format!("{prefix:?} does not begin with /")));
    }
    if prefix.chars().any(char::is_control) {
        return Err(Error::Invalid(format!("{prefix:?} holds a control character")));
    }
    Ok(())
}

/// First string that is greater than every one beginning with `prefix`, a valid one.
pub(crate) fn end_of_prefix(prefix: &str) -> String {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The order of UTF-8 is that of code points; the surrogates' hole has no members.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return chars.into_iter().collect();
        }
    }
    // Every key begins with a slash.
    "0".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_told() {
        for (text, expected) in [("/a/b", true), ("/a/\0", false), ("a", false), ("", false)] {
            assert_eq!(is_key(text), expected, "{text:?}");
        }
        assert!(!is_key(&format!("/{}", "a".repeat(KEY_BYTES_MAX))));
    }

    #[test]
    fn a_prefix_ends_right_behind_its_last_key() {
        for (prefix, end) in [("/a/", "/a0"), ("", "0"), ("/a\u{d7ff}", "/a\u{e000}"), ("/b\u{10ffff}", "/c")] {
            assert_eq!(end_of_prefix(prefix), end, "{prefix:?}");
        }
    }
}
