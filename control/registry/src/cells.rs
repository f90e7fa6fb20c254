//! The columns of a row's Table, and its cells.

use crate::word::Name;
use sampan_api::object::Object;
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
    /// `TableRow.conditions`, where rows have any.
    pub conditions: Option<fn(&Object) -> Vec<Value>>,
    /// The number of an object by which rows stand in a table; `None`: they stand by their names.
    pub order: Option<fn(&Object) -> i64>,
}

impl Columns {
    /// Rows without conditions, in the order of their names.
    pub fn new(
        definitions: impl Into<Arc<[Column]>>,
        cells: impl Fn(&Object, SystemTime) -> Vec<Value> + Send + Sync + 'static,
    ) -> Self {
        Self { definitions: definitions.into(), cells: Arc::new(cells), conditions: None, order: None }
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
