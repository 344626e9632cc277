//! gRPC-Web: the frames of gRPC over any version of HTTP, with the status in a frame of its own.
//! Never here: JSON.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use crate::front::Web;
use crate::rest;

/// The flag of the frame with the trailers.
const TRAILERS: u8 = 0x80;
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How the frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// As they are.
    Binary,
    /// As base64, for browsers that read texts only.
    Text,
}

impl Writing {
    /// Of a request; none if it is not gRPC-Web.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
        match kind {
            "application/grpc-web" | "application/grpc-web+proto" => Some(Self::Binary),
            "application/grpc-web-text" | "application/grpc-web-text+proto" => Some(Self::Text),
            _ => None,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        }
    }
}

/// Writes the call as a gRPC call.
pub(crate) fn translate(web: &Web, writing: Writing, request: Request<Body>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    let mut headers = rest::passed(&parts.headers, &web.passed_headers);
    // Its clients say their deadline as those of gRPC do.
    if let Some(timeout) = parts.headers.get(TIMEOUT) {
        headers.insert(TIMEOUT, timeout.clone());
    }
    parts.headers = headers;
    parts.method = Method::POST;
    parts.version = Version::HTTP_2;
    let body = match writing {
        Writing::Binary => body,
        Writing::Text => Body::new(Decoded { body, rest: BytesMut::new() }),
    };
    Request::from_parts(parts, body)
}

/// Writes the answer as one of gRPC-Web.
pub(crate) async fn answer(
    writing: Writing,
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Response<Body> {
    let Ok(answer) = answer.await;
    let (mut parts, body) = answer.into_parts();
    // A call that was refused at once has its status among the headers.
    let mut early = HeaderMap::new();
    for name in [Status::GRPC_STATUS, Status::GRPC_MESSAGE, Status::GRPC_STATUS_DETAILS] {
        if let Some(value) = parts.headers.remove(&name) {
            early.insert(name, value);
        }
    }
    let early = (!early.is_empty()).then_some(early);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(writing.media_type()));
    Response::from_parts(parts, Body::new(Written { body, writing, early, ended: false }))
}

/// The frames of an answer, and its trailers as the last of them.
struct Written {
    body: Body,
    writing: Writing,
    early: Option<HeaderMap>,
    ended: bool,
}

impl http_body::Body for Written {
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
        let bytes = match this.early.take() {
            Some(status) => {
                this.ended = true;
                trailers(&status)
            }
            None => match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => {
                        this.ended = true;
                        trailers(&frame.into_trailers().unwrap_or_default())
                    }
                },
                other => {
                    this.ended = true;
                    return Poll::Ready(other);
                }
            },
        };
        let bytes = match this.writing {
            Writing::Binary => bytes,
            Writing::Text => Bytes::from(STANDARD.encode(bytes)),
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// The frame with the status.
fn trailers(status: &HeaderMap) -> Bytes {
    let mut text = BytesMut::new();
    for (name, value) in status {
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    let mut frame = BytesMut::with_capacity(text.len() + 5);
    frame.put_u8(TRAILERS);
    frame.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    frame.put_slice(&text);
    frame.freeze()
}

/// A body that arrives as base64, perhaps of several parts with their own ends.
struct Decoded {
    body: Body,
    /// Less than a group of four characters.
    rest: BytesMut,
}

impl http_body::Body for Decoded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let wrong = || Some(Err(Status::invalid_argument("the body is not base64")));
        let this = &mut *self;
        loop {
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(context)) else {
                let complete = this.rest.is_empty();
                this.rest.clear();
                return Poll::Ready(if complete { None } else { wrong() });
            };
            let Ok(data) = frame?.into_data() else { continue };
            this.rest.extend_from_slice(&data);
            let whole = this.rest.split_to(this.rest.len() / 4 * 4);
            if whole.is_empty() {
                continue;
            }
            let mut decoded = Vec::with_capacity(whole.len());
            // By groups: each part of a body may end with padding.
            let valid =
                whole.chunks(4).all(|group| STANDARD.decode_vec(group, &mut decoded).is_ok());
            return Poll::Ready(match valid {
                true => Some(Ok(Frame::data(Bytes::from(decoded)))),
                false => wrong(),
            });
        }
    }
}
