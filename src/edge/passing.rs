//! Streams that pass through this process, ended between two messages when it stops, and those of a
//! connection that has reached its age: their callers go on elsewhere from where they are.
//! Never here: what a message means.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use service_edge::Refused;
use shared_events::contract::Reason;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::refusal::unavailable;

/// Before each message: a flag and its length.
const PREFIX: usize = 5;

/// In the metadata of `STOPPING`, why the stream ends where the process does not stop.
const CONNECTION: &str = "connection";
const AGED: &str = "aged";

/// What ends a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// This process stops. Its messages go to another process, and its answers come from there.
    Stop,
    /// The connection of its caller has reached its age.
    Age,
}

/// What is done with a stream when it is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Answers: they end with `STOPPING`.
    Answers,
    /// Messages of the caller: no more are sent on. Those that were are answered.
    Messages,
    /// The answers to such messages: their good end is `STOPPING`, because the caller has more.
    AnswersToThem,
}

impl Of {
    /// How answers end whose process is gone, where a message has just ended. A watch goes on
    /// elsewhere; what became of commands that are not answered is not known.
    fn broken(self) -> HeaderMap {
        if self != Self::AnswersToThem {
            return stopping();
        }
        let message = "the process that answers this is gone; the outcome of commands that are not \
                       answered is not known yet; ask again with the same ids";
        trailers(&unavailable(Reason::OutcomeUnknown, message))
    }
}

/// A stream that passes through.
pub(super) struct Passing {
    inner: Body,
    of: Of,
    until: Until,
    place: Place,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

impl Passing {
    /// A stream that ends between two messages once this token is cancelled.
    pub(super) fn ending(inner: Body, of: Of, until: Until, end: &CancellationToken) -> Body {
        let end = Box::pin(end.clone().cancelled_owned());
        Body::new(Self { inner, of, until, place: Place::default(), end, ended: false })
    }

    /// Whether it has answers of another process, which may be gone.
    fn is_of_another(&self) -> bool {
        self.of != Of::Messages && self.until == Until::Stop
    }

    /// How answers end that are told to.
    fn last_word(&self) -> HeaderMap {
        match self.until {
            Until::Stop => stopping(),
            Until::Age => trailers(&aged()),
        }
    }

    fn is_ending(&mut self, context: &mut Context<'_>) -> bool {
        self.end.as_mut().poll(context).is_ready()
    }
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if this.of != Of::AnswersToThem && this.place.is_between() && this.is_ending(context) {
            this.ended = true;
            let last = (this.of == Of::Answers).then(|| Ok(Frame::trailers(this.last_word())));
            return Poll::Ready(last);
        }
        let frame = match std::task::ready!(Pin::new(&mut this.inner).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            // The connection has ended, as each does in time, or the process has: nothing is missing.
            Some(Err(error)) if this.is_of_another() && this.place.is_between() => {
                tracing::debug!(%error, "a stream of another process broke");
                this.ended = true;
                return Poll::Ready(Some(Ok(Frame::trailers(this.of.broken()))));
            }
            other => return Poll::Ready(other),
        };
        if let Some(data) = frame.data_ref() {
            this.place.pass(data);
        }
        let ends_well = frame.trailers_ref().is_some_and(is_good);
        if this.of == Of::AnswersToThem && ends_well && this.is_ending(context) {
            return Poll::Ready(Some(Ok(Frame::trailers(this.last_word()))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }
}

fn is_good(trailers: &HeaderMap) -> bool {
    let code = trailers.get(Status::GRPC_STATUS);
    code.is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::Ok)
}

/// The end of a stream whose connection has reached its age: its caller goes on over another.
pub(super) fn aged() -> Status {
    let message = "the connection has reached its age; open the stream again, over another, after \
                   its last position";
    Refused::new(Reason::Stopping).with(CONNECTION, AGED).say(message)
}

/// Whether a stream has ended because its connection has reached its age, as each does in time.
pub(super) fn is_by_age(trailers: &HeaderMap) -> bool {
    // Nearly all end well: nothing more is read of these.
    if is_good(trailers) {
        return false;
    }
    let Some(status) = Status::from_header_map(trailers) else { return false };
    let info = status.get_details_error_info();
    info.is_some_and(|info| {
        info.reason == Reason::Stopping.code()
            && info.metadata.get(CONNECTION).is_some_and(|why| why == AGED)
    })
}

fn stopping() -> HeaderMap {
    trailers(&Refused::stopping())
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        tracing::warn!("a status did not fit into trailers");
    }
    trailers
}

/// Where in a stream of messages its bytes are.
#[derive(Default)]
struct Place {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that were there.
    known: usize,
    /// Bytes of the message that are to come.
    left: usize,
}

impl Place {
    const fn is_between(&self) -> bool {
        self.known == 0 && self.left == 0
    }

