//! `tollgate admin static stock export`: stock as CSV, page by page.

use std::collections::HashSet;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tollgate_api::csv;

use super::{Client, PageArgs, StockFilterArgs};

/// What a line holds of a record; the first three are what an import reads.
const COLUMNS: [&str; 9] = [
    "listen_ip",
    "listen_port",
    "exit_ip",
    "proxy_type",
    "country",
    "state",
    "static_id",
    "account_id",
    "id",
];

/// All stock that matches, as a table.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn export_stock(client: &Client, filter: &StockFilterArgs) -> anyhow::Result<String> {
    let mut table = String::new();
    csv::write(&mut table, COLUMNS);
    // What is imported meanwhile moves records to later pages: none is written twice.
    let mut written = HashSet::new();
    for page in 1.. {
        let answer = client.call(&filter.page(&PageArgs { page, page_size: PageArgs::LARGEST })).await?;
        let records = answer.data()?.get("records").and_then(Value::as_array).context("no list")?;
        for record in records {
            let id = record.get("id").and_then(Value::as_i64).context("a record without an id")?;
            if written.insert(id) {
                let cells = COLUMNS.map(|name| cell(record, name));
                csv::write(&mut table, cells.iter().map(String::as_str));
            }
        }
        if records.len() < PageArgs::LARGEST as usize {
            break;
        }
        ensure!(page < u32::MAX, "there is no end of it");
    }
    Ok(table)
}

fn cell(record: &Value, name: &str) -> String {
    match record.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_string(),
    }
}
