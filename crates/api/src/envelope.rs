//! The envelope: `{"code", "data", "message"}` around every answer (contract §1).

use axum::Json;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_core::BadLine;
use tollgate_core::idempotency::Outcome;
use utoipa::ToSchema;

use crate::error::{ApiError, NotTaken, Unreadable};
use crate::language::Language;
use crate::messages;
use crate::serve::Receipt;

/// Says of an answer that the call was done before, and not now.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What every handler returns.
pub(crate) type Answer<T> = Result<Success<T>, ApiError>;

/// A call that was done, with what it has to tell.
#[derive(Debug)]
pub(crate) struct Success<T> {
    data: T,
    is_replayed: bool,
    /// To be told whether the answer was heard.
    receipt: Option<Receipt>,
}

/// A call that was done.
pub(crate) const fn ok<T>(data: T) -> Answer<T> {
    Ok(Success { data, is_replayed: false, receipt: None })
}

/// A call that spent money, now or when it came first.
pub(crate) fn spent<T>(outcome: Outcome<T>, receipt: Option<Receipt>) -> Answer<T> {
    Ok(Success { data: outcome.value, is_replayed: outcome.is_replayed, receipt })
}

/// A call that was done and has nothing to tell.
pub(crate) const fn done() -> Answer<()> {
    ok(())
}

/// The shape of every successful answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Envelope<T> {
    /// 状态码, 0:成功. Always 0 here.
    #[schema(example = 0, minimum = 0, maximum = 0)]
    pub(crate) code: i32,
    /// What was asked for.
    pub(crate) data: T,
    /// Always `success` here.
    #[schema(example = "success")]
    pub(crate) message: &'static str,
}

/// The shape of a successful answer that has nothing to tell.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Done)]
pub(crate) struct DoneEnvelope {
    /// 状态码, 0:成功. Always 0 here.
    #[schema(example = 0, minimum = 0, maximum = 0)]
    code: i32,
    /// Always null.
    #[schema(value_type = Option<Object>, required = true)]
    data: (),
    /// Always `success` here.
    #[schema(example = "success")]
    message: &'static str,
}

/// The shape of every failed answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub(crate) struct FailureEnvelope {
    /// 状态码, 其他数字:失败. One of the codes of the table; never 0.
    #[schema(example = 40000, minimum = 40000)]
    code: i32,
    /// What a program may want to know: the parameter that is wrong, or the id of the request.
    #[schema(required = true)]
    data: Option<FailureData>,
    /// What went wrong, for people, in the language of `Accept-Language` (zh or en).
    #[schema(example = "参数 page 必须在 1 到 1000000000 之间")]
    message: String,
}

/// What a program may want to know of a failure.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureData {
    /// The parameter that is wrong (code 40000).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'static str>,
    /// Every line of an import that is wrong (code 40000).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lines: Option<Vec<LineData>>,
    /// The id under which the log holds the rest (codes 50000 and 50300).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
}

/// A line of an import that is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureLine)]
pub(crate) struct LineData {
    /// Which: the item's place, from 1, or the line of the CSV, the header's being 1.
    #[schema(example = 3, minimum = 1)]
    line: usize,
    /// The field in it.
    #[schema(example = "listen_ip")]
    field: &'static str,
    /// What is wrong with it.
    message: String,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The page's records.
    pub(crate) records: Vec<T>,
    /// 总条数: how many records match in all.
    #[schema(minimum = 0)]
    pub(crate) total: i64,
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        let mut response = Json(Envelope { code: 0, data: self.data, message: "success" }).into_response();
        if self.is_replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        if let Some(receipt) = self.receipt {
            response.extensions_mut().insert(receipt);
        }
        response
    }
}

/// Says an error: status, the headers that belong to it, and the envelope in the caller's language.
pub(crate) fn say(error: &ApiError, language: Language, request_id: &str) -> Response {
    let body = FailureEnvelope {
        code: error.code(),
        data: FailureData::of(error, language, request_id),
        message: error.message(language),
    };
    let mut response = (error.status(), Json(body)).into_response();
    let headers = response.headers_mut();
    match error {
        ApiError::Unauthorized => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        ApiError::MethodNotAllowed { allow } => {
            headers.extend(HeaderValue::try_from(allow).ok().map(|allow| (ALLOW, allow)));
        }
        ApiError::TooMany { retry_after } => {
            // Rounded up: a caller who waits so long is not refused again.
            let seconds = retry_after.as_secs().saturating_add(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        ApiError::Unavailable(_) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        ApiError::NotTaken(NotTaken::Encoding) => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        // The rest of the body is not waited for, so nothing may follow it on this connection.
        ApiError::TooLarge | ApiError::Unreadable(Unreadable::TooSlow | Unreadable::Incomplete) => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

impl FailureData {
    fn of(error: &ApiError, language: Language, request_id: &str) -> Option<Self> {
        let nothing = Self { field: None, lines: None, request_id: None };
        match error {
            ApiError::Invalid { field, .. }
            | ApiError::Unreadable(Unreadable::Twice(field) | Unreadable::OtherId(field)) => {
                Some(Self { field: Some(field), ..nothing })
            }
            ApiError::Unreadable(Unreadable::Template) => Some(Self { field: Some("template"), ..nothing }),
            ApiError::Lines(lines) => {
                let lines = lines.iter().map(|line| LineData::new(line, language)).collect();
                Some(Self { lines: Some(lines), ..nothing })
            }
            ApiError::Internal(_) | ApiError::Unavailable(_) => {
                Some(Self { request_id: Some(request_id.to_owned()), ..nothing })
            }
            _ => None,
        }
    }
}

impl LineData {
    fn new(bad: &BadLine, language: Language) -> Self {
        Self { line: bad.line, field: bad.field, message: messages::invalid(bad.field, bad.rule, language) }
    }
}
