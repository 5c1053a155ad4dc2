//! What `tollgate admin` prints for people: a table for a list, a line for each field of anything
//! else.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Columns wider than this are cut.
const WIDEST: usize = 40;

/// Of a list within a record, so many values are shown.
const MOST_VALUES: usize = 20;

/// The data of an answer, for people.
pub fn print(data: &Value) -> String {
    match data {
        Value::Null => "done\n".to_owned(),
        Value::Array(rows) => table(rows),
        Value::Object(fields) => {
            match fields.values().find_map(Value::as_array).filter(|_| fields.contains_key("total")) {
                Some(rows) => {
                    let total = fields.get("total").map(cell).unwrap_or_default();
                    format!("{}{} of {total}\n", table(rows), rows.len())
                }
                None => record(fields, ""),
            }
        }
        value => format!("{}\n", cell(value)),
    }
}

fn record(fields: &Map<String, Value>, indent: &str) -> String {
    let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    fields.iter().fold(String::new(), |mut lines, (name, value)| {
        // Writing to a string cannot fail.
        let _ = match value {
            Value::Object(inner) => {
                write!(lines, "{indent}{name}\n{}", record(inner, &format!("{indent}  ")))
            }
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                write!(lines, "{indent}{name}\n{}", table(rows))
            }
            value => writeln!(lines, "{indent}{name:width$}  {}", cell(value)),
        };
        lines
    })
}

fn table(rows: &[Value]) -> String {
    let records: Vec<_> = rows.iter().filter_map(Value::as_object).collect();
    let Some(first) = records.first() else {
        return rows.iter().map(|value| format!("{}\n", cell(value))).collect();
    };
    let plain =
        |name: &&String| records.iter().all(|record| !record.get(*name).is_some_and(Value::is_object));
    let names: Vec<_> = first.keys().filter(plain).collect();
    let widths: Vec<_> = names.iter().map(|name| column_width(&records, name)).collect();
    let mut lines = line(names.iter().map(|name| (*name).clone()), &widths);
    for record in records {
        lines += &line(names.iter().map(|name| record.get(*name).map(cell).unwrap_or_default()), &widths);
    }
    lines
}

fn column_width(records: &[&Map<String, Value>], name: &str) -> usize {
    let cells = records.iter().filter_map(|record| record.get(name)).map(|value| cell(value).chars().count());
    cells.chain([name.chars().count()]).max().unwrap_or_default().min(WIDEST)
}

fn line(cells: impl Iterator<Item = String>, widths: &[usize]) -> String {
    let padded = cells.zip(widths).map(|(text, width)| {
        let cut: String = text.chars().take(*width).collect();
        format!("{cut:width$}")
    });
    let joined = padded.collect::<Vec<_>>().join("  ");
    format!("{}\n", joined.trim_end())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        Value::Array(values) => {
            let shown = values.iter().take(MOST_VALUES).map(cell).collect::<Vec<_>>().join(",");
            if values.len() > MOST_VALUES { format!("{shown},…") } else { shown }
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::print;

    #[test]
    fn lists_are_tables_and_records_are_lines() {
        let list = json!({"total": 12, "list": [{"id": 1, "name": "a", "deep": {}}, {"id": 22, "name": null, "deep": {}}]});
        assert_eq!(print(&list), "id  name\n1   a\n22  -\n2 of 12\n");
        assert_eq!(print(&json!({"total": 0, "list": []})), "0 of 0\n");
        assert_eq!(print(&json!({"id": 1, "wallet": {"balance": 5}})), "id      1\nwallet\n  balance  5\n");
        assert_eq!(print(&json!(null)), "done\n");
    }

    #[test]
    fn a_long_list_of_numbers_is_cut() {
        let ids: Vec<_> = (1..=21).collect();
        assert_eq!(print(&json!({"ids": ids[..3]})), "ids  1,2,3\n");
        assert!(print(&json!({"ids": ids})).ends_with("19,20,…\n"));
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert!(!print(&json!({"remark": "\u{1b}[2J"})).contains('\u{1b}'));
    }
}
