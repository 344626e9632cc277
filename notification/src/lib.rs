//! Messages to customers and operators. Follows order facts; each fact is told once per channel,
//! and delivery is retried from the ledger, so that a mail server that is away costs only time.
//!
//! [`compose()`] is pure; [`NotificationFollower`] writes the ledger with its cursor; the delivery
//! loop sends what is due. A failure never touches the order.

mod channel; // the ways out
mod compose; // fact → messages, or silence
mod config; // the ways out that are open
mod delivery; // sends what is due, and tries again
mod follower; // facts → ledger
pub mod grpc;
pub mod ledger;
mod secret; // what webhooks are signed with
mod service; // the parts put together

pub use channel::ChannelError;
pub use compose::{Channel, Message, compose, compose_all};
pub use config::{Config, Mail, Webhook};
pub use follower::NotificationFollower;
pub use secret::{WebhookSecret, WebhookSecretError};
pub use service::{Notifications, migrator};
