use std::time::Duration;

use order_actor::grpc::Nodes as _;
use order_actor::grpc::status::FORWARDED_HEADER;
use order_actor::journal::Node;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::proto::admin_service_client::AdminServiceClient;
use super::{AdminEdge, NOTES_WITHIN, proto};

/// Who takes longer counts as away.
const PEER_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// The same of one who is asked for others: what it may take must fit into what who asked us waits.
const ASKED_FOR_OTHERS_WITHIN: Duration = Duration::from_secs(3);

/// Another process's admin service.
pub(super) type Peer = AdminServiceClient<Channel>;

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

/// Whether another process has sent this call on; then it is answered from what is here.
pub(super) fn is_forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(FORWARDED_HEADER)
}

/// A request to another process in the name of who asked here.
pub(super) fn carried<T, U>(asked: &Request<T>, message: U) -> Request<U> {
    let mut request = Request::new(message);
    for name in ["authorization", "ordinal-role", "ordinal-subject"] {
        if let Some(value) = asked.metadata().get(name) {
            request.metadata_mut().insert(name, value.clone());
        }
    }
    request.metadata_mut().insert(FORWARDED_HEADER, MetadataValue::from_static("1"));
    request.set_timeout(PEER_ANSWERS_WITHIN);
    request
}

/// The same, of one who is asked for others.
pub(super) fn carried_for_others<T, U>(asked: &Request<T>, message: U) -> Request<U> {
    let mut request = carried(asked, message);
    request.set_timeout(ASKED_FOR_OTHERS_WITHIN);
    request
}

impl AdminEdge {
    /// What the process answers that knows the follower of a request; none where that is this one.
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
        Some(ask(peer, carried(request, request.get_ref().clone())).await)
    }

    /// What an order node answers, which knows everybody; none where this is one, or is asked by
    /// one, or where none answers, which is `away` then.
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
        let mut asked = carried(request, request.get_ref().clone());
        asked.metadata_mut().remove(FORWARDED_HEADER);
        match ask(AdminServiceClient::new(orders.clone()), asked).await {
            Ok(told) => Some(told),
            Err(status) => {
                tracing::debug!(%status, "no order node answered");
                away.push("orders".to_owned());
                None
            }
        }
    }

    /// The process that knows of a follower, if it is another one that may be asked. A call that
    /// another process carried here is answered from what is here.
    fn peer<T>(&self, follower: &str, request: &Request<T>) -> Option<Peer> {
        let mut others = self.parts.peers.values().filter(|_| !is_forwarded(request));
        let there = others.find(|other| other.followers.contains(&follower))?;
        Some(AdminServiceClient::new(there.channel.clone()))
    }

    /// The other order nodes, by name, unless the call was carried here by one.
    pub(super) async fn nodes<T>(&self, request: &Request<T>) -> Vec<(String, Peer)> {
        let journal = self.parts.journal.as_ref().filter(|_| !is_forwarded(request));
        let Some(journal) = journal else {
            return Vec::new();
        };
        // One that has the journal to itself has no others; a database that is away names none.
        let nodes = timeout(NOTES_WITHIN, journal.nodes()).await;
        let nodes = nodes.ok().and_then(Result::ok).unwrap_or_default();
        let others = nodes.into_iter().filter(|node| *node != self.parts.node);
        let peer = |node: Node| {
            let channel = self.parts.nodes.channel(&node.address)?;
            Some((node.name, AdminServiceClient::new(channel)))
        };
        others.filter_map(peer).collect()
    }

    /// Every other process that may be asked, once.
    pub(super) fn peers<T>(&self, request: &Request<T>) -> Vec<(&'static str, Peer)> {
        let names = self.parts.peers.keys();
        names.filter_map(|name| Some((*name, self.peer(name, request)?))).collect()
    }
}
