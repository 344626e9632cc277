use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tower::util::BoxCloneSyncService;

/// The way to another process, as a client of gRPC takes it. What stands in front of the connection
/// (a breaker) is its maker's matter; a call that is not sent ends with the status of its refusal.
pub type Wire = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;
