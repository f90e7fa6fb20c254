//! Schedules of five fields, with the words of the parser that Kubernetes uses (robfig/cron): its errors are what a
//! client sees.

use sampan_cel::zones;

/// The bounds of a field, and the names of its values.
struct Field {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { min: 0, max: 59, names: &[] },
    Field { min: 0, max: 23, names: &[] },
    Field { min: 1, max: 31, names: &[] },
    Field {
        min: 1,
        max: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];
const DESCRIPTORS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const EVERY: &str = "@every ";

/// The reason why the schedule is wrong, if it is.
pub(in crate::kinds) fn check(schedule: &str) -> Result<(), String> {
    let mut spec = schedule;
    if spec.is_empty() {
        return Err("empty spec string".to_owned());
    }
    if spec.starts_with("TZ=") || spec.starts_with("CRON_TZ=") {
        match spec.split_once(' ') {
            Some((zone, rest)) => {
                let name = zone.split_once('=').map_or("", |(_, name)| name);
                if name != "Local" && zones::find(name).is_none() {
                    return Err(format!("provided bad location {name}: unknown time zone {name}"));
                }
                spec = rest.trim();
            }
            None => return Err("invalid schedule".to_owned()),
        }
    }
    if spec.starts_with('@') {
        return descriptor(spec);
    }
    let fields: Vec<&str> = spec.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly {} fields, found {}: [{}]",
            FIELDS.len(),
            fields.len(),
            fields.join(" ")
        ));
    }
    fields
        .iter()
        .zip(&FIELDS)
        .try_for_each(|(text, field)| text.split(',').filter(|t| !t.is_empty()).try_for_each(|t| range(t, field)))
}

fn descriptor(spec: &str) -> Result<(), String> {
    if DESCRIPTORS.contains(&spec) {
        return Ok(());
    }
    match spec.strip_prefix(EVERY) {
        Some(duration) if is_duration(duration) => Ok(()),
        Some(duration) => Err(format!(
            "failed to parse duration {spec}: time: invalid duration {}",
            sampan_api::field::go_quote(duration)
        )),
        None => Err(format!("unrecognized descriptor: {spec}")),
    }
}

/// As Go writes durations: `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let unit = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .into_iter()
            .filter(|u| rest[digits..].starts_with(u))
            .max_by_key(|u| u.len());
        match unit {
            Some(unit) if digits > 0 && rest[..digits].bytes().any(|b| b.is_ascii_digit()) => {
                rest = &rest[digits + unit.len()..]
            }
            _ => return false,
        }
    }
    true
}

/// `*`, `n`, `n-m`, each with `/step`.
fn range(text: &str, field: &Field) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let (start, mut end, single);
    if matches!(ends[0], "*" | "?") {
        (start, end, single) = (field.min, field.max, false);
    } else {
        start = number(ends[0], field)?;
        end = match ends.as_slice() {
            [_] => start,
            [_, end] => number(end, field)?,
            _ => return Err(format!("too many hyphens: {text}")),
        };
        single = ends.len() == 1;
    }
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = integer(step)?;
            if single {
                end = field.max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < field.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", field.min));
    }
    if end > field.max {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", field.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn number(text: &str, field: &Field) -> Result<u32, String> {
    let named = field.names.iter().position(|name| *name == text.to_lowercase());
    match named.and_then(|index| u32::try_from(index).ok()) {
        Some(index) => Ok(field.min + index),
        None => integer(text),
    }
}

fn integer(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => u32::try_from(number).map_err(|_| format!("failed to parse int from {text}: value out of range")),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            sampan_api::field::go_quote(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn schedules() {
        let fine = |schedule| assert_eq!(super::check(schedule), Ok(()), "{schedule}");
        let wrong = |schedule, text: &str| assert_eq!(super::check(schedule), Err(text.to_owned()), "{schedule}");
        fine("*/5 * * * *");
        fine("0 0 1,15 jan-MAR mon");
        fine("@every 1h30m");
        fine("@daily");
        wrong("x", "expected exactly 5 fields, found 1: [x]");
        wrong("61 25 32 13 8", "end of range (61) above maximum (59): 61");
        wrong("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax");
        wrong("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        wrong("*/0 * * * *", "step of range should be a positive number: */0");
    }
}
