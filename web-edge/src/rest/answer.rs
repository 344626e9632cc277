use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost_reflect::DynamicMessage;
use tonic::Status;
use tonic::body::Body;

use super::accepted::Accepted;
use super::call::{Call, Spelling};
use super::connect::Encoding;
use super::frames::Frames;
use super::json;
use super::place::value_at;
use super::routes::Route;
use super::version::Version;

/// Who may embed an answer: browsers keep it from pages of others.
pub(super) const EMBEDDED: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Says that a command was repeated, and changed nothing.
const REPLAYED: HeaderName = HeaderName::from_static("ordinal-replayed");
/// What is written as it is in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The answer of a call that has one message.
pub(super) async fn answer(call: Call, answer: Response<Body>) -> Response<Body> {
    let mut frames = Frames::new(answer.into_body());
    let message = match message(&mut frames).await {
        Ok(message) => message,
        Err(status) => return call.refused(&status),
    };
    if call.spelling == Spelling::Connect(Encoding::Binary) {
        return bare(Encoding::Binary, message, frames.into_body());
    }
    let read = DynamicMessage::decode(call.route.rpc.output.clone(), message);
    let written = read.map_err(|error| error.to_string()).and_then(|message| {
        let json = json::write(&message).map_err(|error| error.to_string())?;
        Ok((message, json))
    });
    match written {
        Ok((_, json)) if call.spelling != Spelling::Rest => {
            bare(Encoding::Json, Bytes::from(json), frames.into_body())
        }
        Ok((message, json)) => success(&call, &message, json, frames.into_body()),
        Err(error) => {
            tracing::error!(%error, rpc = call.route.rpc(), "an answer cannot be written as JSON");
            call.refused(&Status::internal("the answer cannot be written as JSON"))
        }
    }
}

/// A message and nothing else, as Connect answers.
fn bare(encoding: Encoding, message: Bytes, kept: Body) -> Response<Body> {
    let mut answer = Response::new(Body::new(Held { json: message, _answer: kept }));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(EMBEDDED, HeaderValue::from_static("same-origin"));
    answer
}

/// The one message, once the call has succeeded.
async fn message(frames: &mut Frames) -> Result<Bytes, Status> {
    let missing = || Status::internal("the answer has no message");
    let message = frames.next().await?.ok_or_else(missing)?;
    match frames.next().await? {
        None => Ok(message),
        Some(_) => Err(Status::internal("the answer has more than one message")),
    }
}

fn success(call: &Call, message: &DynamicMessage, json: Vec<u8>, kept: Body) -> Response<Body> {
    let rpc = &call.route.rpc;
    let version = rpc.answered_etag.as_ref().and_then(|answered| Version::of(message, answered));
    let is_whole = version.as_ref().is_some_and(|version| version.is_whole);
    let etag = version.map(|version| version.etag);
    let is_read = !call.route.has_body;
    let unchanged = is_read && is_whole && etag.as_ref().is_some_and(|etag| has(call, etag));
    let replayed = message.get_field_by_name("replayed").and_then(|value| value.as_bool());
    let replayed = replayed == Some(true);
    let creates = call.route.creates() && !call.shared.with(|known| known.validate_only);
    // Also where it is repeated: it is still waited for.
    let accepted = creates && rpc.accepted.as_ref().is_some_and(|said| said.is_in(message));
    let created = creates && !replayed;
    let body = match unchanged || call.head_only {
        true => Bytes::new(),
        false => Bytes::from(json),
    };
    let mut answer = Response::new(Body::new(Held { json: body, _answer: kept }));
    *answer.status_mut() = match (unchanged, accepted, created) {
        (true, ..) => StatusCode::NOT_MODIFIED,
        (_, true, _) => StatusCode::ACCEPTED,
        (.., true) => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let headers = answer.headers_mut();
    if !unchanged {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(EMBEDDED, HeaderValue::from_static("same-origin"));
    // What one caller may see is no answer to another.
    let cache = if is_read && is_whole { "private, no-cache" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("authorization"));
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(location) = location(call, message).filter(|_| created || accepted) {
        headers.insert(header::LOCATION, location);
    }
    answer
}

impl Route {
    /// While which an answer is 202, in words; none where what was asked for is always complete.
    #[must_use]
    pub fn accepted_while(&self) -> Option<String> {
        self.rpc.accepted.as_ref().filter(|_| self.creates()).map(Accepted::said)
    }
}

/// Whether the caller has this version already.
fn has(call: &Call, etag: &HeaderValue) -> bool {
    let Some(Ok(known)) = call.if_none_match.as_ref().map(HeaderValue::to_str) else {
        return false;
    };
    let mut known = known.split(',').map(|one| one.trim().trim_start_matches("W/"));
    known.any(|one| one == "*" || one.as_bytes() == etag.as_bytes())
}

/// Where what was created can be read.
fn location(call: &Call, message: &DynamicMessage) -> Option<HeaderValue> {
    let (template, place) = call.route.created_at.as_ref()?;
    let value = value_at(message, place)?;
    let id = utf8_percent_encode(value.as_str()?, IN_PATH).to_string();
    let list = template.rsplit_once('/')?.0;
    HeaderValue::from_str(&format!("{list}/{id}")).ok()
}

/// An answer that counts among the calls of its caller until it is taken.
struct Held {
    json: Bytes,
    _answer: Body,
}

/// Handed over in pieces of this size.
const PIECE: usize = 16 * 1024;

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.json.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.json.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.json.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.json.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.json.len()).unwrap_or(u64::MAX))
    }
}
