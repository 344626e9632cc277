use std::time::Duration;

use futures::future::join_all;
use service_edge::time::timestamp;
use shared_events::stream::{Database, DeadLetters, Pause, Verb};
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};

use super::peers::{Peer, forwarded_for_merge};
use super::values::{operators_reason, optional_reason, positions, unavailable};
use super::{AdminEdge, FollowerEntry, proto};
use crate::edge::refusal::violation;

/// A follower whose stores do not answer by then is shown from the process's own memory.
pub(super) const STORES_ANSWER_WITHIN: Duration = Duration::from_secs(2);

fn set_back(shard: u16) -> String {
    format!("is at a position that its log no longer has (shard {shard}): the log was set back")
}

impl AdminEdge {
    pub(super) async fn list_followers(
        &self,
        request: Request<proto::ListFollowersRequest>,
    ) -> Result<Response<proto::ListFollowersResponse>, Status> {
        let mut away = Vec::new();
        let ask = |mut peer: Peer, asked| async move { peer.list_followers(asked).await };
        if let Some(answer) = self.order_node(&request, &mut away, ask).await {
            return Ok(answer);
        }
        let here = self.parts.followers.iter().map(|entry| self.follower(entry));
        let mut followers = join_all(here).await;
        let others = self.peers(&request).into_iter().map(|(name, peer)| (name.to_owned(), peer));
        let others = others.chain(self.nodes(&request).await);
        let asked = join_all(others.map(|(name, mut peer)| {
            let asked = forwarded_for_merge(&request, proto::ListFollowersRequest {});
            async move { (name, peer.list_followers(asked).await) }
        }));
        for (name, answer) in asked.await {
            match answer {
                Ok(answer) => followers.extend(answer.into_inner().followers),
                Err(status) => {
                    tracing::debug!(name, %status, "its process did not answer");
                    away.push(name);
                }
            }
        }
        followers.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
        Ok(Response::new(proto::ListFollowersResponse { followers, away }))
    }

    pub(super) async fn pause_follower(
        &self,
        request: Request<proto::PauseFollowerRequest>,
    ) -> Result<Response<proto::PauseFollowerResponse>, Status> {
        let ask = |mut peer: Peer, asked| async move { peer.pause_follower(asked).await };
        if let Some(answer) = self.elsewhere(&request, ask).await {
            return answer;
        }
        let proto::PauseFollowerRequest { follower, reason, validate_only } = request.get_ref();
        let database = self.database_of(follower)?;
        let reason = operators_reason(reason)?;
        if *validate_only {
            Pause::of(database, follower).await.map_err(unavailable)?;
            return Ok(Response::new(proto::PauseFollowerResponse {}));
        }
        let action = self.action(&request, Verb::PauseFollower, follower, &reason);
        Pause::begin(database, follower, action).await.map_err(unavailable)?;
        tracing::warn!(follower, "follower paused by an operator");
        Ok(Response::new(proto::PauseFollowerResponse {}))
    }

    pub(super) async fn resume_follower(
        &self,
        request: Request<proto::ResumeFollowerRequest>,
    ) -> Result<Response<proto::ResumeFollowerResponse>, Status> {
        let ask = |mut peer: Peer, asked| async move { peer.resume_follower(asked).await };
        if let Some(answer) = self.elsewhere(&request, ask).await {
            return answer;
        }
        let proto::ResumeFollowerRequest { follower, reason, validate_only } = request.get_ref();
        let database = self.database_of(follower)?;
        let reason = optional_reason(reason)?;
        if *validate_only {
            Pause::of(database, follower).await.map_err(unavailable)?;
            return Ok(Response::new(proto::ResumeFollowerResponse {}));
        }
        let action = self.action(&request, Verb::ResumeFollower, follower, &reason);
        let resumed = Pause::end(database, follower, action).await;
        if resumed.map_err(unavailable)? {
            tracing::warn!(follower, "follower resumed by an operator");
        }
        Ok(Response::new(proto::ResumeFollowerResponse {}))
    }

    pub(super) async fn follower(&self, entry: &FollowerEntry) -> proto::Follower {
        let until = Instant::now() + STORES_ANSWER_WITHIN;
        let known = self.follower_without_letters(entry, until).await;
        let Some(database) = &entry.database else { return known };
        let letters = DeadLetters::new(database.clone());
        let waiting = timeout_at(until, letters.waiting(&known.name)).await;
        let waiting = waiting.ok().and_then(Result::ok).flatten();
        proto::Follower { dead_letters: waiting.map_or(0, |waiting| waiting.letters), ..known }
    }

    /// What is known by then of all but its dead letters.
    pub(super) async fn follower_without_letters(
        &self,
        entry: &FollowerEntry,
        until: Instant,
    ) -> proto::Follower {
        let status = &entry.status;
        // If its database does not answer: the cursors in memory, with an unknown head.
        let stored = timeout_at(until, (entry.cursors)()).await.ok().flatten();
        let heads = match stored.is_some() {
            true => timeout_at(until, (entry.heads)()).await.ok().flatten(),
            false => None,
        };
        let cursors = stored.unwrap_or_else(|| status.cursors());
        // A follower ahead of its log has not caught up: it will be set back.
        let ahead = heads.as_ref().and_then(|heads| cursors.beyond(heads));
        let lag = heads.as_ref().map_or(0, |heads| cursors.behind(heads));
        let lag = lag.max(u64::from(ahead.is_some()));
        let oldest_waiting_since = match lag {
            0 => None,
            _ => timeout_at(until, (entry.oldest)(cursors.clone())).await.ok().flatten(),
        };
        let paused = match &entry.database {
            Some(database) => {
                let paused = timeout_at(until, Pause::of(database, status.name())).await;
                paused.ok().and_then(Result::ok).flatten()
            }
            None => None,
        };
        proto::Follower {
            dead_letters: 0,
            name: status.name().to_owned(),
            node: self.parts.node.name.clone(),
            cursors: positions(&cursors),
            head_known: heads.is_some(),
            heads: heads.as_ref().map(positions).unwrap_or_default(),
            lag,
            oldest_waiting_since: oldest_waiting_since.map(timestamp),
            still_for: status.still_for().try_into().ok(),
            error: status.error().or_else(|| ahead.map(set_back)).unwrap_or_default(),
            stopped: status.is_stopped(),
            paused: paused.map(|pause| pause.reason).unwrap_or_default(),
        }
    }

    /// The database of a follower of this process.
    fn database_of(&self, follower: &str) -> Result<&Database, Status> {
        self.letters_of(follower)?;
        let mut entries = self.parts.followers.iter();
        let entry = entries.find(|entry| entry.status.name() == follower);
        entry.and_then(|entry| entry.database.as_ref()).ok_or_else(|| {
            violation("follower", "this follower has no database and cannot be paused")
        })
    }
}
