use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use prost_reflect::{DynamicMessage, Kind, Value};
use shared_events::contract::Reason;
use tonic::Status;
use tonic::body::Body;

use super::call::Spelling;
use super::connect::Encoding;
use super::cursor::Cursor;
use super::json::{self, Unfit};
use super::place::{set_at, value_at};
use super::routes::Matched;
use super::{conditions, frames, query};
use crate::front::Web;
use crate::problem::Problem;

/// The largest body, as for a message of gRPC.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Where a stream continues, as browsers say it.
const LAST_EVENT_ID: &str = "last-event-id";
/// The parameter with the positions after which a stream begins.
const AFTER: &str = "after";
/// The parameter that a command may have beside its body.
const VALIDATE_ONLY: &str = "validate_only";

/// What the request knows and the answer needs.
#[derive(Default)]
pub(super) struct Known {
    /// Why the request could not be read.
    pub(super) problem: Option<Problem>,
    /// Whether nothing is changed.
    pub(super) validate_only: bool,
    /// Where a stream begins.
    pub(super) cursor: Cursor,
}

/// Shared by a request and its answer.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Known>>);

impl Shared {
    pub(super) fn with<T>(&self, use_it: impl FnOnce(&mut Known) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All that a request says besides its body.
pub(super) struct Head {
    pub(super) matched: Matched,
    pub(super) spelling: Spelling,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
}

/// The body of a gRPC call. The request is read when this is: a caller who is refused before has
/// sent no more than headers.
pub(super) struct OneMessage {
    message: Option<BoxFuture<'static, Result<Bytes, Problem>>>,
    shared: Shared,
}

impl OneMessage {
    pub(super) fn new(web: Arc<Web>, head: Head, body: Body, shared: Shared) -> Self {
        let known = shared.clone();
        let message = async move {
            let json = match head.matched.route.has_body {
                true => collect(body).await?,
                false => Bytes::new(),
            };
            if head.spelling == Spelling::Connect(Encoding::Binary) {
                return Ok(frames::raw(&json));
            }
            let message = message(&web, &head, &json, &known)?;
            Ok(frames::frame(&message))
        };
        Self { message: Some(Box::pin(message)), shared }
    }
}

impl http_body::Body for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(message) = &mut self.message else { return Poll::Ready(None) };
        let read = ready!(message.as_mut().poll(context));
        self.message = None;
        Poll::Ready(Some(match read {
            Ok(frame) => Ok(Frame::data(frame)),
            Err(problem) => {
                self.shared.with(|known| known.problem = Some(problem));
                Err(Status::cancelled("the request could not be read"))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

async fn collect(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
            Err(Problem::new(Reason::MessageTooLarge, &detail))
        }
        Err(_) => Err(Problem::new(Reason::Cancelled, "the request broke off")),
    }
}

/// The message of a call.
fn message(web: &Web, head: &Head, body: &[u8], known: &Shared) -> Result<DynamicMessage, Problem> {
    let route = &head.matched.route;
    let rpc = &route.rpc;
    let mut pairs = query::pairs(head.query.as_deref().unwrap_or_default())?;
    // A cursor, and not one position that somebody wrote.
    let resumed = pairs.iter().any(|(name, value)| name == AFTER && !value.contains(':'));
    let mut message = match route.has_body {
        true if body.is_empty() => DynamicMessage::new(rpc.input.clone()),
        true if !head.headers.contains_key(header::CONTENT_TYPE) => {
            let detail = "a body is JSON: send `Content-Type: application/json` (curl: --json)";
            return Err(Problem::new(Reason::UnsupportedMediaType, detail));
        }
        true => json::read(&rpc.input, body).map_err(unfit)?,
        false => {
            let json = query::read(&rpc.input, &route.fields, std::mem::take(&mut pairs))?;
            json::read_value(&rpc.input, &json).map_err(unfit)?
        }
    };
    for (name, value) in pairs {
        match (&rpc.validate_only, name.as_str(), value.as_str()) {
            (Some(place), VALIDATE_ONLY, "true" | "1") => {
                set_at(&mut message, place, Value::Bool(true));
            }
            (Some(_), VALIDATE_ONLY, "false" | "0") => {}
            (Some(_), VALIDATE_ONLY, _) => return Err(Problem::field(&name, "not true or false")),
            (place, ..) => {
                let known = Vec::from_iter(place.as_ref().map(|_| VALIDATE_ONLY.to_owned()));
                let what = match known.is_empty() {
                    true => "this call takes no parameters: its fields are in its body".to_owned(),
                    false => json::unknown("query parameter", &name, &known),
                };
                return Err(Problem::field(&name, &what));
            }
        }
    }
    path(&mut message, &head.matched)?;
    conditions::apply(&mut message, rpc, &head.headers, &web.subject)?;
    continued(&mut message, head, resumed, known)?;
    let validate_only = rpc.validate_only.as_ref().and_then(|place| value_at(&message, place));
    known.with(|known| {
        known.validate_only = validate_only.is_some_and(|value| value == Value::Bool(true));
    });
    Ok(message)
}

pub(super) fn unfit(Unfit { field, what }: Unfit) -> Problem {
    match field.as_str() {
        "" => Problem::new(Reason::MalformedMessage, &what),
        field => Problem::field(field, &what),
    }
}

/// Sets the fields of the path. The body may repeat them.
fn path(message: &mut DynamicMessage, matched: &Matched) -> Result<(), Problem> {
    for (field, text) in matched.route.fields.iter().zip(&matched.values) {
        let value = match field.kind() {
            Kind::Uint32 => {
                let number = text.parse().map_err(|_| Problem::field(field.name(), "not a number"));
                Value::U32(number?)
            }
            _ => Value::String(text.clone()),
        };
        if message.has_field(field) && *message.get_field(field) != value {
            let what = "the body names another than the path";
            return Err(Problem::field(field.name(), what));
        }
        message.set_field(field, value);
    }
    Ok(())
}

/// Where a stream begins: after its parameter `after`, or where a browser says that it broke off.
fn continued(
    message: &mut DynamicMessage,
    head: &Head,
    mut resumed: bool,
    known: &Shared,
) -> Result<(), Problem> {
    let Some(after) = &head.matched.route.rpc.after else { return Ok(()) };
    if let Some(id) = head.headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        let cursor = id.to_str().map_err(|_| "not visible ASCII".to_owned());
        let cursor = cursor.and_then(Cursor::read);
        let cursor = cursor.map_err(|what| Problem::field("Last-Event-ID", &what))?;
        let kind = after.kind();
        let positions = kind.as_message().into_iter().flat_map(|position| {
            let json = cursor.to_json();
            json.into_iter().filter_map(|json| json::read_value(position, &json).ok())
        });
        message.set_field(after, Value::List(positions.map(Value::Message).collect()));
        resumed = true;
    }
    let given = message.get_field(after).into_owned();
    let given: Vec<&DynamicMessage> =
        given.as_list().into_iter().flatten().filter_map(Value::as_message).collect();
    known.with(|known| given.into_iter().for_each(|position| known.cursor.reach(position)));
    // A cursor names every shard that had anything: the others begin at their first item, so that
    // nothing is missed.
    let field = head.matched.route.rpc.input.get_field_by_name("from_beginning");
    if let Some(field) = field.filter(|_| resumed) {
        message.set_field(&field, Value::Bool(true));
    }
    Ok(())
}
