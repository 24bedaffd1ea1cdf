//! Tables: named columns, a heading for each row, numbers to the right.

use super::markup::{Element, classed, el};

/// Whether a column holds words or numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// To the left.
    Words(&'static str),
    /// To the right.
    Number(&'static str),
    /// To the left, in letters of one width.
    Code(&'static str),
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Words(name) | Self::Number(name) | Self::Code(name) => name,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Words(_) => "words",
            Self::Number(_) => "number",
            Self::Code(_) => "code",
        }
    }
}

/// A table in the making.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    columns: &'static [Column],
    rows: Vec<Element>,
}

impl Table {
    /// A table with a name for who does not see what stands around it.
    pub(super) const fn new(name: &'static str, columns: &'static [Column]) -> Self {
        Self { name, columns, rows: Vec::new() }
    }

    /// Adds a row; its first cell is its heading.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.classed_row("", cells);
    }

    /// Adds a row of a class.
    pub(super) fn classed_row(&mut self, class: &'static str, cells: impl IntoIterator<Item = String>) {
        self.cells(class, cells.into_iter().map(|text| el("td").text(text)).collect());
    }

    /// Adds a row of cells that are more than text.
    pub(super) fn cells(&mut self, class: &'static str, cells: Vec<Element>) {
        let row = if class.is_empty() { el("tr") } else { classed("tr", class) };
        let cells = cells.into_iter().zip(self.columns).enumerate().map(|(i, (cell, column))| {
            let cell = if i == 0 { cell.heading() } else { cell };
            cell.attr("class", column.class())
        });
        self.rows.push(row.all(cells));
    }

    /// Whether it has no row.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, in a box that scrolls by itself where it is too wide.
    pub(super) fn element(self) -> Element {
        let head = |column: &Column| el("th").attr("scope", "col").attr("class", column.class()).text(column.name());
        let head = el("thead").with(el("tr").all(self.columns.iter().map(head)));
        let table = el("table").with(head).with(el("tbody").all(self.rows));
        classed("div", "scroll").attr("role", "region").attr("tabindex", 0).attr("aria-label", self.name).with(table)
    }
}
