//! client-go's event correlation (tools/record/events_cache.go): similar events combined into one, equal events counted,
//! and a token bucket for each source and object.

use super::recent::Recent;
use crate::limits;
use sampan_api::k8s::api::core::v1::Event;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// An event to be written: anew, or (repeated) as a higher count of the one of that name.
#[derive(Debug)]
pub(super) struct Correlated {
    pub event: Event,
    pub repeated: bool,
}

pub(super) struct Correlator {
    buckets: Recent<Bucket>,
    similar: Recent<Similar>,
    seen: Recent<Seen>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

struct Similar {
    messages: BTreeSet<String>,
    last: Instant,
}

struct Seen {
    count: i32,
    name: String,
    first: Option<Time>,
}

impl Default for Correlator {
    fn default() -> Self {
        let max = limits::EVENT_CACHE_MAX;
        Self { buckets: Recent::new(max), similar: Recent::new(max), seen: Recent::new(max) }
    }
}

impl Correlator {
    /// `None`: the source has said too much about this object.
    pub(super) fn correlate(&mut self, mut event: Event, now: Instant) -> Option<Correlated> {
        let source = event.source.clone().unwrap_or_default();
        let about = &event.involved_object;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let object = [
            text(&source.component),
            text(&source.host),
            text(&about.kind),
            text(&about.namespace),
            text(&about.name),
            text(&about.uid),
            text(&about.api_version),
        ]
        .join("\u{1f}");
        let group = format!("{object}\u{1f}{}\u{1f}{}", text(&event.type_), text(&event.reason));
        let message = text(&event.message);
        let key = if self.is_one_of_many(&group, &message, now) {
            event.message = Some(format!("(combined from similar events): {message}"));
            group
        } else {
            format!("{group}\u{1f}{}\u{1f}{message}", text(&about.field_path))
        };
        let seen = self.seen.entry(&key, || Seen { count: 0, name: String::new(), first: None });
        seen.count = seen.count.saturating_add(1);
        let repeated = seen.count > 1;
        if repeated {
            event.metadata.name = Some(seen.name.clone());
            event.first_timestamp = seen.first.clone();
            event.count = Some(seen.count);
        } else {
            seen.name = text(&event.metadata.name);
            seen.first = event.first_timestamp.clone();
        }
        // Last, as client-go has it: what is held back is counted, and the next that passes says how many there were.
        self.take_token(&object, now).then_some(Correlated { event, repeated })
    }

    fn take_token(&mut self, object: &str, now: Instant) -> bool {
        let bucket = self.buckets.entry(object, || Bucket { tokens: limits::EVENT_BURST, filled: now });
        let earned = now.duration_since(bucket.filled).as_secs_f64() / limits::EVENT_REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + earned).min(limits::EVENT_BURST);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Whether this message is one too many of those that differ from each other only in the message.
    fn is_one_of_many(&mut self, group: &str, message: &str, now: Instant) -> bool {
        let similar = self.similar.entry(group, || Similar { messages: BTreeSet::new(), last: now });
        if now.duration_since(similar.last) > limits::EVENT_SIMILAR_INTERVAL {
            similar.messages.clear();
        }
        similar.last = now;
        similar.messages.insert(message.to_owned());
        if similar.messages.len() < limits::EVENT_SIMILAR_MAX {
            return false;
        }
        similar.messages.pop_first();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[allow(clippy::disallowed_methods, reason = "any instant will do: the correlator only subtracts")]
    fn start() -> Instant {
        Instant::now()
    }

    fn event(name: &str, message: &str) -> Event {
        let mut event = Event { message: Some(message.into()), reason: Some("R".into()), ..Event::default() };
        event.metadata.name = Some(name.into());
        event.involved_object.name = Some("pod".into());
        event
    }

    #[test]
    fn equal_events_are_counted_under_the_first_name() {
        let (mut correlator, now) = (Correlator::default(), start());
        let check = |correlator: &mut Correlator, name: &str, message: &str, expected: (&str, Option<i32>, bool)| {
            let got = correlator.correlate(event(name, message), now).expect("not filtered");
            assert_eq!((got.event.metadata.name.as_deref().unwrap_or(""), got.event.count, got.repeated), expected);
        };
        check(&mut correlator, "1", "a", ("1", None, false));
        check(&mut correlator, "2", "a", ("1", Some(2), true));
        check(&mut correlator, "3", "b", ("3", None, false));
        check(&mut correlator, "4", "a", ("1", Some(3), true));
    }

    #[test]
    fn the_tenth_similar_event_is_combined_and_then_counted() {
        let (mut correlator, now) = (Correlator::default(), start());
        let mut told = Vec::new();
        for number in 1..=11 {
            let got =
                correlator.correlate(event(&number.to_string(), &format!("m{number}")), now).expect("not filtered");
            told.push((
                got.event.metadata.name.unwrap_or_default(),
                got.event.message.unwrap_or_default(),
                got.repeated,
            ));
        }
        assert_eq!(told[8], ("9".into(), "m9".into(), false));
        assert_eq!(told[9], ("10".into(), "(combined from similar events): m10".into(), false));
        assert_eq!(told[10], ("10".into(), "(combined from similar events): m11".into(), true));
        let later = now + limits::EVENT_SIMILAR_INTERVAL + Duration::from_secs(1);
        let got = correlator.correlate(event("12", "m12"), later).expect("not filtered");
        assert_eq!(got.event.message.as_deref(), Some("m12"));
    }

    #[test]
    fn a_source_may_burst_and_then_earns_one_each_five_minutes() {
        let (mut correlator, now) = (Correlator::default(), start());
        let passed = (0..40).filter(|_| correlator.correlate(event("1", "a"), now).is_some()).count();
        assert_eq!(passed, limits::EVENT_BURST as usize);
        assert!(correlator.correlate(event("1", "a"), now + limits::EVENT_REFILL / 2).is_none());
        let next = correlator.correlate(event("1", "a"), now + limits::EVENT_REFILL * 2).expect("not filtered");
        assert_eq!(next.event.count, Some(42), "those that were held back count");
    }
}
