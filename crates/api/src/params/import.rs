//! A table to import: as JSON, with the rows in `items`, or as CSV, with the rows in the body and
//! the other parameters in the query string.

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tollgate_core::{BadLine, Rule};

use super::body::{self, Media};
use super::fields::Fields;
use crate::csv;
use crate::error::{ApiError, NotTaken, Unreadable, unreadable_line};
use crate::state::Bounds;

/// The largest table, in bytes: room for [`MOST_ITEMS`] with some air around them.
const LARGEST: usize = 4 << 20;

/// The most rows.
pub(crate) const MOST_ITEMS: usize = 10_000;

/// A table: what is said of all of it, and its rows.
#[derive(Debug)]
pub(crate) struct Import<P, I> {
    /// What is said of all of it.
    pub(crate) params: P,
    /// Its rows, at least one. Each that can be read has every field in its type, no more.
    pub(crate) rows: Vec<Row<I>>,
}

/// A row's names for its fields.
pub(crate) trait Columns {
    /// Those that the header of a CSV must have.
    const NEEDED: &'static [&'static str];
}

/// A row of a table.
#[derive(Debug)]
pub(crate) struct Row<I> {
    /// Where it is: its place in `items`, from 1, or its line in the CSV, the header's being 1.
    pub(crate) line: usize,
    /// What is in it, or what is wrong with it.
    pub(crate) item: Result<I, BadLine>,
}

impl<S, P, I> FromRequest<S> for Import<P, I>
where
    S: Send + Sync,
    Bounds: FromRef<S>,
    P: DeserializeOwned,
    I: DeserializeOwned + Columns,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bounds = Bounds::from_ref(state);
        let bounds = Bounds { body_bytes: bounds.body_bytes.max(LARGEST), ..bounds };
        let bytes = body::read_bytes(&parts.headers, body, bounds).await?;
        let query = Fields::from_form(parts.uri.query().unwrap_or_default().as_bytes());
        let text = body::without_air(&bytes);
        match body::media(&parts.headers, text)? {
            Media::Json => Self::from_json(text, query),
            Media::Csv => Self::from_csv(query, &bytes),
            Media::Form => Err(ApiError::NotTaken(NotTaken::Media)),
        }
    }
}

impl<P: DeserializeOwned, I: DeserializeOwned + Columns> Import<P, I> {
    fn from_json(text: &[u8], query: Fields) -> Result<Self, ApiError> {
        let mut fields = if text.is_empty() { Fields::default() } else { Fields::from_json(text)? };
        let items = fields.take("items")?;
        let params = fields.or(query).into_typed()?;
        let items = match items {
            Some(Value::Array(items)) => items,
            Some(_) => return Err(ApiError::invalid("items", Rule::WrongType)),
            None => return Err(ApiError::invalid("items", Rule::Required)),
        };
        check_count(items.len())?;
        let rows = items.into_iter().enumerate().map(|(n, item)| {
            let fields = Fields::from_value(item).ok_or(ApiError::invalid("items", Rule::WrongType));
            Row::new(n + 1, fields)
        });
        Ok(Self { params, rows: rows.collect() })
    }

    fn from_csv(params: Fields, bytes: &Bytes) -> Result<Self, ApiError> {
        let params = params.without_empty_texts().into_typed()?;
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            csv_broken(before.iter().filter(|byte| **byte == b'\n').count() + 1)
        })?;
        // The header, and one row more than is taken, so that it is seen that there are too many.
        let mut lines = csv::parse(text, MOST_ITEMS + 2).map_err(csv_broken)?.into_iter();
        let Some(header) = lines.next().map(|line| line.cells) else { return Err(miscounted()) };
        // A table without a header, or with semicolons, would else be wrong in every line.
        if let Some(missing) = I::NEEDED.iter().find(|name| !header.iter().any(|cell| cell == *name)) {
            return Err(ApiError::Unreadable(Unreadable::CsvHeader(missing)));
        }
        check_count(lines.len())?;
        Ok(Self { params, rows: lines.map(|line| row_of(&header, line)).collect() })
    }
}

/// A line of a CSV by the names in its header. Cells that are empty count as absent, columns that
/// have other names are passed over.
fn row_of<I: DeserializeOwned>(header: &[String], line: csv::Line) -> Row<I> {
    let width = line.cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
    if width > header.len() {
        let count = Rule::Count { min: 1, max: header.len() };
        return Row::new(line.number, Err(ApiError::invalid("cells", count)));
    }
    let cells = header.iter().cloned().zip(line.cells.into_iter().map(Value::String));
    Row::new(line.number, Ok(Fields::from_pairs(cells).without_empty_texts()))
}

impl<I: DeserializeOwned> Row<I> {
    fn new(line: usize, fields: Result<Fields, ApiError>) -> Self {
        let item = fields.and_then(Fields::into_typed).map_err(|error| unreadable_line(line, &error));
        Self { line, item }
    }
}

fn check_count(count: usize) -> Result<(), ApiError> {
    match (1..=MOST_ITEMS).contains(&count) {
        true => Ok(()),
        false => Err(miscounted()),
    }
}

fn miscounted() -> ApiError {
    ApiError::invalid("items", Rule::Count { min: 1, max: MOST_ITEMS })
}

fn csv_broken(line: usize) -> ApiError {
    ApiError::Unreadable(Unreadable::Csv(line))
}
