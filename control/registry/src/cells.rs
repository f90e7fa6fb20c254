//! The columns of a row's Table, and its cells.

use crate::word::Name;
use sampan_api::object::Object;
use sampan_api::outline::Outline;
use serde_json::Value;
use std::sync::Arc;
use std::time::SystemTime;

/// The cells of one row of a Table.
pub type Cells = Arc<dyn Fn(&Object, SystemTime) -> Vec<Value> + Send + Sync>;

/// The columns of a row's Table.
#[derive(Clone)]
pub struct Columns {
    pub definitions: Arc<[Column]>,
    /// One value a column, in order, for an object of the row's own version.
    pub cells: Cells,
    /// The part of the object that `cells` read.
    pub reads: Arc<Outline>,
    /// `TableRow.conditions`, where rows have any.
    pub conditions: Option<fn(&Object) -> Vec<Value>>,
    /// The number of an object by which rows stand in a table; `None`: they stand by their names.
    pub order: Option<fn(&Object) -> i64>,
}

impl Columns {
    /// Rows without conditions, in the order of their names; their cells read everything.
    pub fn new(
        definitions: impl Into<Arc<[Column]>>,
        cells: impl Fn(&Object, SystemTime) -> Vec<Value> + Send + Sync + 'static,
    ) -> Self {
        Self {
            definitions: definitions.into(),
            cells: Arc::new(cells),
            reads: Arc::new(Outline::Whole),
            conditions: None,
            order: None,
        }
    }

    /// Says what part of the object the cells read, where it is not everything.
    #[must_use]
    pub fn reading(mut self, part: Outline) -> Self {
        self.reads = Arc::new(part);
        self
    }
}

/// `metav1.TableColumnDefinition`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: Name,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub type_: Name,
    /// `name` for the name column, otherwise mostly empty.
    pub format: Name,
    pub description: Name,
    /// 0: always shown; above: with `-o wide`.
    pub priority: i32,
}
