//! PriorityLevelConfigurations: shares of the requests that are worked on at once.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::ordered;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::{Generation, MetadataOfUpdate};
use sampan_api::object::Object;
use serde_json::json;

pub(super) fn row() -> Resource {
    Resource::new("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration")
        .cluster_scoped()
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    validate: Some(|_, level| {
        let mut errors = FieldErrors::default();
        check(level, &mut errors);
        errors
    }),
    generation: Generation::Spec,
    ..Rules::NONE
};

const EXEMPT: &str = "exempt";
/// How v1beta3 writes that a level has no shares; in v1 the number itself says so.
const ZERO_SHARES: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
/// Bits of the hash out of which a flow's hand of queues is dealt.
const HASH_BITS_MAX: i64 = 60;

fn check(level: &Object, errors: &mut FieldErrors) {
    let at = At::object(level);
    if level.annotation(ZERO_SHARES).is_some() {
        let metadata = at.get("metadata");
        metadata.get("annotations").forbidden(errors, format!("annotation '{ZERO_SHARES}' is forbidden"));
    }
    let spec = at.get("spec");
    let type_ = spec.get("type");
    if (level.name() == EXEMPT) != (type_.text() == "Exempt") {
        type_.invalid_as(errors, type_.text(), "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    let limited = spec.get("limited");
    let response = limited.get("limitResponse");
    if type_.text() == "Limited" && response.get("type").text() == "Queue" {
        hand(response.get("queuing"), errors);
    }
    mandatory(level.name(), spec, errors);
}

/// The number of queues that a flow is dealt.
fn hand(queuing: At<'_>, errors: &mut FieldErrors) {
    let (hand, queues) = (queuing.get("handSize"), queuing.get("queues").number());
    if hand.number() <= 0 {
        return;
    }
    if hand.number() > queues {
        return hand.invalid(errors, format!("should not be greater than queues ({queues})"));
    }
    // Both fit int32: exact in a float.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let bits = ((queues as f64).log2() * hand.number() as f64).ceil() as i64;
    if bits > HASH_BITS_MAX {
        let (size, most) = (hand.number(), HASH_BITS_MAX);
        hand.invalid(
            errors,
            format!("required entropy bits of deckSize {queues} and handSize {size} should not be greater than {most}"),
        );
    }
}

/// The two levels without which requests would have no place are as they are, but for the shares of the exempt one.
fn mandatory(name: &str, spec: At<'_>, errors: &mut FieldErrors) {
    let mut found = spec.value().clone();
    let detail = match name {
        EXEMPT => {
            found.as_object_mut().map(|spec| spec.remove("exempt"));
            if found == json!({"type": "Exempt"}) {
                return;
            }
            format!("spec of '{name}' except the 'spec.exempt' field must equal the fixed value")
        }
        "catch-all" => {
            let limited = json!({
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
            });
            if found == json!({"type": "Limited", "limited": limited}) {
                return;
            }
            format!("spec of '{name}' must equal the fixed value")
        }
        _ => return,
    };
    spec.invalid_as(errors, ordered(spec.value(), &[]), detail);
}
