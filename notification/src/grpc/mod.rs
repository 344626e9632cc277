//! The gRPC service of messages: the only place that knows its proto.
//! Never here: what a message says, or how it is sent.

use std::sync::Arc;

use service_edge::page::{PageSize, Tokens, cut};
use service_edge::time::timestamp;
use service_edge::{Refused, Violations, one_of};
use shared_events::chance::Chance;
use shared_events::contract::{NotificationId, Reason, Timestamp};
use shared_events::stream::{AskedBy, Database, DatabaseError, OperatorAction, Verb};
use tonic::{Request, Response, Status};

use crate::delivery::Due;
use crate::ledger::{self, Entry, Filter, Resent, State};
use crate::{Channel, Config, Route};

/// Messages and services of `ordinal.notifications.v1`, client and server.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/ordinal.notifications.v1.rs"));
}

mod replay; // facts for a webhook endpoint again

use proto::notification_service_server::NotificationService;

/// The descriptors of `ordinal.notifications.v1`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const ENDPOINT: &str = "not 1 to 40 small letters, digits and hyphens";

/// The gRPC service of messages.
pub struct NotificationEdge {
    database: Database,
    config: Arc<Config>,
    due: Arc<Due>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    chance: Chance,
}

impl NotificationEdge {
    pub(crate) const fn new(
        database: Database,
        config: Arc<Config>,
        due: Arc<Due>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        chance: Chance,
    ) -> Self {
        Self { database, config, due, now, chance }
    }
}

#[tonic::async_trait]
impl NotificationService for NotificationEdge {
    async fn list_notifications(
        &self,
        request: Request<proto::ListNotificationsRequest>,
    ) -> Result<Response<proto::ListNotificationsResponse>, Status> {
        let by = request.extensions().get::<AskedBy>();
        let to_customer = by.is_some_and(AskedBy::is_customer);
        let request = request.into_inner();
        let mut violations = Violations::default();
        let mut filter = Filter { to_customer, ..Filter::default() };
        if !request.order_id.is_empty() {
            filter.order_id = violations.parsed("order_id", &request.order_id);
        }
        filter.state = match proto::NotificationState::try_from(request.state) {
            Ok(state) => state_of(state),
            Err(_) => {
                violations.wrong("state", one_of(proto::NotificationState::as_str_name));
                None
            }
        };
        if !request.channel.is_empty() {
            filter.channel = Channel::all().find(|channel| channel.code() == request.channel);
            if filter.channel.is_none() {
                let codes: Vec<_> = Channel::all().map(Channel::code).collect();
                violations.wrong("channel", format!("one of {}", codes.join(", ")));
            }
        }
        if !request.endpoint.is_empty() {
            if filter.channel.is_some_and(|channel| channel != Channel::Webhook) {
                violations.wrong("endpoint", "only webhooks have one");
            }
            if !Route::is_endpoint_name(&request.endpoint) {
                violations.wrong("endpoint", ENDPOINT);
            }
            filter.endpoint = Some(request.endpoint.clone());
        }
        let size = PageSize::LIST.read(request.page_size, &mut violations);
        // Of what was parsed: an id in another spelling is the same id.
        let order = filter.order_id.map(|id| id.to_string()).unwrap_or_default();
        let mut filtered = format!("{order}/{}/{}", request.state, request.channel);
        if !request.endpoint.is_empty() {
            filtered = format!("{filtered}/{}", request.endpoint);
        }
        let tokens = Tokens::of(filtered);
        let after = tokens.place(&request.page_token, |serial| serial.parse().ok());
        let after = after.unwrap_or_else(|foreign| {
            violations.extend(foreign);
            None
        });
        let (Some(size), true) = (size, violations.is_empty()) else {
            return Err(violations.into());
        };
        let mut entries = ledger::list(&self.database, &filter, after.unwrap_or(0), size + 1)
            .await
            .map_err(|error| unavailable(&error))?;
        let more = cut(&mut entries, size);
        let last = entries.last().filter(|_| more);
        let next_page_token = last.map(|last| tokens.after(last.serial)).unwrap_or_default();
        let shown = if to_customer { shown_to_customer } else { listed };
        let notifications = entries.iter().map(shown).collect();
        Ok(Response::new(proto::ListNotificationsResponse { notifications, next_page_token }))
    }

    async fn get_notification(
        &self,
        request: Request<proto::GetNotificationRequest>,
    ) -> Result<Response<proto::GetNotificationResponse>, Status> {
        let mut violations = Violations::default();
        let id = notification_id(&request.into_inner().notification_id, &mut violations);
        let id = id.ok_or(violations)?;
        let found =
            ledger::get(self.database.reader(), id).await.map_err(|error| unavailable(&error))?;
        let found = found.ok_or_else(not_found)?;
        Ok(Response::new(proto::GetNotificationResponse { notification: Some(rendered(&found)) }))
    }

