use std::sync::Arc;

use http::Request;
use order_actor::domain::By;
use shared_events::contract::Reason;
use shared_events::traces::{LOG_TRACE, UNRECORDED};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use web_edge::{HEAD_BYTES_MAX, head_bytes};

use crate::edge::access::Access;
use crate::edge::arrival;
use crate::edge::body::full;
use crate::edge::calls::Kind;
use crate::edge::connections::{CommandStream, Connection};
use crate::edge::refusal::{overloaded, refused};
use crate::edge::shares::Caller;

/// Checks the size of a call's headers. A process of this installation that forwards adds some of
/// its own: of its calls no more is refused than what is not read. Whoever only says so is not
/// believed.
pub(super) fn check_head(access: &Access, request: &Request<Body>) -> Result<(), Status> {
    if head_bytes(request) <= HEAD_BYTES_MAX || access.is_from_peer(request, None) {
        return Ok(());
    }
    let what = format!("the address and the headers have at most {HEAD_BYTES_MAX} bytes");
    Err(refused(Reason::HeadersTooLarge, &what))
}

/// Forgets what a process that forwards a call says of its trace.
pub(super) fn untraced(request: &mut Request<Body>) {
    for header in [UNRECORDED, LOG_TRACE] {
        request.headers_mut().remove(header);
    }
}

/// Counts the connection of an authenticated call for its customer. Those of a process of this
/// installation, which has counted the call, and of a proxy of ours carry the calls of many.
pub(super) fn count_connection(
    request: &Request<Body>,
    caller: &Caller,
    counted: bool,
) -> Result<(), Status> {
    let Some(connection) = request.extensions().get::<Arc<Connection>>() else { return Ok(()) };
    let shared = counted || arrival::is_by_proxy(request);
    connection.authenticated((!shared).then_some(caller)).map_err(full)
}

/// Whether another process of this installation has forwarded a call, and counted it. Of others
/// nobody has decided yet whether it is traced.
pub(super) fn is_counted(access: &Access, request: &mut Request<Body>, by: Option<&By>) -> bool {
    let counted = access.is_from_peer(request, by);
    if !counted {
        untraced(request);
    }
    counted
}

/// Ends a stream when its connection has reached its age: its caller goes on over another. A
/// command that another node forwards is none: it takes no longer than such a connection stays.
pub(super) fn aged(connection: Option<&Connection>, kind: Kind) -> Option<CancellationToken> {
    let streams = matches!(kind, Kind::ServerStream | Kind::BidiStream);
    connection.filter(|_| streams).map(|connection| connection.aged.clone())
}

/// A place among the command streams of a connection, if the call is one.
pub(super) fn command_stream(
    connection: Option<Arc<Connection>>,
) -> Result<Option<CommandStream>, Status> {
    let Some(connection) = connection else { return Ok(None) };
    let stream = connection.open_command_stream();
    stream.map(Some).ok_or_else(|| overloaded("command streams of this connection"))
}
