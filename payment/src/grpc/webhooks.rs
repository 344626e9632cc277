use service_edge::page::{Tokens, cut};
use shared_events::contract::PspName;
use shared_events::stream::{AskedBy, OperatorAction, Verb};
use tonic::{Response, Status};

use super::parse::{decided, listed};
use super::refusal::{not_found, not_parked, refused, unavailable};
use super::render::rendered_webhook;
use super::{PaymentEdge, proto};
use crate::domain::WebhookState;
use crate::store::{self, Of, Webhook};

const NO_WEBHOOK: &str = "no webhook of this provider has this id";

impl PaymentEdge {
    pub(super) async fn webhooks(
        &self,
        request: &proto::ListWebhooksRequest,
    ) -> Result<Response<proto::ListWebhooksResponse>, Status> {
        let (state, size) = listed(request)?;
        let tokens = Tokens::of(format!("webhooks/{}", request.state));
        let parsed = |place: &str| {
            let (psp, id) = place.split_once('/')?;
            Some((psp.to_owned(), id.to_owned()))
        };
        let after: Option<(String, String)> = tokens.place(&request.page_token, parsed)?;
        let after = after.unwrap_or_default();
        let after = (after.0.as_str(), after.1.as_str());
        let found = store::webhooks(self.payments.database(), state, after, size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let last = last.map(|last| tokens.after(format!("{}/{}", last.psp, last.event_id)));
        let next_page_token = last.unwrap_or_default();
        let webhooks = found.iter().map(rendered_webhook).collect();
        Ok(Response::new(proto::ListWebhooksResponse { webhooks, next_page_token }))
    }

    async fn webhook(&self, psp: &PspName, id: &str) -> Result<Webhook, Status> {
        let found = store::webhook(self.payments.database(), (psp, id)).await;
        found.map_err(|error| unavailable(&error))?.ok_or_else(|| not_found(NO_WEBHOOK))
    }

    pub(super) async fn decide_webhook(
        &self,
        request: &proto::ResolveWebhookRequest,
        by: &AskedBy,
    ) -> Result<Response<proto::ResolveWebhookResponse>, Status> {
        let (psp, id, reason) = decided(request)?;
        let found = self.webhook(&psp, &id).await?;
        let target = format!("{psp}/{id}");
        let verb = Verb::ResolveWebhook;
        let action = OperatorAction::new(by, verb, &target, &reason, self.payments.now());
        let next = if request.drop { WebhookState::Dropped } else { WebhookState::Waiting };
        let action = action.changing(found.state.code(), next.code());
        let said = format!("{next} {reason}");
        if request.validate_only && found.state == WebhookState::Parked {
            let would = found.decided(next, self.payments.now());
            let webhook = Some(rendered_webhook(&would));
            return Ok(Response::new(proto::ResolveWebhookResponse { webhook }));
        }
        let decided = if found.state == WebhookState::Parked {
            let said = (action, said.as_str());
            self.payments.decide_webhook(&found, next, said).await.map_err(refused)?
        } else {
            false
        };
        let now = self.webhook(&psp, &id).await?;
        if !decided {
            // What was said before, also meanwhile by somebody else, stands and is not refused.
            let known = store::was_said(self.payments.database(), Of::Webhook(&psp, &id), &said);
            if !known.await.map_err(|error| unavailable(&error))? {
                return Err(not_parked(now.state));
            }
        }
        let webhook = Some(rendered_webhook(&now));
        Ok(Response::new(proto::ResolveWebhookResponse { webhook }))
    }
}
