use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tonic::body::Body;

use crate::Socket;

/// How much of a body that nobody wants is read, and for how long.
const BYTES_MAX: usize = 64 * 1024;
const AT_MOST: Duration = Duration::from_secs(1);

/// Reads the body of a request that is refused, up to 64 KiB and for a second at most. Over HTTP/1.1
/// a connection whose body was not read is closed, and a client that still writes would see that
/// instead of the refusal. Other versions need none of it. Also of a call that was translated for
/// gRPC, and so is of another version now.
pub async fn read_rest(request: Request<Body>) {
    if !is_of_http1(&request) {
        return;
    }
    let mut body = request.into_body();
    let rest = async {
        let mut left = BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(fewer) => left = fewer,
                None => return,
            }
        }
    };
    let _ = timeout(AT_MOST, rest).await;
}

/// Whether a request came by HTTP/1.1: only such a connection can become a WebSocket.
pub fn is_of_http1(request: &Request<Body>) -> bool {
    request.version() < Version::HTTP_2 || request.extensions().get::<Socket>().is_some()
}
