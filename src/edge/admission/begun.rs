use std::sync::Arc;

use http::{HeaderName, Request};
use shared_events::contract::Reason;
use shared_events::traces::{LOG_TRACE, UNRECORDED};
use tonic::Status;
use tonic::body::Body;
use web_edge::{HEAD_BYTES_MAX, head_bytes};

use crate::edge::connections::{CommandStream, Connection};
use crate::edge::forward::{FORWARDED, FROM_ROLE};
use crate::edge::refusal::{overloaded, refused};

/// What a process that forwards a call says of its trace.
const OF_TRACES: [HeaderName; 2] =
    [HeaderName::from_static(UNRECORDED), HeaderName::from_static(LOG_TRACE)];

/// Checks the size of a call's headers. A process that forwards adds some of its own: of its calls no
/// more is refused than what is not read.
pub(super) fn check_head(request: &Request<Body>) -> Result<(), Status> {
    let headers = request.headers();
    let passed_on = || headers.contains_key(FORWARDED) || headers.contains_key(FROM_ROLE);
    if head_bytes(request) <= HEAD_BYTES_MAX || passed_on() {
        return Ok(());
    }
    let what = format!("the address and the headers have at most {HEAD_BYTES_MAX} bytes");
    Err(refused(Reason::HeadersTooLarge, &what))
}

/// Forgets what a process that forwards a call says of its trace.
pub(super) fn untraced(request: &mut Request<Body>) {
    for header in OF_TRACES {
        request.headers_mut().remove(header);
    }
}

/// A place among the command streams of a connection, if the call is one.
pub(super) fn command_stream(
    connection: Option<Arc<Connection>>,
) -> Result<Option<CommandStream>, Status> {
    let Some(connection) = connection else { return Ok(None) };
    let stream = connection.open_command_stream();
    stream.map(Some).ok_or_else(|| overloaded("command streams of this connection"))
}
