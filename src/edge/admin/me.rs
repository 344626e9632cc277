use service_edge::time::timestamp;
use tonic::{Request, Response, Status};

use super::{AdminEdge, proto};
use crate::edge::policy::Kind;
use crate::edge::principal::Principal;

/// What limits nothing, as tokens write it.
const EVERY_SCOPE: &str = "*";

impl AdminEdge {
    /// What admission knows of the caller.
    pub(super) fn who_calls(
        request: &Request<proto::GetMeRequest>,
    ) -> Result<Response<proto::GetMeResponse>, Status> {
        let principal = request.extensions().get::<Principal>();
        let principal = principal.ok_or_else(|| Status::internal("nobody admitted the caller"))?;
        let kind = Kind::of(&principal.by);
        let is_customer = kind == Some(Kind::Customer);
        let subject = principal.by.subject().to_string();
        let scopes = match principal.scopes() {
            _ if is_customer => Vec::new(),
            Some(scopes) => scopes.to_vec(),
            None => vec![EVERY_SCOPE.to_owned()],
        };
        Ok(Response::new(proto::GetMeResponse {
            role: kind.map_or("", Kind::code).to_owned(),
            customer_id: if is_customer { subject.clone() } else { String::new() },
            subject,
            scopes,
            expires_at: principal.ends().map(timestamp),
        }))
    }
}
