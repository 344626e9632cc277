use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tonic::body::Body;
use tonic::{Code, Status};

/// Before each message: a flag and its length.
const PREFIX: usize = 5;
/// The largest message of an answer: far more than any service gives.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A message as gRPC sends it.
pub(super) fn frame(message: &DynamicMessage) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    // Messages are far smaller: bodies are bounded.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A buffer grows as needed.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// An encoded message as gRPC sends it.
pub(super) fn raw(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    frame.freeze()
}

/// The messages of an answer, and its status at the end.
pub(super) struct Frames {
    body: Body,
    buffer: BytesMut,
    ended: bool,
}

impl Frames {
    pub(super) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new(), ended: false }
    }

    /// The next message; none at the end. May be given up and called again.
    ///
    /// # Errors
    /// The status with which the answer ended.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        self.ended = true;
                        ended(frame.into_trailers().ok().as_ref())?;
                    }
                },
                Some(Err(status)) => {
                    self.ended = true;
                    return Err(status);
                }
                None => {
                    self.ended = true;
                    return Err(broken());
                }
            }
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(prefix) = self.buffer.get(..PREFIX) else { return Ok(None) };
        let flag = prefix.first().copied().unwrap_or_default();
        let length = prefix.get(1..).and_then(|length| length.try_into().ok());
        let length = u32::from_be_bytes(length.unwrap_or_default());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if flag != 0 || length > MESSAGE_BYTES_MAX {
            self.ended = true;
            return Err(Status::internal("a message of an answer is too large or compressed"));
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// The body, which stays counted for as long as it is kept.
    pub(super) fn into_body(self) -> Body {
        self.body
    }
}

/// What the trailers say.
fn ended(trailers: Option<&HeaderMap>) -> Result<(), Status> {
    match trailers.and_then(Status::from_header_map) {
        Some(status) if status.code() == Code::Ok => Ok(()),
        Some(status) => Err(status),
        None => Err(broken()),
    }
}

fn broken() -> Status {
    Status::unavailable("the answer broke off")
}
