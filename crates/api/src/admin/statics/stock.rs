//! Stock: the addresses that can be leased out, imported in bulk.

use std::collections::BTreeSet;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tollgate_core::statics::{self, NewStock, StockChange, StockFilter, StockItem};
use tollgate_core::{Actor, BadLine, Core, Error, Page};
use tollgate_types::{AccountId, StaticProxyId, StockId, Zone};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Operator;
use crate::envelope::{Answer, Envelope, List, ok};
use crate::error::ApiError;
use crate::params::{Columns, Filters, Import, Params, PathId, Row, clearable};
use crate::words::{StaticTypeWord, ip_address};

/// What is said of all the addresses of an import.
#[derive(Debug, Deserialize)]
pub(crate) struct StockImportHead {
    proxy_type: StaticTypeWord,
    country: String,
}

/// Addresses to import: of one type, in one country.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "says in the OpenAPI document what Import reads from a JSON body")]
pub(crate) struct StockImport {
    /// What kind of address.
    proxy_type: StaticTypeWord,
    /// Two letters (ISO 3166-1).
    #[schema(example = "us", pattern = "^[A-Za-z]{2}$")]
    country: String,
    /// The addresses.
    #[schema(min_items = 1, max_items = 10000)]
    items: Vec<StockImportItem>,
}

/// An address to import.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub(crate) struct StockImportItem {
    /// The address that the proxy is reached at.
    #[schema(schema_with = listen_ip)]
    listen_ip: String,
    /// The port that it is reached at.
    #[schema(example = 8080, minimum = 1, maximum = 65535)]
    listen_port: i64,
    /// The address that it leaves from; the same where absent.
    #[schema(schema_with = exit_ip)]
    exit_ip: Option<String>,
}

impl Columns for StockImportItem {
    const NEEDED: &'static [&'static str] = &["listen_ip", "listen_port"];
}

/// The address that a proxy is reached at.
fn listen_ip() -> Schema {
    let about = "The address that the proxy is reached at: one host's, not in stock with the same port yet.";
    Schema::AnyOf(ip_address().description(Some(about)).examples([json!("192.0.2.7")]).build())
}

/// The address that a proxy leaves from.
fn exit_ip() -> Schema {
    let types = SchemaType::from_iter([Type::String, Type::Null]);
    let empty = ObjectBuilder::new().schema_type(types).max_length(Some(0));
    let about =
        "The address that it leaves from, IPv6 for ipv6 and IPv4 for the others; empty = the listen_ip.";
    Schema::AnyOf(ip_address().item(empty).description(Some(about)).build())
}

/// What is said of all the rows of a CSV.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "says in the OpenAPI document what Import reads from the query string")]
pub(crate) struct CsvParams {
    /// With a CSV body: what kind of address
    #[param(inline)]
    proxy_type: Option<StaticTypeWord>,
    /// With a CSV body: two letters (ISO 3166-1)
    #[param(example = "us", pattern = "^[A-Za-z]{2}$")]
    country: Option<String>,
}

/// What was imported.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Imported {
    /// How many addresses.
    #[schema(example = 1, minimum = 1)]
    count: usize,
    /// Their ids, in the order in which they were named.
    #[schema(example = json!([1]))]
    ids: Vec<i64>,
}

/// Import addresses
///
/// All of them or none: every line that is wrong is told in `data.lines`. As JSON, or as CSV with the header
/// `listen_ip,listen_port,exit_ip` and the type and country in the query string; columns of other names are passed over.
#[utoipa::path(post, path = "/api/admin/static/stock", tag = "operator", params(CsvParams),
    request_body(content((StockImport = "application/json"), (String = "text/csv"))),
    responses((status = 200, body = Envelope<Imported>)))]
pub(crate) async fn import(
    _: Operator,
    State(core): State<Core>,
    Import { params, rows }: Import<StockImportHead, StockImportItem>,
) -> Answer<Imported> {
    let (lines, items, unreadable) = sorted_out(rows);
    let static_type = params.proxy_type.into();
    let imported = statics::import(&core, Actor::Operator, static_type, params.country, items).await;
    let ids = imported.map_err(|error| with_lines(error, &lines, unreadable))?;
    ok(Imported { count: ids.len(), ids: ids.into_iter().map(StockId::get).collect() })
}

