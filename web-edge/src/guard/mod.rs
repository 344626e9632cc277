//! What a web page of somebody else could make a browser send is refused before anything reads it:
//! foreign names of this process (DNS rebinding), foreign origins, bodies that need no permission,
//! and paths that are written in another way than the routes are.
//! Never here: who may call what.

mod cors; // what pages of permitted origins are told
mod hosts; // the names under which this process answers

pub(crate) use cors::Cors;
pub use hosts::Hosts;

use http::{HeaderMap, Method, Request, header};
use percent_encoding::percent_decode_str;
use shared_events::contract::Reason;

use crate::problem::Problem;

/// The most bytes of a request's head: its address and headers.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What HTTP/2 counts for each header beside its name and value.
const HEADER_COST: usize = 32;
/// What a body may be. Pages of others can send none of these without a permission.
const MEDIA_TYPES: [&str; 7] = [
    "application/json",
    "application/x-ndjson",
    "application/proto",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];
/// Query parameters in which others carry tokens. They would be written to logs on the way.
const TOKENS_IN_URLS: [&str; 3] = ["access_token", "token", "authorization"];

/// Checks all that can be known from the head of a request.
///
/// # Errors
/// The problem.
pub(crate) fn check<B>(hosts: &Hosts, request: &Request<B>) -> Result<(), Problem> {
    check_bare(hosts, request)?;
    no_token(request.uri().query().unwrap_or_default())?;
    media_type(request.headers())
}

/// Checks all but what its body is, and what its query has.
///
/// # Errors
/// The problem.
pub(crate) fn check_bare<B>(hosts: &Hosts, request: &Request<B>) -> Result<(), Problem> {
    size(request)?;
    check_page(hosts, request)?;
    canonical(request.uri().path())
}

/// Whether a browser says where the page is from that asks.
pub(crate) fn is_of_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Whether a page asks that is not from here.
pub(crate) fn is_of_foreign_page<B>(hosts: &Hosts, request: &Request<B>) -> bool {
    let origin = request.headers().get(header::ORIGIN);
    origin.is_some_and(|origin| !hosts.is_own_origin(origin, request))
}

/// Checks whose page asks.
///
/// # Errors
/// The problem.
pub(crate) fn check_page<B>(hosts: &Hosts, request: &Request<B>) -> Result<(), Problem> {
    hosts.check(request)?;
    origin(hosts, request)
}

/// The size of a request's head in bytes, as HTTP/2 counts it.
pub fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    // Over HTTP/2 the host is no header.
    let host = uri.authority().map_or(0, |host| host.as_str().len());
    let line = host + uri.path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_COST);
    line + headers.sum::<usize>()
}

fn size<B>(request: &Request<B>) -> Result<(), Problem> {
    if head_bytes(request) <= HEAD_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("the address and the headers have at most {HEAD_BYTES_MAX} bytes");
    Err(Problem::new(Reason::HeadersTooLarge, &detail))
}

/// Browsers say where a page is from; programs say nothing.
fn origin<B>(hosts: &Hosts, request: &Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    let refused = |detail: &str| Err(Problem::new(Reason::OriginNotAllowed, detail));
    match headers.get(header::ORIGIN) {
        Some(origin) if hosts.permits(origin) => return Ok(()),
        Some(origin) if !hosts.is_own_origin(origin, request) => {
            return refused("the page that asks is from another origin than this process");
        }
        _ => {}
    }
    let site = headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes);
    match site {
        None | Some(b"same-origin" | b"none") => Ok(()),
        // A link that somebody follows; a page cannot read where it leads.
        Some(_) if request.method() == Method::GET && is_followed(headers) => Ok(()),
        Some(_) => refused("the page that asks is from another site than this process"),
    }
}

fn is_followed(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

/// A path has one spelling: no empty segment, no dots that a proxy would have resolved.
fn canonical(path: &str) -> Result<(), Problem> {
    let Some(inside) = path.strip_prefix('/') else { return Err(Problem::no_route(path)) };
    let strange = inside.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        let name = plain.split_once(':').map_or(plain.as_str(), |(name, _)| name);
        segment.is_empty() || name == "." || name == ".."
    });
    if strange { Err(Problem::no_route(path)) } else { Ok(()) }
}

fn no_token(query: &str) -> Result<(), Problem> {
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let names = names.map(|name| percent_decode_str(name).decode_utf8_lossy());
    let found = TOKENS_IN_URLS
        .into_iter()
        .find(|known| names.clone().any(|name| name.eq_ignore_ascii_case(known)));
    let Some(name) = found else { return Ok(()) };
    let detail = "a token is sent in the header authorization, never in an address";
    Err(Problem::new(Reason::InvalidField, detail).about(name, detail))
}

/// Pages can send forms and plain text without a permission, and JSON only with one.
fn media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let empty = headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0");
    let empty = empty && !headers.contains_key(header::TRANSFER_ENCODING);
    let known = match headers.get(header::CONTENT_TYPE) {
        None => empty,
        Some(given) => given.to_str().is_ok_and(is_json),
    };
    // Over HTTP/2 a body needs no length: what has no type is read as JSON, or not at all.
    if !known {
        let detail = "a body is JSON: send `Content-Type: application/json` (curl: --json)";
        return Err(Problem::new(Reason::UnsupportedMediaType, detail));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let detail = "a body is sent without an encoding";
            Err(Problem::new(Reason::UnsupportedMediaType, detail))
        }
        _ => Ok(()),
    }
}

fn is_json(given: &str) -> bool {
    let mut parts = given.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    let known = MEDIA_TYPES.contains(&kind.as_str());
    known && parts.all(|part| ["charset=utf-8", "charset=\"utf-8\"", ""].contains(&part.as_str()))
}

#[cfg(test)]
mod tests;
