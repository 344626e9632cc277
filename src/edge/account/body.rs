use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use shared_events::contract::Reason;
use tonic::Status;
use tonic::body::Body;

use super::{Call, reason_of};
use crate::edge::passing::is_by_age;

/// The body of an answer, accounted for when it has ended.
pub(super) struct Tracked {
    body: Body,
    call: Call,
}

impl Tracked {
    pub(super) fn new(body: Body, mut call: Call) -> Self {
        if body.is_end_stream() {
            call.end(None);
        }
        Self { body, call }
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let polled = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &polled {
            Some(Ok(frame)) => match frame.trailers_ref() {
                // It is no failure of anybody.
                Some(trailers) if is_by_age(trailers) => this.call.end(None),
                Some(trailers) => {
                    this.call.meter.saw(trailers);
                    this.call.end(reason_of(trailers));
                }
                None if this.body.is_end_stream() => this.call.end(None),
                None => {}
            },
            // A body that fails is reset; why is not for the caller.
            Some(Err(_)) => this.call.end(Some(Reason::Internal.code())),
            None => this.call.end(None),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
