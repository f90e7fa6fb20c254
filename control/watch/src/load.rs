//! The reading of resources' current state out of the store, decoded on all cores.

use crate::Error;
use crate::draft::{Decoder, Texts};
use crate::limits::{DECODE_HERE_MAX, LOAD_PAGE_MAX};
use crate::state::{Held, Map, ResourceState};
use sampan_env::blocking;
use sampan_store::{Entry, Range, RangeResult, Store};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::vec;
use tokio::task::JoinHandle;

/// All keys of objects begin with it; others (allocations, locks) are no resource's and are not kept here.
pub(crate) const ROOT: &str = "/registry/";

/// The resources that are read, by prefix, each with its place among the maps.
type Places = HashMap<Arc<str>, (usize, Arc<ResourceState>)>;

/// Records, each with the place of its resource and its key.
type Decoded = Vec<(usize, Arc<str>, Held)>;

/// The entries under a prefix at one revision, a page at a time.
enum Pages<'a> {
    /// Read already.
    Opened(vec::IntoIter<Entry>),
    Stored {
        store: &'a dyn Store,
        next: Option<Range>,
        at: Option<u64>,
    },
}

impl Pages<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        match self {
            Self::Opened(entries) => {
                let page: Vec<Entry> = entries.take(LOAD_PAGE_MAX).collect();
                Ok((!page.is_empty()).then_some(page))
            }
            Self::Stored { store, next, at } => {
                let Some(range) = next.take() else { return Ok(None) };
                let page = store.range(range.clone(), *at).await?;
                *at = Some(page.revision);
                if let Some(last) = page.entries.last().filter(|_| page.more) {
                    *next = Some(Range { start_after: Some(last.key.to_string()), ..range });
                }
                Ok(Some(page.entries))
            }
        }
    }
}

/// Reads what lies under `root` at one revision, hands each resource its part, and returns the revision. `opened`: that
/// state, where it has been read already.
pub(crate) async fn load(
    (store, decoder): (&dyn Store, &Arc<dyn Decoder>),
    root: &str,
    states: &[Arc<ResourceState>],
    opened: Option<RangeResult>,
) -> Result<u64, Error> {
    let places = states.iter().enumerate().map(|(at, state)| (state.prefix.clone(), (at, state.clone())));
    let places: Arc<Places> = Arc::new(places.collect());
    let mut maps: Vec<Map> = states.iter().map(|_| Map::new()).collect();
    let mut take = |decoded: Decoded| {
        for (at, key, record) in decoded {
            maps[at].insert(key, record);
        }
    };
    let (mut pages, mut revision) = match opened {
        Some(opened) => (Pages::Opened(opened.entries.into_iter()), Some(opened.revision)),
        None => {
            let first = Range { limit: Some(LOAD_PAGE_MAX), ..Range::prefix(root) };
            (Pages::Stored { store, next: Some(first), at: None }, None)
        }
    };
    let decoders = std::thread::available_parallelism().map_or(1, usize::from);
    let mut decoding = VecDeque::new();
    while let Some(page) = pages.next().await? {
        if page.len() <= DECODE_HERE_MAX {
            take(decode(page, &places, &**decoder));
            continue;
        }
        let (places, decoder) = (places.clone(), decoder.clone());
        decoding.push_back(blocking(move || decode(page, &places, &*decoder)));
        if decoding.len() > decoders
            && let Some(first) = decoding.pop_front()
        {
            take(done(first).await);
        }
    }
    for page in decoding {
        take(done(page).await);
    }
    if let Pages::Stored { at, .. } = pages {
        revision = at;
    }
    let revision = revision.unwrap_or_default();
    for (state, map) in states.iter().zip(maps) {
        state.loaded(map, revision, &**decoder);
    }
    Ok(revision)
}

/// What a thread decoded; a panic of its goes on here.
async fn done(decoding: JoinHandle<Decoded>) -> Decoded {
    decoding.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The records of those entries that are of a resource and can be read.
fn decode(page: Vec<Entry>, places: &Places, decoder: &dyn Decoder) -> Decoded {
    let mut texts = Texts::default();
    let record = |entry: Entry| {
        let (at, state) = prefix_of(&entry.key).and_then(|prefix| places.get(prefix))?;
        let record = state.record_or_log(&entry, decoder, &mut texts)?;
        Some((*at, entry.key, Held::new(record)))
    };
    page.into_iter().filter_map(record).collect()
}

/// `/registry/apps/deployments/` of `/registry/apps/deployments/default/web`.
pub(crate) fn prefix_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(ROOT)?;
    let group = rest.find('/')? + 1;
    let resource = rest[group..].find('/')? + 1;
    Some(&key[..ROOT.len() + group + resource])
}
