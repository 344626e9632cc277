//! The edge of payments: the only place that knows its protos.
//! Never here: rules of payments, or a token in an answer.

mod parse; // requests → values, or every field at fault
mod payouts; // payouts to sellers
mod refusal; // refusals and errors → statuses
mod render; // payments and operations → messages
mod services; // what is served
mod settlements; // reports of providers and their lines
mod webhooks; // webhooks of providers, for operators

use std::collections::BTreeMap;

use psp::Token;
use service_edge::page::{Tokens, cut, page_size};
use service_edge::{parsed, traceparent, tracestate};
use shared_events::contract::{OperationId, OrderId, PaymentId};
use shared_events::stream::{AskedBy, OperatorAction, Verb};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Payments;
use crate::domain::{Input, Observation, Rejection, Stage, Status as Word};
use crate::service::PaymentError;
use crate::store::{self, Of, OperationRow, PaymentFilter, PaymentSummary};

use parse::{attempted, filtered, resolved};
use refusal::{not_found, refused, unavailable};
use render::{rendered_dispute, rendered_operation, rendered_payment};

pub use settlements::SettlementEdge;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tree.rs"));
}

/// Messages and services of `ordinal.payments.v1`, client and server.
pub mod proto {
    pub use super::generated::google::r#type::Money;
    pub use super::generated::ordinal::payments::v1::*;
}

pub use payouts::PayoutEdge;
use proto::payment_service_server::PaymentService;

/// The descriptors of `ordinal.payments.v1`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const NO_PAYMENT: &str = "no order asked for a payment with this id";
const NO_OPERATION: &str = "no operation has this id";

/// The gRPC service.
pub struct PaymentEdge {
    payments: Payments,
}

impl PaymentEdge {
    pub(crate) const fn new(payments: Payments) -> Self {
        Self { payments }
    }

    async fn of_order(&self, order: OrderId, by: &AskedBy) -> Result<Vec<proto::Payment>, Status> {
        let filter = PaymentFilter { order: Some(order), ..PaymentFilter::default() };
        let found = store::payments(self.payments.database(), &filter, u32::MAX).await;
        self.shown(&found.map_err(|error| unavailable(&error))?, Some(order), by).await
    }

    /// Payments; of one order with where its customer acts, for them and their shop.
    async fn shown(
        &self,
        payments: &[PaymentSummary],
        order: Option<OrderId>,
        by: &AskedBy,
    ) -> Result<Vec<proto::Payment>, Status> {
        let acts = |one: &PaymentSummary| one.status == Word::ActionRequired;
        let actions = match order.filter(|_| !by.is_operator() && payments.iter().any(acts)) {
            Some(order) => store::actions(self.payments.database(), order).await,
            None => Ok(BTreeMap::new()),
        };
        let mut actions = actions.map_err(|error| unavailable(&error))?;
        let one = |one: &PaymentSummary| {
            let action_url = actions.remove(&one.id).unwrap_or_default();
            proto::Payment { action_url, ..rendered_payment(one) }
        };
        Ok(payments.iter().map(one).collect())
    }

    async fn row(&self, id: OperationId) -> Result<OperationRow, Status> {
        let found = store::operation(self.payments.database(), id).await;
        found.map_err(|error| unavailable(&error))?.ok_or_else(|| not_found(NO_OPERATION))
    }

    /// What was said before, also meanwhile by somebody else, stands and is not refused.
    async fn said_before(
        &self,
        refusal: PaymentError,
        of: Of<'_>,
        said: &str,
    ) -> Result<(), Status> {
        if let PaymentError::Rejected(Rejection::NotStuck(_)) = refusal {
            let known = store::was_said(self.payments.database(), of, said).await;
            if known.map_err(|error| unavailable(&error))? {
                return Ok(());
            }
        }
        Err(refused(refusal))
    }

