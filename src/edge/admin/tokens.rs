use std::time::Duration;

use service_edge::time::timestamp;
use shared_events::chance::Chance;
use shared_events::contract::{CustomerId, Reason, Timestamp};
use tonic::{Request, Response, Status};

use super::{AdminEdge, asked_by, proto};
use crate::edge::refusal::{refused, violation};

/// How long a token is valid unless its asker says so.
const VALID_FOR: Duration = Duration::from_secs(15 * 60);
/// The longest time: a leaked token cannot be called back.
const VALID_FOR_MAX: Duration = Duration::from_secs(60 * 60);

impl AdminEdge {
    pub(super) async fn issue_token(
        &self,
        request: Request<proto::IssueTokenRequest>,
    ) -> Result<Response<proto::IssueTokenResponse>, Status> {
        let asked = request.get_ref();
        let customer: CustomerId = asked.customer_id.parse().map_err(|error| {
            let error: &dyn std::fmt::Display = &error;
            violation("customer_id", &error.to_string())
        })?;
        let valid_for = match asked.valid_for {
            None => Some(VALID_FOR),
            Some(given) => Duration::try_from(given).ok(),
        };
        let bounds = Duration::from_secs(1)..=VALID_FOR_MAX;
        let valid_for = valid_for.filter(|valid_for| bounds.contains(valid_for));
        let valid_for =
            valid_for.ok_or_else(|| violation("valid_for", "from 1 second to 1 hour"))?;
        let id = hex::encode(Chance::system().bits().to_be_bytes());
        let now = (self.parts.now)();
        let own = self.parts.own_tokens.as_ref();
        let token = own.and_then(|own| own.issue(customer, valid_for, (&id, now)));
        let token = token.ok_or_else(|| {
            let message = "this process signs no tokens; it was started without --issue-tokens";
            refused(Reason::TokensNotIssued, message)
        })?;
        let token = token.map_err(|error| {
            tracing::error!(%error, "a token could not be signed");
            Status::internal("the token could not be signed")
        })?;
        tracing::info!(by = %asked_by(&request).subject, id, "a token of a customer was signed");
        // Tokens end with a whole second.
        let second = now.micros() - now.micros().rem_euclid(1_000_000);
        let whole = Duration::from_secs(valid_for.as_secs());
        let expires_at = Some(timestamp(Timestamp::from_micros(second).plus(whole)));
        Ok(Response::new(proto::IssueTokenResponse { token, expires_at }))
    }
}
