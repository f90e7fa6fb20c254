//! Query strings, read as Go's `url.ParseQuery` reads them.

use crate::limits::QUERY_PAIRS_MAX;
use sampan_api::percent;
use std::borrow::Cow;

/// The decoded pairs of a query string, in order. A pair that cannot be decoded, or that holds a `;`, is left out.
#[derive(Debug, Default)]
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// The pairs of a query without its `?`; at most [`QUERY_PAIRS_MAX`] of them are read, and the rest is left out.
    pub fn parse(query: Option<&'a str>) -> Self {
        let Some(query) = query.filter(|query| !query.is_empty()) else { return Self::default() };
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.contains(';'))
            .take(QUERY_PAIRS_MAX)
            .filter_map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((percent::decode_query(key)?, percent::decode_query(value)?))
            })
            .collect();
        Self { pairs }
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// All values of that name, in order.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// Whether there is a value of that name, be it empty.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_go_reads_them() {
        let check = |query: &str, name: &str, value: Option<&str>| {
            assert_eq!(Query::parse(Some(query)).get(name), value, "{query}");
        };
        check("labelSelector=a%3Db,c+in+(d)", "labelSelector", Some("a=b,c in (d)"));
        check("watch", "watch", Some(""));
        check("a=1&a=2", "a", Some("1"));
        check("a=%zz&b=2", "a", None);
        check("a=%zz&b=2", "b", Some("2"));
        check("a=%ff", "a", None);
        check("a=1;b=2", "a", None);
        check("&&", "", None);
        assert_eq!(Query::parse(Some("dryRun=All&dryRun=x")).all("dryRun").collect::<Vec<_>>(), ["All", "x"]);
    }
}