/// The line of each row, the row as core takes it, and what cannot be read at all. Such a row goes
/// along as one that is refused, so that the others are looked at, and nothing is imported.
fn sorted_out(rows: Vec<Row<StockImportItem>>) -> (Vec<usize>, Vec<NewStock>, Vec<BadLine>) {
    let (mut lines, mut items, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for Row { line, item } in rows {
        lines.push(line);
        items.push(match item {
            Ok(StockImportItem { listen_ip, listen_port, exit_ip }) => {
                NewStock { listen_ip, listen_port, exit_ip }
            }
            Err(bad) => {
                unreadable.push(bad);
                NewStock { listen_ip: String::new(), listen_port: 0, exit_ip: None }
            }
        });
    }
    (lines, items, unreadable)
}

/// The error with the lines as the caller counts them, and those that could not be read.
fn with_lines(error: Error, lines: &[usize], unreadable: Vec<BadLine>) -> ApiError {
    let Error::Lines(refused) = error else { return error.into() };
    let mut bad = unreadable;
    let unread: BTreeSet<usize> = bad.iter().map(|bad| bad.line).collect();
    let counted = refused.into_iter().filter_map(|refused| {
        let line = *lines.get(refused.line.checked_sub(1)?)?;
        (!unread.contains(&line)).then_some(BadLine { line, ..refused })
    });
    bad.extend(counted);
    bad.sort_by_key(|bad| bad.line);
    ApiError::Lines(bad)
}

/// free: can be leased, leased: a live proxy has it, grace: rests, or can still be renewed, disabled: out of service
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "free")]
pub(crate) enum StockState {
    Free,
    Leased,
    Grace,
    Disabled,
}

impl StockState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Leased => "leased",
            Self::Grace => "grace",
            Self::Disabled => "disabled",
        }
    }

    /// The stored word's; anything but the four is not stored.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "leased" => Self::Leased,
            "grace" => Self::Grace,
            "disabled" => Self::Disabled,
            _ => Self::Free,
        }
    }
}

/// Which stock to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StockParams {
    /// The page, from 1.
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// Records per page.
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// free, leased, grace or disabled.
    #[param(inline)]
    state: Option<StockState>,
    /// What kind of address.
    #[param(inline)]
    proxy_type: Option<StaticTypeWord>,
    /// Two letters (ISO 3166-1).
    #[param(example = "us", pattern = "^([A-Za-z]{2})?$")]
    country: Option<String>,
    /// Exactly this address.
    #[param(example = "192.0.2.7")]
    listen_ip: Option<String>,
}

/// An address that can be leased out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StockRecord {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// What kind of address.
    proxy_type: StaticTypeWord,
    /// Where it is.
    #[schema(example = "us")]
    country: String,
    /// The address that the proxy is reached at.
    #[schema(example = "192.0.2.7")]
    listen_ip: String,
    /// The port that it is reached at.
    #[schema(example = 8080, minimum = 1, maximum = 65535)]
    listen_port: u16,
    /// The address that it leaves from.
    #[schema(example = "192.0.2.7")]
    exit_ip: String,
    /// free: can be leased, leased: a live proxy has it, grace: rests, or can still be renewed, disabled: out of service
    state: StockState,
    /// In grace: when it is free again; else null.
    #[schema(example = "2025-09-14 12:57:38")]
    release_time: Option<String>,
    /// The static proxy that holds it; 0 = none.
    #[schema(example = 0)]
    static_id: i64,
    /// Whose that is; 0 = nobody's.
    #[schema(example = 0)]
    account_id: i64,
    /// When it was imported.
    #[schema(example = "2025-09-14 07:00:23")]
    create_time: String,
    /// When it was last changed.
    #[schema(example = "2025-09-14 07:00:23")]
    update_time: String,
}

