//! The rule that conditions of every kind share.

/// `lastTransitionTime` of a condition whose status is `status` now: it moves only when the status does (API conventions,
/// "Typical status properties"). `old`: status and time of the condition of that type as it was. `now` is asked for
/// when the time moves, or was never there.
pub fn transition_time<T>(old: Option<(&str, Option<T>)>, status: &str, now: impl FnOnce() -> Option<T>) -> Option<T> {
    match old {
        Some((was, Some(time))) if was == status => Some(time),
        _ => now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_with_the_status() {
        let check = |old: Option<(&str, Option<u8>)>, status: &str, expected: u8| {
            assert_eq!(transition_time(old, status, || Some(9)), Some(expected), "{old:?} then {status}");
        };
        check(None, "True", 9);
        check(Some(("True", Some(1))), "True", 1);
        check(Some(("False", Some(1))), "True", 9);
        check(Some(("True", None)), "True", 9);
    }
}
