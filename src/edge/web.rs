//! HTTP with JSON: the routes of all services, and who a caller is to them.
//! Never here: how a call is translated; the crate `web-edge` does that.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use order_actor::clock::Clock;
use web_edge::{Hosts, Routes, RoutesError, Settings, WebEdge};

use super::access::Access;
use super::calls::{Calls, is_public};
use super::certificates;
use super::tokens::OwnTokens;

/// Headers by which callers name themselves where nobody has a token.
const CALLER: [HeaderName; 2] =
    [HeaderName::from_static("ordinal-role"), HeaderName::from_static("ordinal-subject")];

/// The routes of all services, wherever they are answered.
///
/// # Errors
/// If a method has no route of its own.
pub(crate) fn routes(calls: &Calls) -> Result<Routes, RoutesError> {
    Routes::new(calls.descriptors(), |service| calls.serves(service))
}

/// HTTP with JSON for these services and callers.
///
/// # Errors
/// If a method has no route of its own.
pub(crate) fn layer(
    calls: &Calls,
    (access, clock): (&Access, Arc<dyn Clock>),
    (hosts, own): (Hosts, Option<Arc<OwnTokens>>),
) -> Result<WebEdge, RoutesError> {
    let (passed_headers, connection_headers) = match access {
        Access::Development => (CALLER.to_vec(), Vec::new()),
        Access::Tokens(_) => (vec![certificates::CALLER], vec![certificates::CALLER]),
    };
    let access = access.clone();
    let subject = move |headers: &HeaderMap| {
        let by = access.claimed(headers, clock.now())?;
        Some(format!("{}:{}", by.role().code(), by.subject()))
    };
    let routes = routes(calls)?;
    let pages: web_edge::Pages = Arc::new(move |request| {
        let keys = own.as_ref().and_then(|own| own.page(request));
        keys.or_else(|| super::openapi::answer(request))
    });
    let subject = Arc::new(subject);
    Ok(WebEdge::new(Settings {
        routes,
        unrouted: is_public,
        hosts,
        passed_headers,
        connection_headers,
        subject,
        pages,
    }))
}
