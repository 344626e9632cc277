//! The edge of the message service: the only place that knows its proto.
//! Never here: what a message says, or how it leaves.

use std::collections::HashMap;
use std::sync::Arc;

use shared_events::chance::Chance;
use shared_events::contract::{NotificationId, TextRule, Timestamp};
use shared_events::stream::{AskedBy, Database, DatabaseError, OperatorAction, Verb};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::Channel;
use crate::delivery::Due;
use crate::ledger::{self, Entry, Filter, Resent, State};

/// Messages and services of `ordinal.notifications.v1`, client and server.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/ordinal.notifications.v1.rs"));
}

use proto::notification_service_server::NotificationService;

/// The descriptors of `ordinal.notifications.v1`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 100;
const REASON_MAX: usize = 500;

/// The message service as gRPC sees it.
pub struct NotificationEdge {
    database: Database,
    due: Arc<Due>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    chance: Chance,
}

impl NotificationEdge {
    pub(crate) const fn new(
        database: Database,
        due: Arc<Due>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        chance: Chance,
    ) -> Self {
        Self { database, due, now, chance }
    }
}

#[tonic::async_trait]
impl NotificationService for NotificationEdge {
    async fn list_notifications(
        &self,
        request: Request<proto::ListNotificationsRequest>,
    ) -> Result<Response<proto::ListNotificationsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Vec::new();
        let mut wrong = |field: &str, what: &str| violations.push(FieldViolation::new(field, what));
        let mut filter = Filter::default();
        if !request.order_id.is_empty() {
            filter.order_id =
                request.order_id.parse().map_err(|_| wrong("order_id", "not a UUID")).ok();
        }
        filter.state = match proto::NotificationState::try_from(request.state) {
            Ok(state) => state_of(state),
            Err(_) => {
                wrong("state", "not a state");
                None
            }
        };
        if !request.channel.is_empty() {
            filter.channel = Channel::all().find(|channel| channel.code() == request.channel);
            if filter.channel.is_none() {
                wrong("channel", "EMAIL, SMS or WEBHOOK");
            }
        }
        let size = match u32::try_from(request.page_size) {
            Ok(0) => PAGE_DEFAULT,
            Ok(size) => size.min(PAGE_MAX),
            Err(_) => {
                wrong("page_size", "not below 0");
                PAGE_DEFAULT
            }
        };
        // The filter stands in the token, so that it fits no other list.
        let list = format!("{}/{}/{}/", request.order_id, request.state, request.channel);
        let after = match request.page_token.as_str() {
            "" => 0,
            token => token
                .strip_prefix(&list)
                .and_then(|serial| serial.parse().ok())
                .unwrap_or_else(|| {
                    wrong("page_token", "not a token of this list");
                    0
                }),
        };
        if !violations.is_empty() {
            return Err(malformed(violations));
        }
        let mut entries = ledger::list(&self.database, &filter, after, size + 1)
            .await
            .map_err(|error| away(&error))?;
        let page = usize::try_from(size).unwrap_or(usize::MAX);
        let more = entries.len() > page;
        entries.truncate(page);
        let next_page_token = entries
            .last()
            .filter(|_| more)
            .map(|last| format!("{list}{}", last.serial))
            .unwrap_or_default();
        let notifications = entries.iter().map(listed).collect();
        Ok(Response::new(proto::ListNotificationsResponse { notifications, next_page_token }))
    }

    async fn get_notification(
        &self,
        request: Request<proto::GetNotificationRequest>,
    ) -> Result<Response<proto::GetNotificationResponse>, Status> {
        let id = notification_id(&request.into_inner().notification_id);
        let id = id.map_err(|violation| malformed(vec![violation]))?;
        let mut tx = self.database.begin().await.map_err(|error| away(&error))?;
        let found = ledger::get(&mut tx, id).await.map_err(|error| away(&error))?;
        let found = found.ok_or_else(not_found)?;
        Ok(Response::new(proto::GetNotificationResponse { notification: Some(whole(&found)) }))
    }

    async fn resend_notification(
        &self,
        request: Request<proto::ResendNotificationRequest>,
    ) -> Result<Response<proto::ResendNotificationResponse>, Status> {
        let by = request.extensions().get::<AskedBy>().cloned();
        let by = by.unwrap_or_default();
        let request = request.into_inner();
        let reason = request.reason.trim();
        let id = match (notification_id(&request.notification_id), wrong_reason(reason)) {
            (Ok(id), None) => id,
            (id, reason) => {
                return Err(malformed(id.err().into_iter().chain(reason).collect()));
            }
        };
        let (again, now) = (NotificationId::from_uuid(self.chance.uuid()), (self.now)());
        let mut tx = self.database.begin().await.map_err(|error| away(&error))?;
        let resent = ledger::resend(&self.database, &mut tx, id, again, &by.subject, now).await;
        let entry = match resent.map_err(|error| away(&error))? {
            Resent::Again(entry) => entry,
            Resent::NotFinished => {
                let message = "the message is still on its way, or another that says it again";
                return Err(with_reason(Code::FailedPrecondition, "NOT_FINISHED", message));
            }
            Resent::NotFound => return Err(not_found()),
        };
        if !request.validate_only {
            let target = id.to_string();
            let action = OperatorAction::new(&by, Verb::ResendNotification, &target, reason, now);
            let before = format!("{} by {}", entry.kind, entry.channel.code());
            let action = action.changing(&before, &format!("said again as {again}"));
            action.write(&mut tx).await.map_err(|error| away(&error))?;
            tx.commit().await.map_err(|error| away(&error.into()))?;
            self.due.wake();
        }
        Ok(Response::new(proto::ResendNotificationResponse { notification: Some(whole(&entry)) }))
    }
}

