//! Messages to customers and operators. Follows order facts; each fact becomes at most one message
//! per channel. Delivery is retried from the ledger, so an outage of a mail server only delays
//! mail.
//!
//! [`compose()`] is pure; [`NotificationFollower`] writes the ledger together with its cursor; the
//! delivery loop sends messages that are due. A failed delivery never affects the order.

mod channel; // SMTP, files, and what sends the rest
mod compose; // fact → messages, and who gets them
mod config; // which channels are in use
mod delivery; // sends due messages and retries
mod follower; // facts → ledger
pub mod grpc;
mod http; // HTTP calls and their answers
pub mod ledger;
mod meter; // counts tries
mod route; // a channel, and of webhooks an endpoint
mod secret; // signs webhook calls
mod service; // composition
mod sms; // the SMS gateway
mod templates; // the texts of messages
mod traced; // the span of a try to send
mod webhook; // signed HTTP calls

pub use channel::ChannelError;
pub use compose::{Channel, Message, compose, compose_all, planned_all};
pub use config::{Config, Mail, Webhook};
pub use follower::NotificationFollower;
pub use route::Route;
pub use secret::{WebhookSecret, WebhookSecretError};
pub use service::{Notifications, migrator};
pub use sms::{SmsGateway, SmsToken, SmsTokenError};
pub use templates::{Kind, Shop, TemplateError, Templates, TrackingUrl};
