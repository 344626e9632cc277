use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use http_body::Body as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use shared_events::contract::Reason;
use tonic::body::Body;

use crate::problem::Problem;

/// Watches of one socket.
pub(super) const WATCHES_MAX: usize = 32;

/// A watch: a call whose answer is read as the socket takes it.
struct Open {
    id: String,
    /// The last cursor that the client was sent, or began with.
    cursor: Option<String>,
    /// Whether the call was let in.
    admitted: bool,
    stage: Stage,
}

enum Stage {
    Asked(BoxFuture<'static, Response<Body>>),
    Answered(Body),
}

/// What of a line is looked at.
#[derive(Deserialize)]
struct Seen<'a> {
    cursor: Option<&'a str>,
    problem: Option<Value>,
    end: Option<IgnoredAny>,
}

/// The watches of a socket.
#[derive(Default)]
pub(super) struct Watches {
    open: Vec<Open>,
    /// Which is asked first: each in turn.
    next: usize,
    /// Whether a call was ever let in.
    pub(super) admitted: bool,
}

impl Watches {
    pub(super) const fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.open.len() >= WATCHES_MAX
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.open.iter().any(|open| open.id == id)
    }

    /// Begins a watch.
    pub(super) fn begin(
        &mut self,
        id: String,
        cursor: Option<String>,
        answer: BoxFuture<'static, Response<Body>>,
    ) {
        let stage = Stage::Asked(answer);
        self.open.push(Open { id, cursor, admitted: false, stage });
    }

    /// Ends a watch: what its client is told, if there was one.
    pub(super) fn end(&mut self, id: &str) -> Option<String> {
        let index = self.open.iter().position(|open| open.id == id)?;
        Some(self.open.remove(index).last("end", json!({})))
    }

    /// Ends all watches, because their reader is too slow: what it is told once it reads again.
    pub(super) fn cut(&mut self) -> Vec<String> {
        self.open.drain(..).map(|open| open.last("behind", json!({}))).collect()
    }

    /// The next message of any watch. Waits for ever where there is none.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<String> {
        let count = self.open.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            let Some(open) = self.open.get_mut(index) else { continue };
            let Poll::Ready(item) = open.poll(context) else { continue };
            self.admitted |= open.admitted;
            self.next = index + 1;
            return Poll::Ready(match item {
                Some((text, false)) => text,
                Some((text, true)) => {
                    self.open.remove(index);
                    text
                }
                None => {
                    let problem = Problem::new(Reason::Internal, "the watch broke off").json();
                    self.open.remove(index).last("problem", problem)
                }
            });
        }
        Poll::Pending
    }
}

impl Open {
    /// The next message, and whether it is the last; none if the answer broke off.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<(String, bool)>> {
        loop {
            match &mut self.stage {
                Stage::Asked(answer) => {
                    let Poll::Ready(answer) = answer.as_mut().poll(context) else {
                        return Poll::Pending;
                    };
                    self.admitted = answer.status() == StatusCode::OK;
                    self.stage = Stage::Answered(answer.into_body());
                }
                Stage::Answered(body) => match Pin::new(body).poll_frame(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(line) => return Poll::Ready(self.item(&line)),
                        Err(_) => continue,
                    },
                    Poll::Ready(_) => return Poll::Ready(None),
                },
            }
        }
    }

    /// A message of one line of the answer.
    fn item(&mut self, line: &Bytes) -> Option<(String, bool)> {
        if !self.admitted {
            let problem = serde_json::from_slice(line).ok()?;
            return Some((self.last("problem", problem), true));
        }
        let Seen { cursor, problem, end } = serde_json::from_slice(line).ok()?;
        if let Some(cursor) = cursor {
            self.cursor = Some(cursor.to_owned());
        }
        if let Some(problem) = problem {
            let slow = problem["code"] == Reason::ReaderTooSlow.code();
            return Some((self.last(if slow { "behind" } else { "problem" }, problem), true));
        }
        let line = std::str::from_utf8(line).ok()?.trim_end();
        let rest = line.strip_prefix('{')?;
        Some((format!("{{\"id\":{},{rest}", Value::from(self.id.as_str())), end.is_some()))
    }

    /// The message after which there is none, with the cursor to resume after.
    fn last(&self, name: &str, value: Value) -> String {
        let mut message = json!({ "id": self.id, name: value });
        if let Some(cursor) = &self.cursor {
            message["cursor"] = Value::from(cursor.as_str());
        }
        message.to_string()
    }
}
