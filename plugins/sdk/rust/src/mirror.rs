//! The mirror: columns of cells and one table of strings, fed by changes.

use crate::limits;
use std::collections::HashMap;

/// The id of a string in the mirror: equal strings have equal ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

/// Changes as they cross: see `changes` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// UTF-8 of the new strings.
    pub strings: Vec<u8>,
    /// The end of each string.
    pub string_ends: Vec<u32>,
    /// Columns that have changed cells.
    pub columns: Vec<u32>,
    /// The end of each column's part of `rows`.
    pub column_ends: Vec<u32>,
    /// Rows of changed cells.
    pub rows: Vec<u32>,
    /// The end of each row's part of `words`.
    pub cell_ends: Vec<u32>,
    /// The cells' words.
    pub words: Vec<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

/// Cells of one column: spans over one run of words, so that feeding 5,000 rows is not 5,000 allocations.
#[derive(Debug, Default)]
struct Cells {
    spans: Vec<Span>,
    words: Vec<i64>,
    unused: usize,
}

impl Cells {
    fn get(&self, row: u32) -> &[i64] {
        match self.spans.get(row as usize) {
            Some(span) => &self.words[span.start as usize..(span.start + span.len) as usize],
            None => &[],
        }
    }

    fn set(&mut self, row: u32, cell: &[i64]) {
        let row = row as usize;
        if row >= self.spans.len() {
            self.spans.resize(row + 1, Span::default());
        }
        let span = &mut self.spans[row];
        if cell.len() <= span.len as usize {
            self.unused += span.len as usize - cell.len();
            span.len = cell.len() as u32;
            self.words[span.start as usize..span.start as usize + cell.len()].copy_from_slice(cell);
        } else {
            self.unused += span.len as usize;
            *span = Span { start: self.words.len() as u32, len: cell.len() as u32 };
            self.words.extend_from_slice(cell);
        }
        if self.unused > self.words.len() / limits::WASTE_PART + self.spans.len() {
            self.tighten();
        }
    }

    fn tighten(&mut self) {
        let mut words = Vec::with_capacity(self.words.len() - self.unused);
        for span in &mut self.spans {
            let start = words.len() as u32;
            words.extend_from_slice(&self.words[span.start as usize..(span.start + span.len) as usize]);
            span.start = start;
        }
        self.words = words;
        self.unused = 0;
    }
}

/// The component's copy of the cluster.
#[derive(Debug, Default)]
pub struct Mirror {
    text: Vec<u8>,
    text_ends: Vec<u32>,
    symbols: HashMap<Box<str>, Symbol>,
    tables: [Vec<Cells>; 2],
}

/// Cells as they were before an overlay, in the order in which they were replaced.
pub(crate) struct Replaced(Vec<(u32, u32, Vec<i64>)>);

/// Column ids below this are the nodes', from it on the pods'.
const POD_COLUMNS: u32 = 256;

