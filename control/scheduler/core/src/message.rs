//! kube-scheduler's exact words (pkg/scheduler/framework, v1.35).

use std::collections::BTreeMap;

/// There is no node at all.
pub const NO_NODES: &str = "no nodes available to schedule pods";

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
        message.push(' ');
        message.push_str(after);
    }
    message
}

/// What DefaultPreemption says when it finds no victims; `resolvable`: nodes where an eviction could have helped.
pub fn preemption(nodes: u32, resolvable: u32, never: bool) -> String {
    if never {
        return "preemption: not eligible due to preemptionPolicy=Never.".to_owned();
    }
    let victims = ["No preemption victims found for incoming pod".to_owned()];
    let helpless = ["Preemption is not helpful for scheduling".to_owned()];
    let parts: [(&[String], u32); 2] = [(&victims, resolvable), (&helpless, nodes - resolvable)];
    format!("preemption: {}", fit_error(nodes, parts.into_iter().filter(|(_, count)| *count > 0), ""))
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
        assert_eq!(
            fit_error(3, refusals, &preemption(3, 2, false)),
            "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 2 Insufficient cpu. \
             preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims \
             found for incoming pod."
        );
        assert_eq!(
            fit_error(1, [(&taint[..], 1)], &preemption(1, 0, false)),
            "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: 0/1 nodes are available: 1 \
             Preemption is not helpful for scheduling."
        );
        assert_eq!(
            fit_error(1, [(&cpu[..], 1)], &preemption(1, 1, true)),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
        );
    }
}