    /// The answer to an attempt that is not made.
    async fn would_attempt(
        &self,
        order: OrderId,
        (attempt_id, token): (Uuid, &Token),
        by: &AskedBy,
    ) -> Result<Response<proto::AttemptResponse>, Status> {
        let pays_with = Some((attempt_id, token));
        let would = self.payments.would_hear(order, Input::Attempt { attempt_id }, pays_with);
        let (open, now) = would.await.map_err(refused)?;
        let payments = match open.has_happened() {
            true => self.shown(&store::summaries(&open.case, now), Some(order), by).await?,
            false => self.of_order(order, by).await?,
        };
        let waits = open.case.plan.is_none();
        Ok(Response::new(proto::AttemptResponse { payments, waits }))
    }

    /// A stuck operation as it would be.
    async fn would_resolve(
        &self,
        row: OperationRow,
        seen: Observation,
    ) -> Result<proto::Operation, PaymentError> {
        let (order, operation_id) = (row.order_id, row.id);
        let input = Input::Observed { operation_id, seen };
        let (open, now) = self.payments.would_hear(order, input, None).await?;
        let row = row.after(open.events(), now);
        let known = open.case.operation(operation_id);
        let (_, operation) = known.ok_or(Rejection::OperationUnknown)?;
        Ok(rendered_operation(operation, &row))
    }

    async fn operation(&self, row: &OperationRow) -> Result<proto::Operation, Status> {
        let case = store::case(self.payments.database(), row.order_id).await;
        let case = case.map_err(|error| unavailable(&error))?;
        let known = case.as_ref().and_then(|case| case.operation(row.id));
        let (_, operation) = known.ok_or_else(|| not_found(NO_OPERATION))?;
        Ok(rendered_operation(operation, row))
    }
}

#[tonic::async_trait]
impl PaymentService for PaymentEdge {
    async fn attempt(
        &self,
        request: Request<proto::AttemptRequest>,
    ) -> Result<Response<proto::AttemptResponse>, Status> {
        let by = request.extensions().get::<AskedBy>().cloned().unwrap_or_default();
        let trace = (traceparent(&request), tracestate(&request));
        let request = request.into_inner();
        let (order, attempt_id, token) = attempted(&request)?;
        if request.validate_only {
            return self.would_attempt(order, (attempt_id, &token), &by).await;
        }
        let case = self.payments.attempt(order, attempt_id, &token, trace).await;
        let case = case.map_err(refused)?;
        let (payments, waits) = (self.of_order(order, &by).await?, case.plan.is_none());
        Ok(Response::new(proto::AttemptResponse { payments, waits }))
    }

    async fn get_payment(
        &self,
        request: Request<proto::GetPaymentRequest>,
    ) -> Result<Response<proto::GetPaymentResponse>, Status> {
        let id: PaymentId = parsed("payment_id", &request.into_inner().payment_id)?;
        let database = self.payments.database();
        let found = store::payment(database, id).await.map_err(|error| unavailable(&error))?;
        let found = found.ok_or_else(|| not_found(NO_PAYMENT))?;
        let case = store::case(database, found.order_id).await;
        let case = case.map_err(|error| unavailable(&error))?;
        let mut operations = Vec::new();
        for operation in
            case.iter().filter_map(|case| case.payment(id)).flat_map(|one| &one.operations)
        {
            operations.push(rendered_operation(operation, &self.row(operation.id).await?));
        }
        let payment = case.as_ref().and_then(|case| case.payment(id));
        let disputes = payment
            .into_iter()
            .flat_map(|payment| payment.disputes.iter().map(|one| rendered_dispute(payment, one)));
        let (payment, disputes) = (Some(rendered_payment(&found)), disputes.collect());
        Ok(Response::new(proto::GetPaymentResponse { payment, operations, disputes }))
    }

