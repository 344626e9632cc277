use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::unfold;
use http::{HeaderName, HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use prost_reflect::{DynamicMessage, Value};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;

use super::call::Call;
use super::cursor::Cursor;
use super::frames::Frames;
use super::json;
use super::place::value_at;
use super::routes::Route;

/// A stream of events says that it lives when it has said nothing for so long.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Proxies that buffer answers keep nothing of this one back.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How a stream is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, one item a line.
    #[default]
    Lines,
    /// As browsers read it (`EventSource`).
    Events,
}

impl Form {
    /// What a caller accepts; none if neither.
    pub(super) fn asked_for(accept: Option<&HeaderValue>) -> Option<Self> {
        let Some(accept) = accept else { return Some(Self::Lines) };
        let accept = accept.to_str().unwrap_or_default().to_ascii_lowercase();
        let kinds = accept.split(',').filter_map(|part| part.split(';').next().map(str::trim));
        kinds.into_iter().find_map(|kind| match kind {
            "text/event-stream" => Some(Self::Events),
            "*/*" | "application/*" | "application/x-ndjson" | "application/jsonl" => {
                Some(Self::Lines)
            }
            _ => None,
        })
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }
}

/// A stream that is being answered.
struct Answering {
    call: Call,
    frames: Frames,
    cursor: Cursor,
    /// What was read to know that the stream begins.
    first: Option<Result<Option<Bytes>, Status>>,
    ended: bool,
}

/// The answer of a call that has many messages. A call that is refused before its first item is
/// answered as any other is.
pub(super) async fn answer(call: Call, answer: Response<Body>) -> Response<Body> {
    let mut frames = Frames::new(answer.into_body());
    let first = match frames.next().await {
        Err(status) => return call.refused(&status),
        Ok(first) => first,
    };
    if first.is_none()
        && let Some(problem) = call.unread()
    {
        return call.problem(problem).into_response();
    }
    let cursor = call.shared.with(|known| known.cursor.clone());
    let form = call.form;
    let answering = Answering { call, frames, cursor, first: Some(Ok(first)), ended: false };
    let items = unfold(answering, |mut answering| async move {
        let item = answering.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(item)), answering))
    });
    let mut answer = Response::new(Body::new(StreamBody::new(items)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(super::answer::EMBEDDED, HeaderValue::from_static("same-origin"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    answer
}

impl Answering {
    /// The next item as text; none after the last.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let read = match (self.first.take(), self.call.form) {
            (Some(first), _) => first,
            (None, Form::Lines) => self.frames.next().await,
            (None, Form::Events) => match timeout(HEARTBEAT, self.frames.next()).await {
                Ok(read) => read,
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
            },
        };
        match read {
            Ok(Some(message)) => Some(self.item(message)),
            Ok(None) => match self.call.unread() {
                Some(problem) => {
                    let problem = self.call.problem(problem).json().to_string();
                    Some(self.last("problem", problem.as_bytes()))
                }
                None => Some(self.last("end", b"{}")),
            },
            Err(status) => {
                let problem = self.call.problem_of(&status).json().to_string();
                Some(self.last("problem", problem.as_bytes()))
            }
        }
    }

    fn item(&mut self, message: Bytes) -> Bytes {
        let rpc = &self.call.route.rpc;
        let read = DynamicMessage::decode(rpc.output.clone(), message);
        let written = read.map_err(|error| error.to_string()).and_then(|message| {
            let json = json::write(&message).map_err(|error| error.to_string())?;
            Ok((message, json))
        });
        let (message, json) = match written {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(%error, rpc = self.call.route.rpc(), "an item is unreadable");
                let status = Status::internal("an item cannot be written as JSON");
                let problem = self.call.problem_of(&status).json().to_string();
                return self.last("problem", problem.as_bytes());
            }
        };
        for place in &rpc.positions {
            match value_at(&message, place) {
                Some(Value::Message(position)) => self.cursor.reach(&position),
                Some(Value::List(positions)) => {
                    let positions = positions.iter().filter_map(Value::as_message);
                    positions.for_each(|position| self.cursor.reach(position));
                }
                _ => {}
            }
        }
        let cursor = self.call.route.resumes().then(|| self.cursor.text());
        match self.call.form {
            Form::Events => event(&name(&message), &json, cursor.as_deref()),
            Form::Lines => line(&json, cursor.as_deref()),
        }
    }

    /// The item that says how the stream ended.
    fn last(&mut self, name: &str, json: &[u8]) -> Bytes {
        self.ended = true;
        let cursor = self.call.route.resumes().then(|| self.cursor.text());
        match self.call.form {
            Form::Events => event(name, json, cursor.as_deref()),
            Form::Lines => {
                let item = [b"{\"", name.as_bytes(), b"\":", json, b"}"].concat();
                line(&item, cursor.as_deref())
            }
        }
    }
}

impl Route {
    /// Whether its stream can be resumed: it begins after positions, as `Last-Event-ID` says them.
    #[must_use]
    pub fn resumes(&self) -> bool {
        self.rpc.gives_stream && self.rpc.after.is_some()
    }
}

/// The name of an item: that of its one field, if it is one of several kinds.
fn name(message: &DynamicMessage) -> String {
    let set = message.fields().find(|(field, _)| field.containing_oneof().is_some());
    set.map_or_else(|| "item".to_owned(), |(field, _)| field.name().to_owned())
}

fn event(name: &str, json: &[u8], cursor: Option<&str>) -> Bytes {
    let id = cursor.map(|cursor| format!("id: {cursor}\n")).unwrap_or_default();
    let head = format!("{id}event: {name}\ndata: ");
    Bytes::from([head.as_bytes(), json, b"\n\n"].concat())
}

/// A line: the object, and the cursor in it.
fn line(json: &[u8], cursor: Option<&str>) -> Bytes {
    let Some(cursor) = cursor else { return Bytes::from([json, b"\n"].concat()) };
    let inside = json.strip_suffix(b"}").unwrap_or(json);
    let comma: &[u8] = if inside == b"{" { b"" } else { b"," };
    let end = format!("\"cursor\":\"{cursor}\"}}\n");
    Bytes::from([inside, comma, end.as_bytes()].concat())
}