impl StockRecord {
    fn new(item: &StockItem, zone: &Zone) -> Self {
        Self {
            id: item.id.get(),
            proxy_type: item.static_type.into(),
            country: item.country.to_string(),
            listen_ip: item.listen_ip.to_string(),
            listen_port: item.listen_port,
            exit_ip: item.exit_ip.to_string(),
            state: StockState::of(&item.state),
            release_time: item.release_at.map(|at| zone.show(at)),
            static_id: item.holder.map_or(0, |(proxy, _)| StaticProxyId::get(proxy)),
            account_id: item.holder.map_or(0, |(_, account)| AccountId::get(account)),
            create_time: zone.show(item.created_at),
            update_time: zone.show(item.updated_at),
        }
    }
}

/// List the stock
///
/// Newest first.
#[utoipa::path(get, path = "/api/admin/static/stock", tag = "operator", params(StockParams),
    responses((status = 200, body = Envelope<List<StockRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    Filters(params): Filters<StockParams>,
) -> Answer<List<StockRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let filter = StockFilter {
        state: params.state.map(|state| state.as_str().to_owned()),
        static_type: params.proxy_type.map(Into::into),
        country: params.country,
        listen_ip: params.listen_ip,
    };
    let (items, total) = statics::stock(&core, filter, page).await?;
    ok(List { records: items.iter().map(|item| StockRecord::new(item, core.zone())).collect(), total })
}

/// active: in service, disabled: out of service
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "disabled")]
pub(crate) enum StockStatus {
    Active,
    Disabled,
}

/// A change to a stock item: what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = StockChange)]
pub(crate) struct StockChangeParams {
    /// disabled takes it out of service: whoever has it gets another one by itself, and is served there until then.
    status: Option<StockStatus>,
    /// The address that it leaves from; empty = the one that it is reached at.
    #[schema(schema_with = exit_ip)]
    #[serde(default, deserialize_with = "clearable")]
    exit_ip: Option<String>,
}

/// What a change to a stock item set going.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StockChanged {
    /// The request by which the customer gets another address; 0 where nobody has to.
    #[schema(example = 0)]
    request_id: i64,
}

/// Change a stock item, or take it out of service
#[utoipa::path(post, path = "/api/admin/static/stock/{id}/update", tag = "operator",
    params(("id" = i64, Path, description = "The stock item's id", minimum = 0)), request_body = StockChangeParams,
    responses(
        (status = 200, body = Envelope<StockChanged>),
        (status = 404, description = "40400: no such item"),
    ))]
pub(crate) async fn update(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<StockChangeParams>,
) -> Answer<StockChanged> {
    let change = StockChange {
        in_service: params.status.map(|status| status == StockStatus::Active),
        exit_ip: params.exit_ip,
    };
    let request = statics::update_stock(&core, Actor::Operator, StockId::new(id), change).await?;
    ok(StockChanged { request_id: request.map_or(0, |request| request.get()) })
}

#[cfg(test)]
mod tests {
    use tollgate_core::Rule;

    use super::*;

    #[test]
    fn bad_lines_are_counted_as_the_caller_counts_them() {
        let bad = |line, field| BadLine { line, field, rule: Rule::Required };
        let good = || StockImportItem { listen_ip: "192.0.2.1".into(), listen_port: 1, exit_ip: None };
        let rows = vec![
            Row { line: 2, item: Ok(good()) },
            Row { line: 4, item: Err(bad(4, "listen_port")) },
            Row { line: 5, item: Ok(good()) },
        ];
        let (lines, items, unreadable) = sorted_out(rows);
        assert_eq!((lines.as_slice(), items.len()), ([2, 4, 5].as_slice(), 3));
        let refused = vec![bad(2, "listen_ip"), bad(2, "listen_port"), bad(3, "exit_ip")];
        let told = with_lines(Error::Lines(refused), &lines, unreadable);
        assert_eq!(told, ApiError::Lines(vec![bad(4, "listen_port"), bad(5, "exit_ip")]));
    }
}
