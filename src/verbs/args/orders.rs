use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Page;
use crate::client::parse::{Amount, Id, LineDisposition, LineUnits, OrderLine, Place, instant};

/// What every command to an order may carry.
#[derive(Debug, Args)]
pub struct CommandOptions {
    /// Make a retry recognisable by this UUID.
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<Id>,
    /// Refuse unless the order has this version.
    #[arg(long, value_name = "N")]
    pub expected_version: Option<u64>,
    /// Only say what would happen.
    #[arg(long)]
    pub validate_only: bool,
}

/// `ordinal order …`
#[derive(Debug, Subcommand)]
pub enum OrderVerb {
    /// Place an order, by flags or from a file.
    Place(Box<PlaceArgs>),
    /// Show one order, as it is or as it was.
    Get {
        /// Which, a UUID.
        order_id: Id,
        /// As it was after so many events.
        #[arg(long, value_name = "N", conflicts_with = "as_of_time")]
        as_of_version: Option<u64>,
        /// As it was at this time (RFC 3339, or a date for its first instant in UTC).
        #[arg(long, value_name = "TIME", value_parser = instant)]
        as_of_time: Option<String>,
    },
    /// List orders, newest first.
    List {
        /// With this status, such as PENDING; may be repeated.
        #[arg(long, value_name = "STATUS")]
        status: Vec<String>,
        /// Of this customer.
        #[arg(long, value_name = "UUID")]
        customer: Option<Id>,
        /// Placed at this time or later (RFC 3339, or a date).
        #[arg(long, value_name = "TIME", value_parser = instant)]
        placed_from: Option<String>,
        /// Placed before this time (RFC 3339, or a date).
        #[arg(long, value_name = "TIME", value_parser = instant)]
        placed_until: Option<String>,
        /// Wait until the list includes this place of the journal.
        #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
        at_least: Option<Place>,
        #[command(flatten)]
        page: Page,
    },
    /// Cancel an order, or open units of it.
    Cancel {
        /// Which, a UUID.
        order_id: Id,
        /// CUSTOMER_REQUEST (customers) or OPS (operators); by who asks where absent.
        #[arg(long, value_name = "REASON")]
        reason: Option<String>,
        /// Further words.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        text: String,
        /// Only these units, NUMBER=QUANTITY; may be repeated. All that are open where absent.
        #[arg(long, value_name = "LINE")]
        line: Vec<LineUnits>,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Record that a parcel leaves.
    Fulfill {
        /// Which, a UUID.
        order_id: Id,
        /// The parcel's id; minted where absent.
        #[arg(long, value_name = "UUID")]
        shipment: Option<Id>,
        /// Who carries it.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        carrier: String,
        /// The carrier's tracking number.
        #[arg(long, value_name = "NUMBER", default_value = "", hide_default_value = true)]
        tracking: String,
        /// Only these units, NUMBER=QUANTITY; may be repeated. All that are open where absent.
        #[arg(long, value_name = "LINE")]
        line: Vec<LineUnits>,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Show changes as they happen, until interrupted.
    Watch {
        /// Only these orders, UUIDs; all where absent.
        order_ids: Vec<Id>,
        /// Only orders of this customer.
        #[arg(long, value_name = "UUID")]
        customer: Option<Id>,
        /// Begin after this place of the journal; may be repeated, once per shard.
        #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
        after: Vec<Place>,
        /// Begin at the first event of every shard that --after does not name.
        #[arg(long)]
        from_beginning: bool,
    },
    /// Show what happened to an order, with causes.
    History {
        /// Which, a UUID.
        order_id: Id,
    },
    /// Show what differs between two versions of an order.
    Diff {
        /// Which, a UUID.
        order_id: Id,
        /// From this version; 0 is before it was placed.
        #[arg(long, value_name = "N", default_value_t = 0)]
        from: u64,
        /// To this version; 0 is the newest.
        #[arg(long, value_name = "N", default_value_t = 0)]
        to: u64,
    },
}

/// Flags of `ordinal order place`.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Take everything from this JSON file, a PlaceOrderRequest by its proto; - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "by_flags")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub order: PlaceFlags,
    #[command(flatten)]
    pub options: CommandOptions,
}

/// An order by flags; none of them goes with a file.
#[derive(Debug, Args)]
#[group(id = "by_flags", multiple = true)]
pub struct PlaceFlags {
    /// The id it is to have; minted where absent.
    #[arg(long, value_name = "UUID")]
    pub id: Option<Id>,
    /// For this customer; for the caller where a customer asks.
    #[arg(long, value_name = "UUID")]
    pub customer: Option<Id>,
    /// A line, SKU=QUANTITY@PRICE such as MUG=2@19.99GBP; may be repeated.
    #[arg(long, value_name = "LINE", required_unless_present = "file")]
    pub line: Vec<OrderLine>,
    /// Street and number.
    #[arg(long, value_name = "TEXT", required_unless_present = "file")]
    pub street: Option<String>,
    /// City.
    #[arg(long, value_name = "TEXT", required_unless_present = "file")]
    pub city: Option<String>,
    /// Postal code, where the country has them.
    #[arg(long, value_name = "TEXT")]
    pub postal_code: Option<String>,
    /// Country by two letters (ISO 3166-1), such as GB.
    #[arg(long, value_name = "CODE", required_unless_present = "file")]
    pub country: Option<String>,
    /// E-mail address of the customer.
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Phone number of the customer (E.164).
    #[arg(long, value_name = "NUMBER")]
    pub phone: Option<String>,
    /// Language of messages, such as en-GB.
    #[arg(long, value_name = "LOCALE")]
    pub locale: Option<String>,
    /// When it was ordered by your own account (RFC 3339); decides nothing.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub ordered_at: Option<String>,
}

/// `ordinal return …`
#[derive(Debug, Subcommand)]
pub enum ReturnVerb {
    /// List the returns that wait to be judged, with units, value and reason; within a page the one
    /// to be judged first comes first.
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Ask for delivered units to be taken back.
    Request {
        /// Of which order, a UUID.
        order_id: Id,
        /// These units, NUMBER=QUANTITY; may be repeated.
        #[arg(long, value_name = "LINE", required = true)]
        line: Vec<LineUnits>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The id the return is to have; minted where absent.
        #[arg(long, value_name = "UUID")]
        return_id: Option<Id>,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Take the units of the waiting return back and promise a refund.
    Approve {
        /// Of which order, a UUID.
        order_id: Id,
        /// Which return; the one that waits where absent.
        #[arg(long, value_name = "UUID")]
        return_id: Option<Id>,
        /// What becomes of a line's units, NUMBER=RESTOCK (as where absent) or NUMBER=WRITE_OFF;
        /// may be repeated.
        #[arg(long, value_name = "LINE")]
        line: Vec<LineDisposition>,
        /// Pay this back, such as 19.99GBP; the value of the units where absent.
        #[arg(long, value_name = "AMOUNT")]
        refund: Option<Amount>,
        /// Why more is paid back than the units' value.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        refund_reason: String,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Leave the units of the waiting return with the customer.
    Reject {
        /// Of which order, a UUID.
        order_id: Id,
        /// Which return; the one that waits where absent.
        #[arg(long, value_name = "UUID")]
        return_id: Option<Id>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        options: CommandOptions,
    },
}

/// `ordinal events …`
#[derive(Debug, Subcommand)]
pub enum EventsVerb {
    /// Show events as they happen, until interrupted.
    Tail {
        /// Begin after this place; may be repeated, once per shard. Now where absent.
        #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
        after: Vec<Place>,
    },
    /// Show the events that are in the journal, in order within each shard.
    Replay {
        /// Begin after this place; may be repeated, once per shard.
        #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
        after: Vec<Place>,
        /// Only the shards that --after names.
        #[arg(long)]
        only_named: bool,
        /// At most so many; 0 for all.
        #[arg(long, value_name = "N", default_value_t = 0)]
        limit: u64,
        /// Take what has left the journal from the files in this directory, where the engine has
        /// none; see `ordinal journal archive`.
        #[arg(long, value_name = "DIR")]
        archive: Option<PathBuf>,
    },
}
