//! A customer's proxies in one piece, in the forms that programs and people paste from.

mod template;

use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tollgate_core::statics::{self, StaticFilter, StaticProxy};
use tollgate_core::{Core, Rule};
use tollgate_types::{StaticProtocol, Zone};
use utoipa::{IntoParams, ToSchema};

use super::proxies::{StaticRecord, range};
use crate::callers::Caller;
use crate::csv;
use crate::envelope::Envelope;
use crate::error::ApiError;
use crate::params::Filters;
use crate::words::{ProtocolWord, StaticTypeWord};
use template::Template;

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "txt")]
pub(crate) enum ExportFormat {
    Txt,
    Url,
    Csv,
    Json,
}

/// What to export, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParams {
    /// txt: `ip:port:user:password`; url: `http://user:password@ip:port`, or `socks5://` where that is all it speaks;
    /// csv: with a header; json: as the lists show them. txt where absent
    #[param(inline)]
    format: Option<ExportFormat>,
    /// A line for each proxy, in place of a format: `%ip% %port% %login% %password% %country% %protocol%`,
    /// `%%` for a per cent sign, `\n`, `\t` and `\\`
    #[param(
        example = "%ip%:%port%:%login%:%password%",
        max_length = 200,
        pattern = r"^([^%\\\x00-\x1F\x7F-\x9F]*%ip%)?[^%\\\x00-\x1F\x7F-\x9F]*$"
    )]
    template: Option<String>,
    /// 代理类型
    #[param(inline)]
    proxy_type: Option<StaticTypeWord>,
    /// 协议
    #[param(inline)]
    protocol: Option<ProtocolWord>,
    /// IP地址: exactly this one
    #[param(example = "127.0.0.1")]
    proxy_address: Option<String>,
    /// 订单号: exactly this one
    #[param(example = "16987AE61820")]
    order_no: Option<String>,
    /// 过期开始时间: a date, or a date and time
    #[param(example = "2025-09-14 12:50:06")]
    expire_start: Option<String>,
    /// 过期结束时间: a date (all of it), or a date and time
    #[param(example = "2025-09-14 12:50:06")]
    expire_end: Option<String>,
}

/// 导出静态代理
///
/// All proxies that work now and match, newest first. json answers the envelope, everything else plain text; errors
/// are always the envelope.
#[utoipa::path(get, path = "/api/users/static/export", tag = "静态代理", params(ExportParams),
    responses((status = 200, content(
        (Envelope<Vec<StaticRecord>> = "application/json"),
        (String = "text/plain"),
        (String = "text/csv"),
    ))))]
pub(crate) async fn export(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<ExportParams>,
) -> Result<Response, ApiError> {
    let shape = Shape::chosen(params.format, params.template.as_deref())?;
    let (expire_start, expire_end) = range(params.expire_start, params.expire_end, core.zone())?;
    let filter = StaticFilter {
        static_types: params.proxy_type.map(Into::into).into_iter().collect(),
        protocol: params.protocol.map(Into::into),
        address: params.proxy_address,
        order_no: params.order_no,
        expire_start,
        expire_end,
    };
    let found = statics::export(&core, caller.account, filter).await?;
    Ok(shape.answer(found, core.zone()))
}

/// What an export looks like, checked.
enum Shape {
    Txt,
    Url,
    Csv,
    Json,
    Template(Template),
}

impl Shape {
    fn chosen(format: Option<ExportFormat>, template: Option<&str>) -> Result<Self, ApiError> {
        match (format, template) {
            (None | Some(ExportFormat::Txt), Some(text)) => Template::parse(text).map(Self::Template),
            // Two forms at once: it would be anybody's guess which one is meant.
            (Some(_), Some(_)) => Err(ApiError::invalid("template", Rule::Reference)),
            (None | Some(ExportFormat::Txt), None) => Ok(Self::Txt),
            (Some(ExportFormat::Url), None) => Ok(Self::Url),
            (Some(ExportFormat::Csv), None) => Ok(Self::Csv),
            (Some(ExportFormat::Json), None) => Ok(Self::Json),
        }
    }

