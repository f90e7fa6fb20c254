//! kube-scheduler's exact words (pkg/scheduler/framework, v1.35), and texts made fit to be shown.

use crate::constraints::Unserved;
use crate::limits;
use crate::policies::HeldPolicy;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// There is no node at all.
pub const NO_NODES: &str = "no nodes available to schedule pods";

/// The end of a text that was cut, as kube-scheduler writes it.
const CUT: &str = " ...";

/// The text, cut to at most `max` bytes where it is longer.
pub fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max.saturating_sub(CUT.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{CUT}", &text[..end])
}

/// The text with every character escaped that would move a cursor, or change what is seen of the others.
pub fn printable(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if hidden(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: ...`.
/// `refusals`: texts and how many nodes had them all.
pub fn fit_error<'a>(nodes: u32, refusals: impl IntoIterator<Item = (&'a [String], u32)>, after: &str) -> String {
    let mut histogram: BTreeMap<&str, u32> = BTreeMap::new();
    for (texts, count) in refusals {
        for text in texts {
            *histogram.entry(text).or_default() += count;
        }
    }
    // Sorted as texts, counts and all: that is how it reads in Kubernetes.
    let mut lines: Vec<String> = histogram.iter().map(|(text, count)| format!("{count} {text}")).collect();
    lines.sort_unstable();
    let mut message = format!("0/{nodes} nodes are available:");
    if !lines.is_empty() {
        message.push_str(&format!(" {}.", lines.join(", ")));
    }
    if !after.is_empty() {
        // The text that follows has a place of its own, however long the reasons are.
        message = shortened(&message, limits::MESSAGE_BYTES.saturating_sub(after.len() + 1));
        message.push(' ');
        message.push_str(after);
    }
    shortened(&message, limits::MESSAGE_BYTES)
}

/// Nodes by what an eviction could do about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// An eviction could help, but no pod there has a lower priority.
    pub no_victims: u32,
    /// Pods of lower priority are there: whether their eviction would help, nobody has looked.
    pub not_looked_for: u32,
    /// No eviction could help.
    pub helpless: u32,
}

/// The words of DefaultPreemption when it finds no victims. Where there may be some it is said that nobody looked: no
/// policy evicts pods yet.
pub fn preemption(nodes: u32, evictions: Evictions, never: bool) -> String {
    if never {
        return "preemption: not eligible due to preemptionPolicy=Never.".to_owned();
    }
    if evictions.not_looked_for > 0 {
        return format!(
            "preemption: not attempted: {} node(s) have pods of lower priority, and no policy evicts pods yet.",
            evictions.not_looked_for
        );
    }
    let victims = ["No preemption victims found for incoming pod".to_owned()];
    let helpless = ["Preemption is not helpful for scheduling".to_owned()];
    let parts: [(&[String], u32); 2] = [(&victims, evictions.no_victims), (&helpless, evictions.helpless)];
    format!("preemption: {}", fit_error(nodes, parts.into_iter().filter(|(_, count)| *count > 0), ""))
}

/// The reason why a pod waits for policies that may not be left out.
pub fn held(nodes: u32, policies: &[HeldPolicy]) -> String {
    let each: Vec<String> = policies.iter().map(|policy| format!("{:?}: {}", policy.name, policy.why)).collect();
    let text = format!(
        "0/{nodes} nodes are available: the pod waits for scheduling policy {} (its failurePolicy is Fail).",
        printable(&each.join("; "))
    );
    shortened(&text, limits::MESSAGE_BYTES)
}

/// The reason why a pod waits that makes demands which nothing acts on.
pub fn not_served(nodes: u32, unserved: &[Unserved]) -> String {
    let named: Vec<String> = unserved.iter().take(limits::CONSTRAINTS_NAMED).map(ToString::to_string).collect();
    let more = unserved.len().saturating_sub(named.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let text = format!(
        "0/{nodes} nodes are available: the pod demands what no scheduling policy serves yet: {}{more}.",
        printable(&named.join(", "))
    );
    shortened(&text, limits::MESSAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kubernetes_own() {
        let cpu = ["Insufficient cpu".to_owned()];
        let both = ["Insufficient cpu".to_owned(), "Too many pods".to_owned()];
        let taint = ["node(s) had untolerated taint(s)".to_owned()];
        let refusals: [(&[String], u32); 3] = [(&cpu, 1), (&both, 1), (&taint, 1)];
        let evictions = |no_victims, not_looked_for, helpless| Evictions { no_victims, not_looked_for, helpless };
        assert_eq!(
            fit_error(3, refusals, &preemption(3, evictions(2, 0, 1), false)),
            "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 2 Insufficient cpu. \
             preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims \
             found for incoming pod."
        );
        assert_eq!(
            fit_error(1, [(&taint[..], 1)], &preemption(1, evictions(0, 0, 1), false)),
            "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: 0/1 nodes are available: 1 \
             Preemption is not helpful for scheduling."
        );
        assert_eq!(
            fit_error(1, [(&cpu[..], 1)], &preemption(1, evictions(1, 0, 0), true)),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
        );
        assert_eq!(
            fit_error(2, [(&cpu[..], 2)], &preemption(2, evictions(1, 1, 0), false)),
            "0/2 nodes are available: 2 Insufficient cpu. preemption: not attempted: 1 node(s) have pods of lower \
             priority, and no policy evicts pods yet."
        );
    }

    #[test]
    fn what_is_shown_is_bounded_and_moves_no_cursor() {
        for (text, expected) in [
            ("Insufficient cpu", "Insufficient cpu"),
            ("a\nb\t\u{1b}[31m", "a\\nb\\t\\u{1b}[31m"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("größer", "größer"),
        ] {
            assert_eq!(printable(text), expected);
        }
        let many: Vec<String> = (0..10_000).map(|at| format!("reason {at}")).collect();
        let after = "preemption: not eligible due to preemptionPolicy=Never.";
        let message = fit_error(1, [(&many[..], 1)], after);
        assert!(message.len() <= limits::MESSAGE_BYTES && message.ends_with(after), "{}", message.len());
        assert_eq!(shortened("größer", 7), "gr ...", "never within a character");
    }
}
