//! Tables as kubectl prints them.

use serde_json::Value;

/// The columns that are shown, and what stands before the names.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Columns of lower priority too.
    pub wide: bool,
    /// A column of namespaces first.
    pub namespaces: bool,
    /// Before each name: `pod/`.
    pub prefix: String,
}

/// Rows of tables of one resource, and how wide their columns have become.
#[derive(Debug, Default)]
pub struct Table {
    shown: Shown,
    widths: Vec<usize>,
    columns: Vec<Value>,
}

impl Table {
    /// Nothing was printed yet.
    pub fn new(shown: Shown) -> Self {
        Self { shown, ..Self::default() }
    }

    /// The lines of a Table; with its head where none was printed before. Later pieces of a watch name no columns: they are
    /// those of the first.
    pub fn lines(&mut self, answer: &Value) -> String {
        let mut lines = Vec::new();
        let columns = answer["columnDefinitions"].as_array().map(Vec::as_slice).unwrap_or_default();
        if self.columns.is_empty() {
            self.columns = columns.to_vec();
            lines.push(self.head());
        }
        let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        lines.extend(rows.iter().map(|row| self.row(row)));
        for line in &lines {
            self.widths.resize(line.len().max(self.widths.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        for line in &lines {
            let cells: Vec<String> =
                line.iter().zip(&self.widths).map(|(cell, &width)| format!("{cell:<width$}   ")).collect();
            out.push_str(cells.concat().trim_end());
            out.push('\n');
        }
        out
    }

    fn indexes(&self) -> impl Iterator<Item = usize> + '_ {
        let shown = |at: &usize| self.shown.wide || self.columns[*at]["priority"].as_i64().unwrap_or(0) == 0;
        (0..self.columns.len()).filter(shown)
    }

    fn head(&self) -> Vec<String> {
        let names = self.indexes().map(|at| self.columns[at]["name"].as_str().unwrap_or_default().to_uppercase());
        self.shown.namespaces.then(|| "NAMESPACE".to_owned()).into_iter().chain(names).collect()
    }

    fn row(&self, row: &Value) -> Vec<String> {
        let namespace = row["object"]["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let cells = self.indexes().map(|at| {
            let text = match &row["cells"][at] {
                Value::String(text) => text.clone(),
                Value::Null => "<none>".into(),
                other => other.to_string(),
            };
            if at == 0 { format!("{}{text}", self.shown.prefix) } else { text }
        });
        self.shown.namespaces.then_some(namespace).into_iter().chain(cells).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_are_aligned_and_hide_what_is_wide() {
        let answer = json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "IP", "priority": 1}, {"name": "Age", "priority": 0}],
            "rows": [{"cells": ["a", "1.1.1.1", "3s"]}, {"cells": ["longer", null, "5m"]}],
        });
        let check = |shown: Shown, expected: &str| assert_eq!(Table::new(shown).lines(&answer), expected);
        check(Shown::default(), "NAME     AGE\na        3s\nlonger   5m\n");
        check(
            Shown { wide: true, ..Shown::default() },
            "NAME     IP        AGE\na        1.1.1.1   3s\nlonger   <none>    5m\n",
        );
        let prefix = "pod/".to_owned();
        check(Shown { prefix, ..Shown::default() }, "NAME         AGE\npod/a        3s\npod/longer   5m\n");
        let mut watch = Table::new(Shown::default());
        watch.lines(&answer);
        assert_eq!(watch.lines(&json!({"rows": [{"cells": ["b", null, "1s"]}]})), "b        1s\n", "no second head");
    }
}