    fn pass(&mut self, mut data: &[u8]) {
        while let Some((first, rest)) = data.split_first() {
            if self.left > 0 {
                let taken = self.left.min(data.len());
                self.left -= taken;
                data = data.get(taken..).unwrap_or_default();
                continue;
            }
            if let Some(byte) = self.prefix.get_mut(self.known) {
                *byte = *first;
            }
            (self.known, data) = (self.known + 1, rest);
            if self.known == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.known = 0;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, Status>>;

    fn stream() -> (Frames, Body) {
        let (frames, received) = mpsc::unbounded_channel();
        (frames, Body::new(StreamBody::new(UnboundedReceiverStream::new(received))))
    }

    fn data(bytes: &'static [u8]) -> Result<Frame<Bytes>, Status> {
        Ok(Frame::data(Bytes::from_static(bytes)))
    }

    /// The bytes of a body and its status.
    async fn all(body: Body) -> (Vec<u8>, Option<Status>) {
        let whole = body.collect().await.unwrap();
        let status = whole.trailers().and_then(Status::from_header_map);
        (whole.to_bytes().to_vec(), status)
    }

    #[tokio::test]
    async fn answers_end_between_two_messages_when_the_process_stops() {
        let (frames, body) = stream();
        let stop = CancellationToken::new();
        let mut answers = Passing::ending(body, Of::Answers, Until::Stop, &stop);
        // A message of two bytes, in three pieces.
        frames.send(data(&[0, 0, 0])).unwrap();
        let first = answers.frame().await.unwrap().unwrap();
        assert_eq!(first.data_ref().unwrap().len(), 3);
        stop.cancel();
        let rest = crate::tasks::spawn(all(answers));
        tokio::task::yield_now().await;
        frames.send(data(&[0, 2, 7])).unwrap();
        frames.send(data(&[8])).unwrap();
        let (bytes, status) = rest.await.unwrap();
        assert_eq!(bytes, [0, 2, 7, 8]);
        assert_eq!(status.unwrap().code(), Code::Unavailable);
        assert!(frames.is_closed());
    }

    #[tokio::test]
    async fn streams_of_an_old_connection_end_between_two_messages() {
        let (frames, body) = stream();
        let aged = CancellationToken::new();
        let mut answers = Passing::ending(body, Of::Answers, Until::Age, &aged);
        frames.send(data(&[0, 0, 0])).unwrap();
        answers.frame().await.unwrap().unwrap();
        aged.cancel();
        frames.send(data(&[0, 1, 7])).unwrap();
        let whole = answers.collect().await.unwrap();
        let trailers = whole.trailers().unwrap();
        let status = Status::from_header_map(trailers).unwrap();
        assert_eq!((status.code(), is_by_age(trailers)), (Code::Unavailable, true));
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "STOPPING");
        assert_eq!(whole.to_bytes().as_ref(), [0, 1, 7]);
        // Commands that were read are answered, and the good end is that of the connection.
        let (messages, body) = stream();
        let sent = Passing::ending(body, Of::Messages, Until::Age, &aged);
        messages.send(data(&[0, 0, 0, 0, 1, 9])).unwrap();
        let (bytes, status) = all(sent).await;
        assert!(bytes.is_empty() && status.is_none());
        let (answers, body) = stream();
        let answered = Passing::ending(body, Of::AnswersToThem, Until::Age, &aged);
        answers.send(data(&[0, 0, 0, 0, 0])).unwrap();
        let mut good = HeaderMap::new();
        Status::ok("").add_header(&mut good).unwrap();
        answers.send(Ok(Frame::trailers(good))).unwrap();
        drop(answers);
        let whole = answered.collect().await.unwrap();
        assert!(is_by_age(whole.trailers().unwrap()) && whole.to_bytes().len() == 5);
        // A good end and a stop are others, and so is a body that fails.
        let mut good = HeaderMap::new();
        Status::ok("").add_header(&mut good).unwrap();
        assert!(!is_by_age(&good) && !is_by_age(&stopping()) && !is_by_age(&HeaderMap::new()));
        let (frames, body) = stream();
        let answers = Passing::ending(body, Of::Answers, Until::Age, &CancellationToken::new());
        frames.send(Err(Status::internal("x"))).unwrap();
        assert!(answers.collect().await.is_err());
    }

    #[tokio::test]
    async fn answers_that_end_by_themselves_end_as_they_do() {
        let (frames, body) = stream();
        let answers = Passing::ending(body, Of::Answers, Until::Stop, &CancellationToken::new());
        frames.send(data(&[0, 0, 0, 0, 1, 9])).unwrap();
        let mut trailers = HeaderMap::new();
        Status::not_found("x").add_header(&mut trailers).unwrap();
        frames.send(Ok(Frame::trailers(trailers))).unwrap();
        drop(frames);
        let (bytes, status) = all(answers).await;
        assert_eq!((bytes.len(), status.unwrap().code()), (6, Code::NotFound));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_between_two_messages_goes_on_elsewhere() {
        let broken = || Err(Status::internal("h2 protocol error"));
        for (of, reason) in [(Of::Answers, "STOPPING"), (Of::AnswersToThem, "OUTCOME_UNKNOWN")] {
            let (frames, body) = stream();
            let answers = Passing::ending(body, of, Until::Stop, &CancellationToken::new());
            frames.send(data(&[0, 0, 0, 0, 1, 9])).unwrap();
            frames.send(broken()).unwrap();
            let (bytes, status) = all(answers).await;
            let status = status.unwrap();
            assert_eq!((bytes.len(), status.code()), (6, Code::Unavailable));
            let said = String::from_utf8_lossy(status.details()).into_owned();
            assert!(said.contains(reason), "{said}");
        }
        // Within a message nothing can be said.
        let (frames, body) = stream();
        let answers = Passing::ending(body, Of::Answers, Until::Stop, &CancellationToken::new());
        frames.send(data(&[0, 0, 0, 0, 2, 9])).unwrap();
        frames.send(broken()).unwrap();
        assert!(answers.collect().await.is_err());
    }

    #[tokio::test]
    async fn no_more_is_sent_on_and_what_was_is_answered() {
        let stop = CancellationToken::new();
        let (messages, body) = stream();
        let sent = Passing::ending(body, Of::Messages, Until::Stop, &stop);
        messages.send(data(&[0, 0, 0, 0, 1, 9])).unwrap();
        let (answers, body) = stream();
        let answered = Passing::ending(body, Of::AnswersToThem, Until::Stop, &stop);
        let reading = crate::tasks::spawn(all(sent));
        tokio::task::yield_now().await;
        stop.cancel();
        assert_eq!(reading.await.unwrap().0.len(), 6);
        answers.send(data(&[0, 0, 0, 0, 0])).unwrap();
        let mut trailers = HeaderMap::new();
        Status::ok("").add_header(&mut trailers).unwrap();
        answers.send(Ok(Frame::trailers(trailers))).unwrap();
        drop(answers);
        let (bytes, status) = all(answered).await;
        assert_eq!((bytes.len(), status.unwrap().code()), (5, Code::Unavailable));
    }
}
