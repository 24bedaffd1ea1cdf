//! Columns that line up.

use super::line::{Line, Paint};

/// On which side a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows of cells. The last column is not filled up.
#[derive(Clone, Debug)]
pub(super) struct Table {
    aligns: Vec<Align>,
    rows: Vec<Vec<(Paint, String)>>,
}

impl Table {
    /// A table with these columns: `l` for left, `r` for right.
    pub(super) fn new(columns: &str) -> Self {
        let aligns = columns.chars().map(|c| if c == 'r' { Align::Right } else { Align::Left }).collect();
        Self { aligns, rows: Vec::new() }
    }

    /// Adds a row of one paint.
    pub(super) fn row<S: Into<String>>(&mut self, paint: Paint, cells: impl IntoIterator<Item = S>) {
        self.painted(cells.into_iter().map(|c| (paint, c.into())));
    }

    /// Adds a row whose cells have their own paint.
    pub(super) fn painted(&mut self, cells: impl IntoIterator<Item = (Paint, String)>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, each indented by two.
    pub(super) fn lines(&self) -> Vec<Line> {
        let width = |column: usize| {
            self.rows.iter().filter_map(|r| r.get(column)).map(|(_, c)| Line::plain(c).width()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.aligns.len()).map(width).collect();
        self.rows.iter().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[(Paint, String)], widths: &[usize]) -> Line {
        let mut line = Line::plain("  ");
        let mut column = 2;
        for (((paint, cell), align), width) in row.iter().zip(&self.aligns).zip(widths) {
            let own = Line::default().plus(*paint, cell);
            let start = if *align == Align::Right { column + width.saturating_sub(own.width()) } else { column };
            line = line.to(start).join(own);
            column += width + 2;
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::line::rendered;
    use crate::report::look::Look;

    #[test]
    fn columns_line_up_by_what_they_take_on_the_screen() {
        let mut table = Table::new("lrl");
        table.row(Paint::Faint, ["lane", "sent", "availability"]);
        table.row(Paint::Plain, ["größer", "1,360", "100.00 %"]);
        table.row(Paint::Plain, ["k", "", "none"]);
        let text = rendered(&table.lines(), Look { colour: false, unicode: true, live: false });
        assert_eq!(text, "  lane     sent  availability\n  größer  1,360  100.00 %\n  k              none\n");
    }
}
