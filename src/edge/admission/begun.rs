use std::sync::Arc;

use http::Request;
use shared_events::traces::{LOG_TRACE, UNRECORDED};
use tonic::Status;
use tonic::body::Body;

use crate::edge::connections::{CommandStream, Connection};
use crate::edge::refusal::overloaded;

/// Forgets what a process that forwards a call says of its trace.
pub(super) fn untraced(request: &mut Request<Body>) {
    for header in [UNRECORDED, LOG_TRACE] {
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
