use super::body::facts;
use super::{NotificationId, OrderId};

facts! {
    /// Facts about messages.
    NotificationFact {
        /// `notification.sent.v1`: a channel accepted the message.
        "notification.sent.v1" => Sent {
            order_id: OrderId,
            notification_id: NotificationId,
            channel: String,
        }
    }
}

impl NotificationFact {
    /// The order it is about.
    #[must_use]
    pub const fn order_id(&self) -> OrderId {
        match self {
            Self::Sent { order_id, .. } => *order_id,
        }
    }
}
