//! The verbs of the API.

/// The verbs of a row or subresource, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verbs(u16);

impl Verbs {
    pub const NONE: Self = Self(0);
    pub const CREATE: Self = Self(1);
    pub const DELETE: Self = Self(1 << 1);
    pub const DELETE_COLLECTION: Self = Self(1 << 2);
    pub const GET: Self = Self(1 << 3);
    pub const LIST: Self = Self(1 << 4);
    pub const PATCH: Self = Self(1 << 5);
    pub const UPDATE: Self = Self(1 << 6);
    pub const WATCH: Self = Self(1 << 7);
    /// The verbs of an ordinary stored resource: all eight.
    pub const ALL: Self = Self(0xff);
    /// The verbs of a stored view of an object.
    pub const VIEW: Self = Self::GET.or(Self::PATCH).or(Self::UPDATE);

    const NAMED: [(Self, &'static str); 8] = [
        (Self::CREATE, "create"),
        (Self::DELETE, "delete"),
        (Self::DELETE_COLLECTION, "deletecollection"),
        (Self::GET, "get"),
        (Self::LIST, "list"),
        (Self::PATCH, "patch"),
        (Self::UPDATE, "update"),
        (Self::WATCH, "watch"),
    ];

    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// The names as discovery and authorization have them, in alphabetical order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.into_iter().filter(move |(verb, _)| self.contains(*verb)).map(|(_, name)| name)
    }
    /// The verb of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(_, n)| *n == name).map(|(verb, _)| verb)
    }
}
