use std::time::Duration;

use order_actor::grpc::status::FORWARDED_HEADER;
use order_actor::journal::Node;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::proto::admin_service_client::AdminServiceClient;
use super::{AdminEdge, NOTES_WITHIN, proto};
use crate::edge::forward::FROM_ROLE_HEADER;
use crate::edge::upstream::Upstream;

/// A peer that takes longer counts as unavailable.
const PEER_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// The same when answers of several are merged: it must fit into the time our own caller waits.
const ASKED_FOR_OTHERS_WITHIN: Duration = Duration::from_secs(3);

/// Another process's admin service.
pub(super) type Peer = AdminServiceClient<Upstream>;

/// A request about one follower, which its process answers.
pub(super) trait OfFollower {
    /// Its name; empty for all.
    fn follower(&self) -> &str;
}

impl OfFollower for proto::PauseFollowerRequest {
    fn follower(&self) -> &str {
        &self.follower
    }
}

impl OfFollower for proto::ResumeFollowerRequest {
    fn follower(&self) -> &str {
        &self.follower
    }
}

impl OfFollower for proto::ListDeadLettersRequest {
    fn follower(&self) -> &str {
        &self.follower
    }
}

impl OfFollower for proto::GetDeadLetterRequest {
    fn follower(&self) -> &str {
        &self.follower
    }
}

impl OfFollower for proto::PutBackDeadLettersRequest {
    fn follower(&self) -> &str {
        &self.follower
    }
}

impl OfFollower for proto::DropDeadLetterRequest {
    fn follower(&self) -> &str {
        &self.follower
    }
}

/// Whether another process forwarded this call; then it is answered from this process alone.
pub(super) fn is_forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(FORWARDED_HEADER)
}

/// A request to another process on behalf of this caller.
pub(super) fn forwarded<T, U>(asked: &Request<T>, message: U) -> Request<U> {
    let mut request = Request::new(message);
    for name in ["authorization", "ordinal-caller", "ordinal-role", "ordinal-subject"] {
        if let Some(value) = asked.metadata().get(name) {
            request.metadata_mut().insert(name, value.clone());
        }
    }
    request.metadata_mut().insert(FORWARDED_HEADER, MetadataValue::from_static("1"));
    request.set_timeout(PEER_ANSWERS_WITHIN);
    request
}

/// The same, for a call whose answer is merged with others.
pub(super) fn forwarded_for_merge<T, U>(asked: &Request<T>, message: U) -> Request<U> {
    let mut request = forwarded(asked, message);
    request.set_timeout(ASKED_FOR_OTHERS_WITHIN);
    request
}

impl AdminEdge {
    /// The answer of the process that runs the follower of a request; none if that is this one.
    pub(super) async fn elsewhere<Q, A, F>(
        &self,
        request: &Request<Q>,
        ask: impl FnOnce(Peer, Request<Q>) -> F,
    ) -> Option<Result<Response<A>, Status>>
    where
        Q: OfFollower + Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let peer = self.peer(request.get_ref().follower(), request)?;
        Some(ask(peer, forwarded(request, request.get_ref().clone())).await)
    }

    /// The answer of an order node, which knows all processes. None if this is one, if one
    /// forwarded the call, or if none answers; `away` then lists it.
    pub(super) async fn order_node<Q, A, F>(
        &self,
        request: &Request<Q>,
        away: &mut Vec<String>,
        ask: impl FnOnce(Peer, Request<Q>) -> F,
    ) -> Option<Response<A>>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let orders = self.parts.orders_at.as_ref().filter(|_| !is_forwarded(request))?;
        let mut asked = forwarded(request, request.get_ref().clone());
        asked.metadata_mut().remove(FORWARDED_HEADER);
        // It was counted against its caller's limits here.
        asked.metadata_mut().insert(FROM_ROLE_HEADER, MetadataValue::from_static("1"));
        match ask(AdminServiceClient::new(orders.clone()), asked).await {
            Ok(answer) => Some(answer),
            Err(status) => {
                tracing::debug!(%status, "no order node answered");
                away.push("orders".to_owned());
                None
            }
        }
    }

    /// The other process that runs a follower. A call that another process forwarded is answered
    /// from this process alone.
    fn peer<T>(&self, follower: &str, request: &Request<T>) -> Option<Peer> {
        let mut others = self.parts.peers.values().filter(|_| !is_forwarded(request));
        let there = others.find(|other| other.followers.contains(&follower))?;
        Some(AdminServiceClient::new(there.at.clone()))
    }

    /// The other order nodes, by name; none for a forwarded call.
    pub(super) async fn nodes<T>(&self, request: &Request<T>) -> Vec<(String, Peer)> {
        let journal = self.parts.journal.as_ref().filter(|_| !is_forwarded(request));
        let Some(journal) = journal else {
            return Vec::new();
        };
        // A node with an SQLite journal has no others; a database that does not answer names none.
        let nodes = timeout(NOTES_WITHIN, journal.nodes()).await;
        let nodes = nodes.ok().and_then(Result::ok).unwrap_or_default();
        let others = nodes.into_iter().filter(|node| *node != self.parts.node);
        let peer = |node: Node| {
            let at = self.parts.nodes.upstream(&node.address)?;
            Some((node.name, AdminServiceClient::new(at)))
        };
        others.filter_map(peer).collect()
    }

    /// Every other process to ask, once; none for a forwarded call.
    pub(super) fn peers<T>(&self, request: &Request<T>) -> Vec<(&'static str, Peer)> {
        let names = self.parts.peers.keys();
        names.filter_map(|name| Some((*name, self.peer(name, request)?))).collect()
    }
}