    fn answer(self, proxies: Vec<StaticProxy>, zone: &Zone) -> Response {
        match self {
            Self::Txt => plain(lines(&proxies, |at| at.colons())),
            Self::Url => plain(lines(&proxies, |at| at.url())),
            Self::Template(template) => plain(lines(&proxies, |at| template.fill(at))),
            Self::Csv => attachment("text/csv; charset=utf-8; header=present", "csv", table(&proxies, zone)),
            Self::Json => {
                let data: Vec<_> = proxies.into_iter().map(|one| StaticRecord::new(one, zone)).collect();
                let mut response = Json(Envelope { code: 0, data, message: "success" }).into_response();
                response.headers_mut().insert(CONTENT_DISPOSITION, disposition("json"));
                response
            }
        }
    }
}

fn plain(text: String) -> Response {
    attachment("text/plain; charset=utf-8", "txt", text)
}

fn attachment(content_type: &'static str, ending: &str, text: String) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_DISPOSITION, disposition(ending));
    response
}

fn disposition(ending: &str) -> HeaderValue {
    let value = format!("attachment; filename=\"static-proxies.{ending}\"");
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

fn lines(proxies: &[StaticProxy], line: impl Fn(&Reached<'_>) -> String) -> String {
    let reached = proxies.iter().filter_map(Reached::of);
    reached.map(|at| line(&at) + "\n").collect()
}

/// Where a proxy is reached, and how.
struct Reached<'a> {
    address: SocketAddr,
    username: &'a str,
    password: &'a str,
    country: &'a str,
    protocol: StaticProtocol,
}

impl<'a> Reached<'a> {
    /// `None` for one that was not delivered yet.
    fn of(proxy: &'a StaticProxy) -> Option<Self> {
        Some(Self {
            address: proxy.address?,
            username: &proxy.username,
            password: proxy.password.expose_secret(),
            country: &proxy.country,
            protocol: proxy.protocol,
        })
    }

    fn colons(&self) -> String {
        format!("{}:{}:{}", self.address, self.username, self.password)
    }

    fn url(&self) -> String {
        let scheme = if self.protocol.speaks_http() { "http" } else { "socks5" };
        // Form encoding is percent-encoding for all that a name or a password can hold.
        let [name, password] = [self.username, self.password]
            .map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
        format!("{scheme}://{name}:{password}@{}", self.address)
    }
}

const COLUMNS: [&str; 11] = [
    "proxy_address",
    "proxy_port",
    "proxy_user",
    "proxy_password",
    "protocol",
    "country",
    "proxy_type",
    "order_no",
    "expire_time",
    "remark",
    "id",
];

fn table(proxies: &[StaticProxy], zone: &Zone) -> String {
    let mut table = String::new();
    csv::write(&mut table, COLUMNS);
    for proxy in proxies {
        let address = proxy.address.map_or_else(String::new, |at| at.ip().to_string());
        let port = proxy.address.map_or_else(String::new, |at| at.port().to_string());
        let (expires, id) = (zone.show(proxy.expires_at), proxy.id.to_string());
        let cells: [&str; COLUMNS.len()] = [
            &address,
            &port,
            &proxy.username,
            proxy.password.expose_secret(),
            proxy.protocol.as_str(),
            &proxy.country,
            proxy.static_type.as_str(),
            &proxy.order_no,
            &expires,
            &proxy.remark,
            &id,
        ];
        csv::write(&mut table, cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(address: &str, protocol: StaticProtocol) -> Reached<'static> {
        let address = address.parse().unwrap();
        Reached { address, username: "s1", password: "p@:/ä", country: "us", protocol }
    }

    #[test]
    fn addresses_are_written_so_that_they_can_be_read_again() {
        let v4 = reached("192.0.2.7:8080", StaticProtocol::Http);
        let v6 = reached("[2001:db8::7]:1080", StaticProtocol::Socks5);
        assert_eq!(v4.colons(), "192.0.2.7:8080:s1:p@:/ä");
        assert_eq!(v6.colons(), "[2001:db8::7]:1080:s1:p@:/ä");
        assert_eq!(v4.url(), "http://s1:p%40%3A%2F%C3%A4@192.0.2.7:8080");
        assert_eq!(v6.url(), "socks5://s1:p%40%3A%2F%C3%A4@[2001:db8::7]:1080");
        assert!(reached("192.0.2.7:1", StaticProtocol::Both).url().starts_with("http://"));
    }

    #[test]
    fn a_template_is_a_form_of_its_own() {
        let chosen = |format, template| Shape::chosen(format, template).map(|_| ());
        assert_eq!(chosen(Some(ExportFormat::Txt), Some("%ip%")), Ok(()));
        let both = chosen(Some(ExportFormat::Csv), Some("%ip%"));
        assert_eq!(both, Err(ApiError::invalid("template", Rule::Reference)));
    }
}
