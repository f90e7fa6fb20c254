//! Indexes of an indexed Job's pods as its texts write them: `1,3-5,7` (pkg/apis/batch/validation).

use sampan_api::field::go_quote;

/// The completion mode of a Job whose pods have indexes.
pub(super) const INDEXED: &str = "Indexed";

/// The first and the last index of an interval.
type Interval = (i64, i64);

/// How many indexes the text names, each below `completions`, in growing order; or what is wrong with it.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let mut total = 0;
    let mut last = None;
    for part in text.split(',') {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(not_growing(last, first));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// An index that both texts name: their intervals are walked side by side, those that cannot be read aside.
pub(super) fn shared(one: &str, other: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<Interval> {
        if text.is_empty() {
            return Vec::new();
        }
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (one, other) = (read(one), read(other));
    let (mut at, mut other_at) = (0, 0);
    while let (Some(a), Some(b)) = (one.get(at), other.get(other_at)) {
        if a.0 <= b.1 && b.0 <= a.1 {
            return Some(a.0.max(b.0));
        }
        if a.0 <= b.0 {
            at += 1;
        } else {
            other_at += 1;
        }
    }
    None
}

fn interval(part: &str, completions: i64) -> Result<Interval, String> {
    let ends: Vec<&str> = part.split('-').collect();
    let index = |text: &str| match number(text) {
        None => Err(format!("cannot convert string to integer for index: {}", go_quote(text))),
        Some(number) if number >= completions => Err(format!("too large index: {}", go_quote(text))),
        Some(number) => Ok(number),
    };
    match ends.as_slice() {
        [only] => index(only).map(|only| (only, only)),
        [first, last] => {
            let (first, last) = (index(first)?, index(last)?);
            if first >= last { Err(not_growing(first, last)) } else { Ok((first, last)) }
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            go_quote(part)
        )),
    }
}

/// As Go's `Atoi` reads one: digits after a sign that may be there.
fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn not_growing(before: i64, after: i64) -> String {
    format!("non-increasing order, previous: {before}, current: {after}")
}
