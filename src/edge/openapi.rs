//! The OpenAPI document and Swagger UI, as the front answers them: to everybody, because they say
//! no more than the protos do.
//! Never here: how they are made.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;
use web_openapi::{Asset, Pages};

/// Made from the protos by `verbs::openapi`; a test keeps the two the same. What is served is what
/// was reviewed.
const DOCUMENT: &str = include_str!("../../docs/openapi.json");

static PAGES: LazyLock<Pages> = LazyLock::new(|| Pages::new(DOCUMENT));

/// The page that a request asks for, if there is one.
pub(crate) fn answer(request: &Request<Body>) -> Option<Response<Body>> {
    let head_only = request.method() == Method::HEAD;
    if !head_only && request.method() != Method::GET {
        return None;
    }
    let asset = PAGES.answer(request.uri().path())?;
    let known = request.headers().get(header::IF_NONE_MATCH);
    let unchanged = known.is_some_and(|known| known.as_bytes() == asset.etag.as_bytes());
    let body = if head_only || unchanged { &[][..] } else { asset.body };
    let mut answer = Response::new(Body::new(Full::new(Bytes::from_static(body))));
    if unchanged {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    write_headers(&mut answer, asset);
    Some(answer)
}

fn write_headers(answer: &mut Response<Body>, asset: &Asset) {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(header::ETAG, etag);
    }
    for (name, value) in asset.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}
