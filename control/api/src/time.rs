//! Times as Kubernetes writes them.

use jiff::Timestamp;
use std::time::{Duration, SystemTime};

/// What lies beyond the years that can be written (9999) becomes the last moment, or the first, that can.
fn timestamp(time: SystemTime) -> Timestamp {
    let edge = if time > SystemTime::UNIX_EPOCH { Timestamp::MAX } else { Timestamp::MIN };
    Timestamp::try_from(time).unwrap_or(edge)
}

/// `metav1.Time`: whole seconds, UTC, `2026-01-02T03:04:05Z`.
pub fn rfc3339(time: SystemTime) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: six decimals, UTC, `2026-01-02T03:04:05.000006Z`.
pub fn rfc3339_micro(time: SystemTime) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Nine decimals, UTC: as container logs with timestamps carry them.
pub fn rfc3339_nano(time: SystemTime) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// Any RFC 3339 time. `None` when it is none.
pub fn parse(text: &str) -> Option<SystemTime> {
    let time: Timestamp = text.parse().ok()?;
    let duration = time.as_duration();
    if duration.is_negative() {
        SystemTime::UNIX_EPOCH.checked_sub(duration.unsigned_abs())
    } else {
        SystemTime::UNIX_EPOCH.checked_add(duration.unsigned_abs())
    }
}

/// How long ago, as `kubectl get` shows an age (apimachinery's duration.HumanDuration): `45s`, `3m12s`, `4h5m`, `2d3h`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |a: u64, unit: &str, b: u64, small: &str| {
        if b == 0 { format!("{a}{unit}") } else { format!("{a}{unit}{b}{small}") }
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 24 * 8 {
        two(hours / 24, "d", hours % 24, "h")
    } else if hours < 24 * 365 * 2 {
        format!("{}d", hours / 24)
    } else if hours < 24 * 365 * 8 {
        two(hours / 24 / 365, "y", (hours / 24) % 365, "d")
    } else {
        format!("{}y", hours / 24 / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_kubernetes_forms_and_come_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_323_045_000_006);
        assert_eq!(rfc3339(time), "2026-01-02T03:04:05Z");
        assert_eq!(rfc3339_micro(time), "2026-01-02T03:04:05.000006Z");
        assert_eq!(parse("2026-01-02T03:04:05.000006Z"), Some(time));
        assert_eq!(parse("2026-01-02T04:04:05.000006+01:00"), Some(time));
        assert_eq!(parse("yesterday"), None);
        let beyond = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX as u64);
        assert_eq!(rfc3339(beyond), "9999-12-30T22:00:00Z", "a time too late to be written is the last that can be");
    }

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        let check = |seconds: u64, text: &str| assert_eq!(human_duration(Duration::from_secs(seconds)), text);
        check(0, "0s");
        check(119, "119s");
        check(120, "2m");
        check(192, "3m12s");
        check(3600, "60m");
        check(4 * 3600 + 300, "4h5m");
        check(47 * 3600, "47h");
        check(51 * 3600, "2d3h");
        check(9 * 86400, "9d");
        check(3 * 365 * 86400 + 5 * 86400, "3y5d");
    }
}
