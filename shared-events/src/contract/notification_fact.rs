use serde::{Deserialize, Serialize};

use super::{NotificationId, OrderId};

/// What others may know about messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
#[expect(
    missing_docs,
    reason = "each field is documented on the type it has, or named as on the wire"
)]
pub enum NotificationFact {
    /// `notification.sent.v1`: a channel took the message.
    #[serde(rename = "notification.sent.v1")]
    Sent { order_id: OrderId, notification_id: NotificationId, channel: String },
}

impl NotificationFact {
    /// The versioned type name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "notification.sent.v1",
        }
    }

    /// The order it is about.
    #[must_use]
    pub const fn order_id(&self) -> OrderId {
        match self {
            Self::Sent { order_id, .. } => *order_id,
        }
    }
}
