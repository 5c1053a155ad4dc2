//! Which methods act on which path: what the OpenAPI document lists, and nothing else.

use std::collections::HashMap;

use axum::http::Method;
use utoipa::openapi::{OpenApi, PathItem};

/// The methods of every path.
pub(crate) struct Methods(HashMap<String, Vec<Method>>);

impl Methods {
    /// As the document lists them.
    pub(crate) fn of(document: &OpenApi) -> Self {
        Self(document.paths.paths.iter().map(|(path, item)| (path.clone(), listed(item))).collect())
    }

    /// Whether a method acts on a path, given as its template.
    ///
    /// # Errors
    /// The value of `Allow`, where it does not.
    pub(crate) fn allow(&self, template: &str, method: &Method) -> Result<(), String> {
        // Paths outside the document are the documentation's own, which are only looked at.
        let listed = self.0.get(template).map_or(&[Method::GET][..], Vec::as_slice);
        match listed.contains(method) {
            true => Ok(()),
            false => Err(listed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn listed(item: &PathItem) -> Vec<Method> {
    let slots = [(&item.get, Method::GET), (&item.post, Method::POST)];
    slots.into_iter().filter_map(|(operation, method)| operation.as_ref().map(|_| method)).collect()
}
