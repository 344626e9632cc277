use order_actor::domain::Status as OrderStatus;
use order_actor::projections::{OrderReturns, OrderSummaries, ReturnState};
use service_edge::time::timestamp;
use shared_events::stream::DatabaseError;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::followers::STORES_ANSWER_WITHIN;
use super::peers::Peer;
use super::values::unavailable;
use super::{AdminEdge, proto};

/// Orders, or returns, of one kind that are counted at most.
const COUNTED_MAX: u32 = 10_000;

impl AdminEdge {
    /// `GetOverview`. Numbers of orders come from the list of orders, which all order nodes share;
    /// the followers from all processes, as `ListFollowers` has them.
    pub(super) async fn get_overview(
        &self,
        request: Request<proto::GetOverviewRequest>,
    ) -> Result<Response<proto::GetOverviewResponse>, Status> {
        let mut away = Vec::new();
        let ask = |mut peer: Peer, asked| async move { peer.get_overview(asked).await };
        if let Some(answer) = self.order_node(&request, &mut away, ask).await {
            return Ok(answer);
        }
        let counted = timeout(STORES_ANSWER_WITHIN, self.orders_counted()).await;
        let counted = counted.map_err(|_| unavailable("the list of orders does not answer"))??;
        let (metadata, extensions, _) = request.into_parts();
        let asked = Request::from_parts(metadata, extensions, proto::ListFollowersRequest {});
        let listed = self.list_followers(asked).await?.into_inner();
        let followers = listed.followers.into_iter().map(standing).collect();
        away.extend(listed.away);
        away.sort();
        away.dedup();
        Ok(Response::new(proto::GetOverviewResponse { followers, away, ..counted }))
    }

    /// The parts about orders; none of them where this process has no orders.
    async fn orders_counted(&self) -> Result<proto::GetOverviewResponse, Status> {
        let parts = &self.parts;
        let (Some(journal), Some(summaries), Some(returns)) =
            (&parts.journal, &parts.summaries, &parts.returns)
        else {
            return Ok(proto::GetOverviewResponse::default());
        };
        let counted = of_lists(summaries, returns).await.map_err(unavailable)?;
        let quarantined = journal.count_quarantined().await.map_err(unavailable)?;
        Ok(proto::GetOverviewResponse { quarantined: Some(count(quarantined)), ..counted })
    }
}

/// What the lists of orders and of returns say.
async fn of_lists(
    summaries: &OrderSummaries,
    returns: &OrderReturns,
) -> Result<proto::GetOverviewResponse, DatabaseError> {
    let mut counted = proto::GetOverviewResponse::default();
    for status in OrderStatus::all() {
        let number = summaries.count(status, COUNTED_MAX).await?;
        let status = status.code().to_owned();
        counted.orders.push(proto::OrdersOfStatus { status, count: Some(count(number)) });
    }
    for state in [ReturnState::Requested, ReturnState::Approved] {
        let (number, oldest) = returns.count(state, COUNTED_MAX).await?;
        counted.returns.push(proto::ReturnsOfState {
            state: state.code().to_owned(),
            count: Some(count(number)),
            oldest_requested_at: oldest.map(timestamp),
        });
    }
    counted.held = Some(count(summaries.count_held(COUNTED_MAX).await?));
    Ok(counted)
}

fn count(number: u64) -> proto::Count {
    let most = u64::from(COUNTED_MAX);
    proto::Count { number: number.min(most), or_more: number >= most }
}

fn standing(known: proto::Follower) -> proto::FollowerStanding {
    proto::FollowerStanding {
        name: known.name,
        node: known.node,
        lag: known.lag,
        head_known: known.head_known,
        oldest_waiting_since: known.oldest_waiting_since,
        dead_letters: known.dead_letters,
        paused: known.paused,
        error: known.error,
        stopped: known.stopped,
    }
}
