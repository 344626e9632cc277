use std::time::Duration;

use service_edge::Violations;
use service_edge::time::timestamp;
use shared_events::contract::{CustomerId, Reason, Timestamp};
use shared_events::stream::{Database, OperatorAction, Verb};
use tonic::{Request, Response, Status};

use super::values::unavailable;
use super::{AdminEdge, asked_by, proto};
use crate::edge::refusal::refused;

/// How long a token is valid unless its asker says so.
const VALID_FOR: Duration = Duration::from_secs(15 * 60);
/// The longest time: a leaked token cannot be called back.
const VALID_FOR_MAX: Duration = Duration::from_secs(60 * 60);

impl AdminEdge {
    pub(super) async fn issue_token(
        &self,
        request: Request<proto::IssueTokenRequest>,
    ) -> Result<Response<proto::IssueTokenResponse>, Status> {
        let (customer, valid_for, reason) = asked(request.get_ref())?;
        let id = hex::encode(self.parts.chance.bits().to_be_bytes());
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
        // Tokens end with a whole second.
        let second = now.micros() - now.micros().rem_euclid(1_000_000);
        let whole = Duration::from_secs(valid_for.as_secs());
        let expires_at = Timestamp::from_micros(second).plus(whole);
        let by = asked_by(&request);
        let kept_in = if by.is_operator() { Some(self.kept_in()?) } else { None };
        let until = Some(timestamp(expires_at));
        if request.get_ref().validate_only {
            let token = String::new();
            return Ok(Response::new(proto::IssueTokenResponse { token, expires_at: until }));
        }
        if let Some(database) = kept_in {
            let target = customer.to_string();
            let action = self.action(&request, Verb::IssueToken, &target, &reason);
            let action = action.changing("", &format!("token {id} until {expires_at}"));
            record(database, action).await?;
        }
        tracing::info!(by = %by.subject, id, "a token of a customer was signed");
        Ok(Response::new(proto::IssueTokenResponse { token, expires_at: until }))
    }

    /// Where it is written down what an operator gets here: with orders, or else with what this
    /// process keeps.
    fn kept_in(&self) -> Result<&Database, Status> {
        let first = || self.parts.databases.first().map(|(_, database)| database);
        self.parts.orders.as_ref().or_else(first).ok_or_else(|| {
            let message = "this process keeps nothing, and what operators get is recorded; ask an \
                           order node";
            refused(Reason::NotInThisRole, message)
        })
    }
}

/// Records what an operator gets, before they get it.
async fn record(database: &Database, action: OperatorAction) -> Result<(), Status> {
    let mut tx = database.begin().await.map_err(unavailable)?;
    action.write(&mut tx).await.map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)
}

/// The customer, for how long, and why.
fn asked(request: &proto::IssueTokenRequest) -> Result<(CustomerId, Duration, String), Violations> {
    let mut violations = Violations::default();
    let customer = violations.parsed("customer_id", &request.customer_id);
    let valid_for = match request.valid_for {
        None => Some(VALID_FOR),
        Some(given) => Duration::try_from(given).ok(),
    };
    let bounds = Duration::from_secs(1)..=VALID_FOR_MAX;
    let valid_for = valid_for.filter(|valid_for| bounds.contains(valid_for));
    if valid_for.is_none() {
        violations.wrong("valid_for", "from 1 second to 1 hour");
    }
    let reason = violations.reason("reason", &request.reason);
    match (customer, valid_for) {
        (Some(customer), Some(valid_for)) if violations.is_empty() => {
            Ok((customer, valid_for, reason))
        }
        _ => Err(violations),
    }
}
