use clap::Subcommand;

use super::{Page, Why};
use crate::client::parse::Id;

/// `ordinal stock …`
#[derive(Debug, Subcommand)]
pub enum StockVerb {
    /// Set the units on hand of a product.
    Set {
        /// The product.
        sku: String,
        /// Units on hand.
        on_hand: u64,
        /// Set it only where this many are on hand now; refused with ON_HAND_MISMATCH otherwise.
        #[arg(long, value_name = "UNITS")]
        expected: Option<u64>,
        /// Set it even where more units are held for orders: the newest placed, of which nothing was
        /// shipped, lose theirs and are cancelled, until the rest fits.
        #[arg(long)]
        allow_shortage: bool,
        /// Only show the stock as it would be, and the orders that would lose their units.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        why: Why,
        /// Make a retry recognisable by this UUID; minted where absent.
        #[arg(long, value_name = "UUID")]
        request_id: Option<Id>,
    },
    /// Add units to those on hand of a product, or remove them.
    Adjust {
        /// The product.
        sku: String,
        /// Units to add, to remove where negative.
        #[arg(allow_negative_numbers = true)]
        delta: i64,
        /// Change it only where this many are on hand now; refused with ON_HAND_MISMATCH otherwise.
        #[arg(long, value_name = "UNITS")]
        expected: Option<u64>,
        #[command(flatten)]
        why: Why,
        /// Make a retry recognisable by this UUID; minted where absent.
        #[arg(long, value_name = "UUID")]
        request_id: Option<Id>,
    },
    /// Show one product.
    Get {
        /// The product.
        sku: String,
    },
    /// List products.
    List {
        /// Only those whose sku begins with this.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        page: Page,
    },
    /// List the movements of a product's stock, newest first: set or adjusted by whom and why, and
    /// reserved, released, shipped and restocked by orders.
    Movements {
        /// The product.
        sku: String,
        #[command(flatten)]
        page: Page,
    },
    /// List the orders that hold units of a product.
    Holders {
        /// The product.
        sku: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show the reservation of an order.
    Reservation {
        /// The order, a UUID.
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
        #[command(flatten)]
        page: Page,
    },
    /// Show one message.
    Get {
        /// Which, a UUID.
        notification_id: Id,
    },
    /// Send a message again: one that failed, or one that was delivered.
    Resend {
        /// Which, a UUID.
        notification_id: Id,
        #[command(flatten)]
        why: Why,
    },
}
