use order_actor::journal::{Journal, JournalError, ShardState};
use shared_events::contract::Reason;
use shared_events::stream::Verb;
use tonic::{Request, Response, Status};

use super::values::{check_text, operators_reason, optional_reason, unavailable};
use super::{AdminEdge, proto};
use crate::edge::refusal::{refused, violation};

impl AdminEdge {
    pub(super) async fn list_shards(
        &self,
        _: Request<proto::ListShardsRequest>,
    ) -> Result<Response<proto::ListShardsResponse>, Status> {
        let states = self.orders()?.0.shard_states().await.map_err(shards_refused)?;
        let shards = states.into_iter().map(shard_message).collect();
        Ok(Response::new(proto::ListShardsResponse { shards }))
    }

    pub(super) async fn move_shard(
        &self,
        request: Request<proto::MoveShardRequest>,
    ) -> Result<Response<proto::MoveShardResponse>, Status> {
        let proto::MoveShardRequest { shard, node, reason, validate_only } = request.get_ref();
        let (journal, _) = self.orders()?;
        check_text("node", node)?;
        let reason = optional_reason(reason)?;
        let node = Some(node.as_str()).filter(|node| !node.is_empty());
        if let Some(node) = node {
            let nodes = journal.nodes().await.map_err(shards_refused)?;
            if !nodes.iter().any(|known| known.name == node) {
                let names: Vec<String> = nodes.into_iter().map(|node| node.name).collect();
                let message = format!("there is no such node; the nodes are {}", names.join(", "));
                return Err(refused(Reason::NodeUnknown, &message));
            }
        }
        let number = shard_number(*shard)?;
        if *validate_only {
            is_there(journal, number).await?;
            return Ok(Response::new(proto::MoveShardResponse {}));
        }
        let action = self.action(&request, Verb::MoveShard, &shard.to_string(), &reason);
        let moved = journal.pin(number, node, &action).await;
        found(moved.map_err(shards_refused)?)?;
        tracing::info!(shard, node, "shard moved by an operator");
        Ok(Response::new(proto::MoveShardResponse {}))
    }

    pub(super) async fn freeze_shard(
        &self,
        request: Request<proto::FreezeShardRequest>,
    ) -> Result<Response<proto::FreezeShardResponse>, Status> {
        let proto::FreezeShardRequest { shard, reason, validate_only } = request.get_ref();
        let reason = operators_reason(reason)?;
        let (journal, number) = (self.orders()?.0, shard_number(*shard)?);
        if *validate_only {
            is_there(journal, number).await?;
            return Ok(Response::new(proto::FreezeShardResponse {}));
        }
        let action = self.action(&request, Verb::FreezeShard, &shard.to_string(), &reason);
        let frozen = journal.freeze(number, Some(&reason), &action).await;
        found(frozen.map_err(shards_refused)?)?;
        tracing::warn!(shard, "shard frozen by an operator");
        Ok(Response::new(proto::FreezeShardResponse {}))
    }

    pub(super) async fn unfreeze_shard(
        &self,
        request: Request<proto::UnfreezeShardRequest>,
    ) -> Result<Response<proto::UnfreezeShardResponse>, Status> {
        let proto::UnfreezeShardRequest { shard, reason, validate_only } = request.get_ref();
        let reason = optional_reason(reason)?;
        let (journal, number) = (self.orders()?.0, shard_number(*shard)?);
        if *validate_only {
            is_there(journal, number).await?;
            return Ok(Response::new(proto::UnfreezeShardResponse {}));
        }
        let action = self.action(&request, Verb::UnfreezeShard, &shard.to_string(), &reason);
        let opened = journal.freeze(number, None, &action).await;
        found(opened.map_err(shards_refused)?)?;
        tracing::warn!(shard, "shard opened by an operator");
        Ok(Response::new(proto::UnfreezeShardResponse {}))
    }
}

fn shard_number(shard: u32) -> Result<u16, Status> {
    u16::try_from(shard).or(Err(violation("shard", "a shard has a number from 0 to 1023")))
}

/// Refuses what a change would be refused for: there is no such shard, none can be changed, or its
/// database does not answer.
async fn is_there(journal: &Journal, shard: u16) -> Result<(), Status> {
    let states = journal.shard_states().await.map_err(shards_refused)?;
    let state = states.into_iter().find(|state| state.shard == shard);
    found(state.is_some())?;
    state.and_then(|state| state.unanswered).map_or(Ok(()), |why| Err(unavailable(why)))
}

fn found(found: bool) -> Result<(), Status> {
    let none = || refused(Reason::NotFound, "there is no such shard");
    found.then_some(()).ok_or_else(none)
}

fn shards_refused(error: JournalError) -> Status {
    match error {
        JournalError::Invalid(message) => refused(Reason::OneWriter, &message),
        error => unavailable(error),
    }
}

fn shard_message(state: ShardState) -> proto::Shard {
    let (node, address) = state.node.map(|node| (node.name, node.address)).unwrap_or_default();
    proto::Shard {
        shard: u32::from(state.shard),
        epoch: state.epoch,
        position: state.position,
        node,
        address,
        moved_to: state.pinned.unwrap_or_default(),
        frozen: state.frozen.unwrap_or_default(),
    }
}
