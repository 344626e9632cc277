use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Frame;
use shared_events::contract::Reason;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use super::request::{BODY_BYTES_MAX, Head, Shared, unfit};
use super::{frames, json};
use crate::problem::Problem;

/// The messages of a call that takes many: one JSON object a line. A line that cannot be read ends
/// the call once the lines before it are answered; the last item of the answer has its number.
pub(super) struct Lines {
    head: Head,
    body: Body,
    shared: Shared,
    buffer: BytesMut,
    /// How much of the buffer has no line end.
    searched: usize,
    /// The number of the last line.
    number: u64,
    /// Nothing more arrives.
    complete: bool,
    failed: bool,
    /// When the line that has begun must have arrived.
    arrive_by: Option<Pin<Box<Sleep>>>,
}

/// A line arrives within this once it has begun, as a message does.
const LINE_WITHIN: Duration = Duration::from_secs(10);

impl Lines {
    pub(super) fn new(head: Head, body: Body, shared: Shared) -> Self {
        Self {
            head,
            body,
            shared,
            buffer: BytesMut::new(),
            searched: 0,
            number: 0,
            complete: false,
            failed: false,
            arrive_by: None,
        }
    }

    /// The next line that has anything; none until it is complete.
    fn line(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let end = unsearched.iter().position(|byte| *byte == b'\n');
            let line = match end {
                Some(at) => {
                    let line = self.buffer.split_to(self.searched + at);
                    self.buffer.advance(1);
                    line
                }
                None if self.complete && !self.buffer.is_empty() => self.buffer.split(),
                None if self.buffer.len() > BODY_BYTES_MAX => {
                    let detail = format!("a line has at most {BODY_BYTES_MAX} bytes");
                    let problem = Problem::new(Reason::MessageTooLarge, &detail);
                    return Err(problem.with("line", self.number + 1));
                }
                None => {
                    self.searched = self.buffer.len();
                    return Ok(None);
                }
            };
            self.searched = 0;
            // The next line has a deadline of its own.
            self.arrive_by = None;
            self.number += 1;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line.freeze()));
            }
        }
    }

    fn frame(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(line) = self.line()? else { return Ok(None) };
        let message = json::read(&self.head.matched.route.rpc.input, &line);
        let message = message.map_err(|found| unfit(found).with("line", self.number))?;
        Ok(Some(frames::frame(&message)))
    }
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if this.failed {
                return Poll::Ready(None);
            }
            match this.frame() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                Ok(None) if this.complete => return Poll::Ready(None),
                Ok(None) => {}
                Err(problem) => {
                    this.failed = true;
                    this.shared.with(|known| known.problem = Some(problem));
                    return Poll::Ready(None);
                }
            }
            if this.buffer.is_empty() {
                this.arrive_by = None;
            }
            let Poll::Ready(next) = Pin::new(&mut this.body).poll_frame(context) else {
                if this.buffer.is_empty() {
                    return Poll::Pending;
                }
                let arrive_by = &mut this.arrive_by;
                let arrive_by = arrive_by.get_or_insert_with(|| Box::pin(sleep(LINE_WITHIN)));
                ready!(arrive_by.as_mut().poll(context));
                this.failed = true;
                let problem = Problem::new(Reason::MessageTooSlow, "a line did not arrive in time");
                let problem = problem.with("line", this.number + 1);
                this.shared.with(|known| known.problem = Some(problem));
                return Poll::Ready(None);
            };
            match next {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => this.complete = true,
            }
        }
    }
}
