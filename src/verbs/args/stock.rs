use clap::Subcommand;

use super::{Page, Why};
use crate::client::parse::{Id, instant};

/// `ordinal stock …`
#[derive(Debug, Subcommand)]
pub enum StockVerb {
    /// Set what is on hand of a product.
    Set {
        /// Which product.
        sku: String,
        /// Units on hand.
        on_hand: u64,
        /// Set it only where so many are on hand now; refused with ON_HAND_MISMATCH otherwise.
        #[arg(long, value_name = "UNITS")]
        expected: Option<u64>,
        #[command(flatten)]
        why: Why,
        /// Make a retry recognisable by this UUID; minted where absent.
        #[arg(long, value_name = "UUID")]
        request_id: Option<Id>,
    },
    /// Change what is on hand of a product.
    Adjust {
        /// Which product.
        sku: String,
        /// Units more, or fewer where below zero.
        #[arg(allow_negative_numbers = true)]
        delta: i64,
        #[command(flatten)]
        why: Why,
        /// Make a retry recognisable by this UUID; minted where absent.
        #[arg(long, value_name = "UUID")]
        request_id: Option<Id>,
    },
    /// Show one product.
    Get {
        /// Which product.
        sku: String,
    },
    /// List products.
    List {
        /// Only those whose sku begins so.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        page: Page,
    },
    /// List everything that moved the stock of a product, newest first: who set or adjusted it and
    /// why, and what orders reserved, released, took along and brought back.
    Movements {
        /// Which product.
        sku: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show what is held for an order.
    Reservation {
        /// Which order, a UUID.
        order_id: Id,
    },
}

/// `ordinal notification …`
#[derive(Debug, Subcommand)]
pub enum NotificationVerb {
    /// List messages.
    List {
        /// About this order.
        #[arg(long, value_name = "UUID")]
        order: Option<Id>,
        /// In this state, such as FAILED.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Sent by this channel: email, sms or webhook.
        #[arg(long, value_name = "CHANNEL")]
        channel: Option<String>,
        /// Sent to this webhook endpoint.
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one message.
    Get {
        /// Which, a UUID.
        notification_id: Id,
    },
    /// Post facts to a webhook endpoint again: those that were posted to any endpoint, and that it
    /// wants.
    Replay {
        /// The endpoint; `default` is the one of --webhook-url.
        #[arg(long, value_name = "NAME")]
        endpoint: String,
        /// Posted first at this time or later (RFC 3339, or a date).
        #[arg(long, value_name = "TIME", value_parser = instant)]
        since: String,
        /// Posted first before this time (RFC 3339, or a date) [default: now].
        #[arg(long, value_name = "TIME", value_parser = instant)]
        until: Option<String>,
        /// Continue the replay of this id, which was interrupted: nothing is posted twice.
        #[arg(long, value_name = "UUID")]
        replay_id: Option<Id>,
        /// Only count.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Send a message again: one that failed, or one that was delivered.
    Resend {
        /// Which, a UUID.
        notification_id: Id,
        #[command(flatten)]
        why: Why,
    },
}
