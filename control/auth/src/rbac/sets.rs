//! Sets of rules by the texts that they name, in few bytes and fast to intersect.

/// Members of a set, in order: numbers of rules, or a bit for each rule of the role where that takes no more room.
#[derive(Clone, Copy, Debug)]
pub(super) enum Set<'a> {
    Few(&'a [u32]),
    Many(&'a [u64]),
}

impl Set<'_> {
    fn contains(self, member: u32) -> bool {
        match self {
            Self::Few(members) => members.binary_search(&member).is_ok(),
            Self::Many(words) => words[member as usize / BITS] & (1 << (member as usize % BITS)) != 0,
        }
    }
}

const BITS: usize = u64::BITS as usize;

fn words_of(rules: usize) -> usize {
    rules.div_ceil(BITS)
}

/// Whether something is in a set of each side. Takes as much as there are members of few, and a word for 64 rules.
pub(super) fn any_common(sides: &[&[Set<'_>]], rules: usize) -> bool {
    let within = |sets: &[Set<'_>], member: u32| sets.iter().any(|set| set.contains(member));
    let in_all = |but: usize, member: u32| sides.iter().enumerate().all(|(at, sets)| at == but || within(sets, member));
    let few_of = |at: usize| {
        let few = |set: &Set<'_>| match *set {
            Set::Few(members) => members.iter().copied().any(|member| in_all(at, member)),
            Set::Many(_) => false,
        };
        sides[at].iter().any(few)
    };
    let sparse = |sets: &[Set<'_>]| sets.iter().all(|set| matches!(set, Set::Few(_)));
    let size = |sets: &[Set<'_>]| {
        sets.iter().map(|set| if let Set::Few(members) = set { members.len() } else { 0 }).sum::<usize>()
    };
    // All that is common is in such a side.
    if let Some(least) = (0..sides.len()).filter(|at| sparse(sides[*at])).min_by_key(|at| size(sides[*at])) {
        return few_of(least);
    }
    let common = |word: usize| {
        let of = |sets: &[Set<'_>]| {
            sets.iter().fold(0, |all, set| if let Set::Many(words) = set { all | words[word] } else { all })
        };
        sides.iter().fold(u64::MAX, |all, sets| all & of(sets))
    };
    (0..words_of(rules)).any(|word| common(word) != 0) || (0..sides.len()).any(few_of)
}

/// Sets by text.
#[derive(Debug, Default)]
pub(super) struct Table {
    text: Box<str>,
    /// In the order of their texts.
    entries: Box<[Entry]>,
    few: Box<[u32]>,
    many: Box<[u64]>,
    /// Words of a set of many.
    words: usize,
}

#[derive(Debug)]
struct Entry {
    text: u32,
    length: u32,
    /// Where the set begins.
    at: u32,
    /// Members of few; 0: many.
    members: u32,
}

impl Table {
    /// `pairs`: texts and the rules that name them, in any order. `rules`: how many there are.
    pub fn new(mut pairs: Vec<(&str, u32)>, rules: usize) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let words = words_of(rules);
        let (mut text, mut entries, mut few, mut many) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            let entry = |at: usize, members: usize| Entry {
                text: text.len() as u32,
                length: group[0].0.len() as u32,
                at: at as u32,
                members: members as u32,
            };
            if group.len() < words {
                entries.push(entry(few.len(), group.len()));
                few.extend(group.iter().map(|(_, rule)| *rule));
            } else {
                entries.push(entry(many.len(), 0));
                let start = many.len();
                many.resize(start + words, 0u64);
                group.iter().for_each(|(_, rule)| many[start + *rule as usize / BITS] |= 1 << (*rule as usize % BITS));
            }
            text.push_str(group[0].0);
        }
        Self { text: text.into(), entries: entries.into(), few: few.into(), many: many.into(), words }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The text at that place of the order.
    pub fn text(&self, at: usize) -> &str {
        let entry = &self.entries[at];
        &self.text[entry.text as usize..(entry.text + entry.length) as usize]
    }

    /// The rules that name it.
    pub fn set(&self, at: usize) -> Set<'_> {
        let Entry { at, members, .. } = self.entries[at];
        let at = at as usize;
        match members as usize {
            0 => Set::Many(&self.many[at..at + self.words]),
            members => Set::Few(&self.few[at..at + members]),
        }
    }

    /// The greatest text that is not greater.
    pub fn not_greater(&self, wanted: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.text(middle) <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    /// The rules that name the text.
    pub fn get(&self, wanted: &str) -> Option<Set<'_>> {
        self.not_greater(wanted).filter(|at| self.text(*at) == wanted).map(|at| self.set(at))
    }
}
