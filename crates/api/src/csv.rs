//! Comma-separated values (RFC 4180): what operators import, and what is exported to spreadsheets.

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number in the text, from 1; of the first one where a quoted cell runs over several.
    pub(crate) number: usize,
    /// Its cells, without quotes; blanks around cells that are not quoted are dropped.
    pub(crate) cells: Vec<String>,
}

/// The most cells of a line.
const MOST_CELLS: usize = 100;

/// Reads a table, so many lines of it at most. Empty lines are passed over, and so is a byte order
/// mark.
///
/// # Errors
/// The number of the line in which quotes are not as they have to be, or that has over 100 cells.
pub(crate) fn parse(text: &str, most: usize) -> Result<Vec<Line>, usize> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), number: 1 };
    let mut lines = Vec::new();
    while !reader.rest.is_empty() && lines.len() < most {
        let line = reader.line()?;
        if line.cells != [""] {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Where a text is read.
struct Reader<'a> {
    rest: &'a str,
    number: usize,
}

/// What follows a cell.
enum Then {
    Cell,
    LineEnd,
}

impl Reader<'_> {
    fn line(&mut self) -> Result<Line, usize> {
        let mut line = Line { number: self.number, cells: Vec::new() };
        loop {
            let begun_with_quote = self.rest.trim_start_matches([' ', '\t']).strip_prefix('"');
            let cell = match begun_with_quote {
                Some(rest) => {
                    self.rest = rest;
                    self.quoted()?
                }
                None => self.plain()?,
            };
            line.cells.push(cell);
            match self.then()? {
                Then::Cell if line.cells.len() == MOST_CELLS => return Err(line.number),
                Then::Cell => {}
                Then::LineEnd => return Ok(line),
            }
        }
    }

    /// A cell up to the next comma or the end of the line.
    fn plain(&mut self) -> Result<String, usize> {
        let end = self.rest.find([',', '\r', '\n']).unwrap_or(self.rest.len());
        let (cell, rest) = self.rest.split_at(end);
        self.rest = rest;
        match cell.contains('"') {
            true => Err(self.number),
            false => Ok(cell.trim().to_owned()),
        }
    }

    /// The rest of a cell whose opening quote has been read. A doubled quote stands for one.
    fn quoted(&mut self) -> Result<String, usize> {
        let begun = self.number;
        let mut cell = String::new();
        loop {
            let end = self.rest.find('"').ok_or(begun)?;
            let (part, rest) = self.rest.split_at(end);
            self.number += part.matches('\n').count();
            cell += part;
            match rest.strip_prefix("\"\"") {
                Some(rest) => {
                    cell.push('"');
                    self.rest = rest;
                }
                None => {
                    self.rest = rest.strip_prefix('"').unwrap_or(rest).trim_start_matches([' ', '\t']);
                    return Ok(cell);
                }
            }
        }
    }

    fn then(&mut self) -> Result<Then, usize> {
        if let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            return Ok(Then::Cell);
        }
        let ends = ["\r\n", "\n", "\r"];
        let rest = ends.iter().find_map(|end| self.rest.strip_prefix(end));
        match rest {
            Some(rest) => self.rest = rest,
            None if self.rest.is_empty() => {}
            None => return Err(self.number),
        }
        self.number += 1;
        Ok(Then::LineEnd)
    }
}

/// Appends a line to a table. A cell that a spreadsheet would take for a formula is kept from being
/// one by an apostrophe.
pub fn write<'a>(table: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (n, cell) in cells.into_iter().enumerate() {
        if n > 0 {
            table.push(',');
        }
        let guard = if begins_like_a_formula(cell) { "'" } else { "" };
        let quoted = cell.contains([',', '"', '\r', '\n']) || cell.starts_with(' ') || cell.ends_with(' ');
        match quoted {
            true => *table += &format!("\"{guard}{}\"", cell.replace('"', "\"\"")),
            false => {
                *table += guard;
                *table += cell;
            }
        }
    }
    *table += "\r\n";
}

/// Spreadsheets pass over blanks in front, and some read the wide signs of Chinese keyboards, too.
fn begins_like_a_formula(cell: &str) -> bool {
    cell.starts_with(['\t', '\r', '\n'])
        || cell.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Result<Vec<(usize, Vec<String>)>, usize> {
        parse(text, 10).map(|lines| lines.into_iter().map(|line| (line.number, line.cells)).collect())
    }

    #[test]
    fn tables_are_read_as_spreadsheets_write_them() {
        let line = |number, cells: &[&str]| (number, cells.iter().map(|&cell| cell.to_owned()).collect());
        for (text, expected) in [
            ("", vec![]),
            ("\u{feff}a,b\r\n1,2\r\n", vec![line(1, &["a", "b"]), line(2, &["1", "2"])]),
            ("a\n\n\nb", vec![line(1, &["a"]), line(4, &["b"])]),
            ("a\rb", vec![line(1, &["a"]), line(2, &["b"])]),
            (" a ,\t b\n", vec![line(1, &["a", "b"])]),
            ("a,\n,b\n", vec![line(1, &["a", ""]), line(2, &["", "b"])]),
            ("\"a,\"\"b\"\"\", \" c \" ,\"\"", vec![line(1, &["a,\"b\"", " c ", ""])]),
            ("\"a\nb\",c\nd", vec![line(1, &["a\nb", "c"]), line(3, &["d"])]),
        ] {
            assert_eq!(cells(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn quotes_that_do_not_fit_are_refused_with_their_line() {
        for (text, line) in
            [("\"a", 1), ("a\n\"b\nc", 2), ("a\nb\"c", 2), ("a\n\"b\"c", 2), ("\"a\nb\"c", 2), ("\"\"\"", 1)]
        {
            assert_eq!(cells(text), Err(line), "{text:?}");
        }
    }

    #[test]
    fn no_more_is_read_than_can_be_meant() {
        assert_eq!(parse(&"a\n".repeat(9), 3).map(|lines| lines.len()), Ok(3));
        let wide = |count: usize| cells(&",".repeat(count - 1)).map(|lines| lines[0].1.len());
        assert_eq!((wide(100), wide(101)), (Ok(100), Err(1)));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut table = String::new();
        let row = ["a", "", "b,c", "say \"x\"", " blank ", "two\r\nlines", "é"];
        write(&mut table, row);
        assert_eq!(cells(&table), Ok(vec![(1, row.iter().map(|&cell| cell.to_owned()).collect())]));
    }

    #[test]
    fn nothing_that_is_written_is_a_formula() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=\"a,b\"", " =1", "＝1+1", "＠SUM(A1)"] {
            let mut table = String::new();
            write(&mut table, [cell]);
            assert!(table.trim_start_matches('"').starts_with('\''), "{table}");
        }
    }
}