fn notification_id(text: &str) -> Result<NotificationId, FieldViolation> {
    text.parse().map_err(|_| FieldViolation::new("notification_id", "not a UUID"))
}

fn wrong_reason(text: &str) -> Option<FieldViolation> {
    let error = TextRule::line(REASON_MAX).check(text).err()?;
    Some(FieldViolation::new("reason", error.to_string()))
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

fn whole(entry: &Entry) -> proto::Notification {
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
        created_at: Some(time(entry.created_at)),
        delivered_at: entry.delivered_at.map(time),
        next_try_at: (entry.state == State::RetryAt).then(|| time(entry.next_try_at)),
        resend_of: entry.resend_of.map(|id| id.to_string()).unwrap_or_default(),
        asked_by: entry.asked_by.clone().unwrap_or_default(),
    }
}

/// Without text, and with little of the recipient.
fn listed(entry: &Entry) -> proto::Notification {
    let first = entry.recipient.chars().next().map(String::from).unwrap_or_default();
    let domain = entry.recipient.split_once('@').map(|(_, domain)| format!("@{domain}"));
    let recipient = match entry.channel {
        Channel::Webhook => String::new(),
        Channel::Email | Channel::Sms => format!("{first}***{}", domain.unwrap_or_default()),
    };
    proto::Notification { body: String::new(), recipient, ..whole(entry) }
}

fn time(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.micros();
    let nanos = micros.rem_euclid(1_000_000) * 1_000;
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(nanos).unwrap_or(0),
    }
}

fn malformed(mut violations: Vec<FieldViolation>) -> Status {
    let reason = "INVALID_FIELD";
    let total = violations.len();
    let told = HashMap::from([("violations".to_owned(), total.to_string())]);
    let message = violations.first().map_or_else(String::new, |first| {
        let more = if total > 1 { format!(" (and {} more)", total - 1) } else { String::new() };
        format!("{}: {}{more}", first.field, first.description)
    });
    for violation in &mut violations {
        reason.clone_into(&mut violation.reason);
    }
    let mut details = ErrorDetails::with_error_info(reason, "ordinal", told);
    details.set_bad_request(violations);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

fn with_reason(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "ordinal", HashMap::new());
    Status::with_error_details(code, message, details)
}

fn not_found() -> Status {
    with_reason(Code::NotFound, "NOT_FOUND", "no such message")
}

fn away(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "notification database");
    let mut details =
        ErrorDetails::with_error_info("NOTIFICATIONS_UNAVAILABLE", "ordinal", HashMap::new());
    details.set_retry_info(Some(std::time::Duration::from_millis(500)));
    let message = "the notification database is not available";
    Status::with_error_details(Code::Unavailable, message, details)
}