impl Mirror {
    /// Takes changes in. An error says how they contradict themselves; the mirror is then not to be used again.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), String> {
        self.add_strings(changes)?;
        for_each_cell(changes, |column, row, cell| {
            self.column_mut(column)?.set(row, cell);
            Ok(())
        })
    }

    /// Takes changes in for one call; [`Mirror::restore`] undoes them.
    pub(crate) fn overlay(&mut self, changes: &Changes) -> Result<Replaced, String> {
        self.add_strings(changes)?;
        let mut replaced = Vec::with_capacity(changes.rows.len());
        for_each_cell(changes, |column, row, cell| {
            let cells = self.column_mut(column)?;
            replaced.push((column, row, cells.get(row).to_vec()));
            cells.set(row, cell);
            Ok(())
        })?;
        Ok(Replaced(replaced))
    }

    pub(crate) fn restore(&mut self, replaced: Replaced) -> Result<(), String> {
        for (column, row, cell) in replaced.0.into_iter().rev() {
            self.column_mut(column)?.set(row, &cell);
        }
        Ok(())
    }

    fn add_strings(&mut self, changes: &Changes) -> Result<(), String> {
        let mut start = 0usize;
        for end in &changes.string_ends {
            let bytes = changes.strings.get(start..*end as usize).ok_or("a string ends past the strings")?;
            let text = core::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8")?;
            self.symbols.insert(text.into(), Symbol(self.text_ends.len() as u32));
            self.text.extend_from_slice(bytes);
            self.text_ends.push(self.text.len() as u32);
            start = *end as usize;
        }
        Ok(())
    }

    fn column_mut(&mut self, column: u32) -> Result<&mut Cells, String> {
        let (table, index) = place(column);
        // The host sends what was asked for; an id far outside the contract is a host that went wrong.
        if index >= POD_COLUMNS as usize {
            return Err(format!("column {column} is outside the contract"));
        }
        let table = &mut self.tables[table];
        if index >= table.len() {
            table.resize_with(index + 1, Cells::default);
        }
        Ok(&mut table[index])
    }

    pub(crate) fn cell(&self, column: u32, row: u32) -> &[i64] {
        let (table, index) = place(column);
        self.tables[table].get(index).map_or(&[], |cells| cells.get(row))
    }

    /// The text of a symbol of this mirror; "" for one that is not.
    pub fn text(&self, symbol: Symbol) -> &str {
        let index = symbol.0 as usize;
        let Some(end) = self.text_ends.get(index) else { return "" };
        let start = if index == 0 { 0 } else { self.text_ends[index - 1] };
        // Checked when it was added.
        core::str::from_utf8(&self.text[start as usize..*end as usize]).unwrap_or_default()
    }

    /// The symbol of a text, if anything in the mirror ever had it.
    pub fn symbol(&self, text: &str) -> Option<Symbol> {
        self.symbols.get(text).copied()
    }
}

fn place(column: u32) -> (usize, usize) {
    if column < POD_COLUMNS { (0, column as usize) } else { (1, (column - POD_COLUMNS) as usize) }
}

fn for_each_cell(
    changes: &Changes,
    mut each: impl FnMut(u32, u32, &[i64]) -> Result<(), String>,
) -> Result<(), String> {
    let (mut row_at, mut word_at) = (0usize, 0usize);
    for (column, rows_end) in changes.columns.iter().zip(&changes.column_ends) {
        while row_at < *rows_end as usize {
            let row = *changes.rows.get(row_at).ok_or("a column ends past the rows")?;
            let end = *changes.cell_ends.get(row_at).ok_or("a row has no cell")? as usize;
            let cell = changes.words.get(word_at..end).ok_or("a cell ends past the words")?;
            if row as usize >= limits::ROWS {
                return Err(format!("row {row} is past the limit"));
            }
            each(*column, row, cell)?;
            word_at = end;
            row_at += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(column: u32, row: u32, cell: &[i64]) -> Changes {
        Changes {
            columns: vec![column],
            column_ends: vec![1],
            rows: vec![row],
            cell_ends: vec![cell.len() as u32],
            words: cell.to_vec(),
            ..Changes::default()
        }
    }

    #[test]
    fn cells_grow_shrink_and_stay_themselves() {
        let mut mirror = Mirror::default();
        for round in 0..200i64 {
            for row in 0..5u32 {
                let cell: Vec<i64> = (0..(round + i64::from(row)) % 7).collect();
                mirror.apply(&one(3, row, &cell)).expect("well formed");
                assert_eq!(mirror.cell(3, row), cell);
            }
        }
        assert!(mirror.tables[0][3].words.len() < 200, "unused words are given back");
    }

    #[test]
    fn an_overlay_is_gone_after_its_call() {
        let mut mirror = Mirror::default();
        mirror.apply(&one(3, 1, &[1, 2])).expect("well formed");
        let replaced = mirror.overlay(&one(3, 1, &[9, 9, 9])).expect("well formed");
        assert_eq!(mirror.cell(3, 1), [9, 9, 9]);
        mirror.restore(replaced).expect("same columns");
        assert_eq!(mirror.cell(3, 1), [1, 2]);
    }

    #[test]
    fn changes_that_contradict_themselves_are_refused() {
        let mut bad = one(3, 0, &[1]);
        bad.cell_ends[0] = 5;
        assert!(Mirror::default().apply(&bad).is_err());
        assert!(Mirror::default().apply(&one(900, 0, &[1])).is_err());
        assert!(Mirror::default().apply(&Changes { string_ends: vec![4], ..Changes::default() }).is_err());
    }
}