    async fn resend_notification(
        &self,
        request: Request<proto::ResendNotificationRequest>,
    ) -> Result<Response<proto::ResendNotificationResponse>, Status> {
        let by = request.extensions().get::<AskedBy>().cloned();
        let by = by.unwrap_or_default();
        let request = request.into_inner();
        let mut violations = Violations::default();
        let id = notification_id(&request.notification_id, &mut violations);
        let reason = violations.reason("reason", &request.reason);
        let (Some(id), true) = (id, violations.is_empty()) else {
            return Err(violations.into());
        };
        let (again, now) = (NotificationId::from_uuid(self.chance.uuid()), (self.now)());
        let mut tx = self.database.begin().await.map_err(|error| unavailable(&error))?;
        let resent = ledger::resend(&self.database, &mut tx, id, again, &by.subject, now).await;
        let entry = match resent.map_err(|error| unavailable(&error))? {
            Resent::Queued(entry) => entry,
            Resent::NotFinished => {
                let message = "this message, or a resend of it, has not finished";
                return Err(Refused::new(Reason::NotFinished).say(message));
            }
            Resent::NotFound => return Err(not_found()),
            Resent::NoRecipient => {
                let message = "the customer is not reached by this channel any more";
                return Err(Refused::new(Reason::NoRecipient).say(message));
            }
        };
        if !request.validate_only {
            let target = id.to_string();
            let action = OperatorAction::new(&by, Verb::ResendNotification, &target, &reason, now);
            let before = format!("{} by {}", entry.kind, entry.channel.code());
            let action = action.changing(&before, &format!("resent as {again}"));
            action.write(&mut tx).await.map_err(|error| unavailable(&error))?;
            tx.commit().await.map_err(|error| unavailable(&error.into()))?;
            self.due.wake();
        }
        Ok(Response::new(proto::ResendNotificationResponse {
            notification: Some(rendered(&entry)),
        }))
    }

    async fn replay_webhooks(
        &self,
        request: Request<proto::ReplayWebhooksRequest>,
    ) -> Result<Response<proto::ReplayWebhooksResponse>, Status> {
        replay::page(self, request).await.map(Response::new)
    }
}

fn notification_id(text: &str, violations: &mut Violations) -> Option<NotificationId> {
    violations.parsed("notification_id", text)
}

const fn state_of(state: proto::NotificationState) -> Option<State> {
    match state {
        proto::NotificationState::Unspecified => None,
        proto::NotificationState::Queued => Some(State::Queued),
        proto::NotificationState::Sending => Some(State::Sending),
        proto::NotificationState::Delivered => Some(State::Delivered),
        proto::NotificationState::RetryAt => Some(State::RetryAt),
        proto::NotificationState::Failed => Some(State::Failed),
    }
}

const fn rendered_state(state: State) -> proto::NotificationState {
    match state {
        State::Queued => proto::NotificationState::Queued,
        State::Sending => proto::NotificationState::Sending,
        State::Delivered => proto::NotificationState::Delivered,
        State::RetryAt => proto::NotificationState::RetryAt,
        State::Failed => proto::NotificationState::Failed,
    }
}

/// The failed tries, and the accepted one.
fn rendered_tries(entry: &Entry) -> Vec<proto::DeliveryTry> {
    let failed = entry.tries.iter().map(|one| (one.at, one.error.clone()));
    let accepted = entry.delivered_at.map(|at| (at, String::new()));
    let tries = failed.chain(accepted);
    tries.map(|(at, error)| proto::DeliveryTry { at: Some(timestamp(at)), error }).collect()
}

fn rendered(entry: &Entry) -> proto::Notification {
    proto::Notification {
        notification_id: entry.id.to_string(),
        fact_id: entry.fact_id.clone(),
        order_id: entry.order_id.to_string(),
        channel: entry.channel.code().to_owned(),
        kind: entry.kind.clone(),
        state: rendered_state(entry.state).into(),
        recipient: entry.recipient.clone(),
        subject: entry.subject.clone(),
        body: entry.body.clone(),
        attempts: entry.attempts,
        last_error: entry.last_error.clone(),
        created_at: Some(timestamp(entry.created_at)),
        delivered_at: entry.delivered_at.map(timestamp),
        next_try_at: (entry.state == State::RetryAt).then(|| timestamp(entry.next_try_at)),
        resend_of: entry.resend_of.map(|id| id.to_string()).unwrap_or_default(),
        endpoint: entry.route.endpoint().to_owned(),
        asked_by: entry.asked_by.clone().unwrap_or_default(),
        tries: rendered_tries(entry),
    }
}

/// Without the text, and with the recipient shortened.
fn listed(entry: &Entry) -> proto::Notification {
    let first = entry.recipient.chars().next().map(String::from).unwrap_or_default();
    let domain = entry.recipient.split_once('@').map(|(_, domain)| format!("@{domain}"));
    let recipient = match entry.channel {
        Channel::Webhook => String::new(),
        Channel::Email | Channel::Sms => format!("{first}***{}", domain.unwrap_or_default()),
    };
    let (body, tries) = (String::new(), Vec::new());
    proto::Notification { body, recipient, tries, ..rendered(entry) }
}

/// Also without what servers answered and who asked for it.
fn shown_to_customer(entry: &Entry) -> proto::Notification {
    let (last_error, asked_by) = (String::new(), String::new());
    proto::Notification { last_error, asked_by, ..listed(entry) }
}

fn not_found() -> Status {
    Refused::new(Reason::NotFound).say("no such message")
}

fn unavailable(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "notification database");
    Refused::unavailable(Reason::NotificationsUnavailable)
        .say("the notification database is unavailable")
}