    async fn list_payments(
        &self,
        request: Request<proto::ListPaymentsRequest>,
    ) -> Result<Response<proto::ListPaymentsResponse>, Status> {
        let by = request.extensions().get::<AskedBy>().cloned().unwrap_or_default();
        let request = request.into_inner();
        let (filter, size) = filtered(&request)?;
        // Of what was parsed: an id in another spelling is the same id.
        let order = filter.order.map(|id| id.to_string()).unwrap_or_default();
        let customer = filter.customer.map(|id| id.to_string()).unwrap_or_default();
        let tokens = Tokens::of(format!("{order}/{customer}/{}", request.status));
        let after = tokens.place(&request.page_token, |place| place.parse().ok())?;
        let filter = PaymentFilter { after, ..filter };
        let found = store::payments(self.payments.database(), &filter, size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|last| tokens.after(last.id)).unwrap_or_default();
        let payments = self.shown(&found, filter.order, &by).await?;
        Ok(Response::new(proto::ListPaymentsResponse { payments, next_page_token }))
    }

    async fn list_stuck_operations(
        &self,
        request: Request<proto::ListStuckOperationsRequest>,
    ) -> Result<Response<proto::ListStuckOperationsResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let tokens = Tokens::of("stuck");
        let after: Option<OperationId> =
            tokens.place(&request.page_token, |place| place.parse().ok())?;
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let found = store::stuck(self.payments.database(), &after, size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|last| tokens.after(last.id)).unwrap_or_default();
        let mut operations = Vec::new();
        for row in &found {
            operations.push(self.operation(row).await?);
        }
        Ok(Response::new(proto::ListStuckOperationsResponse { operations, next_page_token }))
    }

    async fn get_operation(
        &self,
        request: Request<proto::GetOperationRequest>,
    ) -> Result<Response<proto::GetOperationResponse>, Status> {
        let id = parsed("operation_id", &request.into_inner().operation_id)?;
        let operation = Some(self.operation(&self.row(id).await?).await?);
        Ok(Response::new(proto::GetOperationResponse { operation }))
    }

    async fn resolve_operation(
        &self,
        request: Request<proto::ResolveOperationRequest>,
    ) -> Result<Response<proto::ResolveOperationResponse>, Status> {
        let by = request.extensions().get::<AskedBy>().cloned().unwrap_or_default();
        let trace = (traceparent(&request), tracestate(&request));
        let request = request.into_inner();
        let (id, found, reason) = resolved(&request)?;
        let row = self.row(id).await?;
        let case = store::case(self.payments.database(), row.order_id).await;
        let case = case.map_err(|error| unavailable(&error))?;
        let known = case.as_ref().and_then(|case| case.operation(id));
        let (_, operation) = known.ok_or_else(|| not_found(NO_OPERATION))?;
        let said = found.said(&reason);
        let seen = found.observation(operation.amount);
        let resolved = if row.schedule.stage != Stage::Stuck {
            Err(Rejection::NotStuck(operation.state).into())
        } else if request.validate_only {
            self.would_resolve(row, seen).await.map(Some)
        } else {
            let (verb, target) = (Verb::ResolveOperation, id.to_string());
            let action = OperatorAction::new(&by, verb, &target, &reason, self.payments.now());
            let action = action.changing(operation.state.code(), found.state().code());
            let person = (action, said.clone());
            self.payments.resolve(row.order_id, id, seen, person, trace).await.map(|_| None)
        };
        let would = match resolved {
            Ok(would) => would,
            Err(refusal) => {
                self.said_before(refusal, Of::Operation(id), &said).await?;
                None
            }
        };
        let operation = match would {
            Some(operation) => operation,
            None => self.operation(&self.row(id).await?).await?,
        };
        let operation = Some(operation);
        Ok(Response::new(proto::ResolveOperationResponse { operation }))
    }

    async fn list_webhooks(
        &self,
        request: Request<proto::ListWebhooksRequest>,
    ) -> Result<Response<proto::ListWebhooksResponse>, Status> {
        self.webhooks(request.get_ref()).await
    }

    async fn resolve_webhook(
        &self,
        request: Request<proto::ResolveWebhookRequest>,
    ) -> Result<Response<proto::ResolveWebhookResponse>, Status> {
        let by = request.extensions().get::<AskedBy>().cloned().unwrap_or_default();
        self.decide_webhook(request.get_ref(), &by).await
    }
}
