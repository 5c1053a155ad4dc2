//! Which methods act on which path: what the OpenAPI document lists, and what follows from it. HEAD is
//! answered as GET without the body where GET changes nothing, OPTIONS by the methods that there are.

use std::collections::HashMap;

use axum::extract::Request;
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::{OpenApi, PathItem};

use crate::envelope;
use crate::error::ApiError;

/// The paths whose GET changes something: whoever only wants to see a head must not buy.
const CHANGED_BY_GET: [&str; 2] =
    ["/api/users/traffic/packages/purchase", "/api/users/proxy/delete-whitelist"];

/// The methods of every path.
pub(crate) struct Methods(HashMap<String, Vec<Method>>);

impl Methods {
    /// As the document lists them.
    pub(crate) fn of(document: &OpenApi) -> Self {
        Self(document.paths.paths.iter().map(|(path, item)| (path.clone(), listed(path, item))).collect())
    }

    /// Returns the answer to a method that does not act on a path, OPTIONS or one that is not allowed; `None` where it
    /// does. `template`: the path, as the document has it.
    pub(crate) fn answer(&self, template: &str, method: &Method) -> Option<Response> {
        // Paths outside the document are the documentation's own, which are only looked at.
        let listed = self.0.get(template).map_or(&[Method::GET, Method::HEAD][..], Vec::as_slice);
        if listed.contains(method) {
            return None;
        }
        let names = listed.iter().chain([&Method::OPTIONS]).map(Method::as_str);
        let allow = names.collect::<Vec<_>>().join(", ");
        Some(match *method == Method::OPTIONS {
            true => options(&allow),
            false => ApiError::MethodNotAllowed { allow }.into_response(),
        })
    }
}

fn listed(path: &str, item: &PathItem) -> Vec<Method> {
    let looks = item.get.is_some() && !CHANGED_BY_GET.contains(&path);
    let slots =
        [(item.get.is_some(), Method::GET), (looks, Method::HEAD), (item.post.is_some(), Method::POST)];
    slots.into_iter().filter_map(|(there, method)| there.then_some(method)).collect()
}

fn options(allow: &str) -> Response {
    let mut response = envelope::done().into_response();
    response.headers_mut().extend(HeaderValue::try_from(allow).ok().map(|allow| (ALLOW, allow)));
    response
}

/// The method that the client sent.
#[derive(Debug, Clone)]
pub(crate) struct SentMethod(pub(crate) Method);

/// Has a call that comes by HEAD done as by GET; the body is taken off on the way out, when its length is known.
pub(crate) async fn head_as_get(mut request: Request, next: Next) -> Response {
    let sent = SentMethod(request.method().clone());
    if sent.0 == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    request.extensions_mut().insert(sent);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_get_that_has_a_post_beside_it_that_does_the_same_is_no_look() {
        let document = crate::openapi();
        let twins = document.paths.paths.iter().filter(|(_, item)| match (&item.get, &item.post) {
            (Some(get), Some(post)) => {
                post.summary.as_deref()
                    == get.summary.as_ref().map(|words| format!("{words} (POST)")).as_deref()
            }
            _ => false,
        });
        let mut twins: Vec<_> = twins.map(|(path, _)| path.as_str()).collect();
        twins.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(twins, CHANGED_BY_GET);
    }
}
