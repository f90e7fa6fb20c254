//! Amounts of resources by name.

use sampan_api::k8s::apimachinery::pkg::api::resource::Quantity as Text;
use sampan_api::quantity::{Format, Quantity};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Amounts of resources by their names (`ResourceList`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, Quantity>);

impl Amounts {
    /// Out of an object's list. What does not parse is left out.
    pub fn of(list: Option<&BTreeMap<String, Text>>) -> Self {
        let parsed = list.into_iter().flatten();
        Self(parsed.filter_map(|(name, text)| Some((name.clone(), text.0.parse().ok()?))).collect())
    }

    /// As an object's list.
    pub fn to_list(&self) -> BTreeMap<String, Text> {
        self.0.iter().map(|(name, amount)| (name.clone(), Text(amount.to_string()))).collect()
    }

    /// The names and amounts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The amount of that name.
    pub fn get(&self, name: &str) -> Option<Quantity> {
        self.0.get(name).copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the amount of a name.
    pub fn set(&mut self, name: impl Into<String>, amount: Quantity) {
        self.0.insert(name.into(), amount);
    }

    /// Sets a number without a unit.
    pub fn set_count(&mut self, name: impl Into<String>, count: i64) {
        self.set(name, Quantity::from_units(count, Format::DecimalSi));
    }

    /// Adds to each name.
    pub fn add(&mut self, other: &Self) {
        other.iter().for_each(|(name, amount)| self.add_one(name, amount));
    }

    /// Adds to a name.
    pub fn add_one(&mut self, name: &str, amount: Quantity) {
        match self.0.entry(name.to_owned()) {
            Entry::Vacant(free) => drop(free.insert(amount)),
            Entry::Occupied(mut there) => {
                let sum = there.get().plus(amount);
                there.insert(sum);
            }
        }
    }

    /// The greater amount of each name.
    pub fn raise(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            if self.get(name).is_none_or(|own| amount > own) {
                self.set(name, amount);
            }
        }
    }

    /// The difference of each name, nothing where it would be negative (`SubtractWithNonNegativeResult`).
    #[must_use]
    pub fn above(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for name in self.names().chain(other.names()) {
            let difference = self.get(name).unwrap_or(Quantity::ZERO).minus(other.get(name).unwrap_or(Quantity::ZERO));
            left.set(name, difference.max(Quantity::ZERO));
        }
        left
    }

    /// The amounts whose names are chosen.
    #[must_use]
    pub fn only(&self, chosen: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| chosen(name)).map(|(name, amount)| (name.clone(), *amount)).collect())
    }

    /// The amounts that are not zero.
    #[must_use]
    pub fn without_zeros(&self) -> Self {
        let some = self.0.iter().filter(|(_, amount)| !amount.is_zero());
        Self(some.map(|(name, amount)| (name.clone(), *amount)).collect())
    }
}

/// `cpu=1,memory=2Gi`, as messages name amounts.
impl std::fmt::Display for Amounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (name, amount)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{name}={amount}")?;
        }
        Ok(())
    }
}
