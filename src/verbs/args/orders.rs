use clap::{Args, Subcommand};

use super::{CorrectArgs, EditArgs, HoldArgs, Page, ParcelVerb, PlaceArgs, ReleaseArgs, RestockAt};
use crate::client::order_name::OrderName;
use crate::client::parse::{Amount, Id, KeyValue, LineDisposition, LineUnits, Place, instant};
use crate::client::prices::ChargeRefund;
use crate::client::returns::LineOutcome;

/// Options of all commands to orders.
#[derive(Debug, Args)]
pub struct CommandOptions {
    /// A UUID that identifies retries of the same request.
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<Id>,
    /// Refuse unless the order has this version.
    #[arg(long, value_name = "N")]
    pub expected_version: Option<u64>,
    /// Only show what would happen.
    #[arg(long)]
    pub validate_only: bool,
}

/// `ordinal order …`
#[derive(Debug, Subcommand)]
pub enum OrderVerb {
    /// Place an order, from flags or a file.
    Place(Box<PlaceArgs>),
    /// Show an order, now or in the past.
    Get {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
        /// As of this version.
        #[arg(long, value_name = "N", conflicts_with = "as_of_time")]
        as_of_version: Option<u64>,
        /// As of this time (RFC 3339, or a date for its start in UTC).
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
        #[command(flatten)]
        named: Box<ListedBy>,
        /// Sort by the time of placing or of the last change: PLACED_DESC (the default),
        /// PLACED_ASC, UPDATED_DESC or UPDATED_ASC.
        #[arg(long, value_name = "SORT")]
        sort: Option<String>,
        /// Wait until the list includes this place in the journal.
        #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
        at_least: Option<Place>,
        #[command(flatten)]
        page: Page,
    },
    /// Cancel an order, or open units of it.
    Cancel {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
        /// CUSTOMER_REQUEST (customers) or OPS (operators); by default according to the caller.
        #[arg(long, value_name = "REASON")]
        reason: Option<String>,
        /// A note.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        text: String,
        /// Only these units, NUMBER=QUANTITY; may be repeated. By default all open units.
        #[arg(long, value_name = "LINE")]
        line: Vec<LineUnits>,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Record that a parcel was shipped.
    Fulfill {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
        /// The parcel's id; by default derived from --reference, or else generated.
        #[arg(long, value_name = "UUID")]
        shipment: Option<Id>,
        /// The warehouse's own id of the parcel.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reference: String,
        /// The carrier.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        carrier: String,
        /// The carrier's tracking number.
        #[arg(long, value_name = "NUMBER", default_value = "", hide_default_value = true)]
        tracking: String,
        /// The location of stock that it leaves; by default the one that stock has chosen.
        #[arg(long, value_name = "NAME")]
        location: Option<String>,
        /// Only these units, NUMBER=QUANTITY; may be repeated. By default all open units.
        #[arg(long, value_name = "LINE")]
        line: Vec<LineUnits>,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Hold an order: it does not ship until the hold is released.
    Hold(HoldArgs),
    /// Release a hold of an order.
    Release(ReleaseArgs),
    /// Correct contact or addresses, until the last parcel has left.
    Correct(Box<CorrectArgs>),
    /// Change the lines of an order before its first parcel.
    Edit(Box<EditArgs>),
    /// Show parcels and record what becomes of them.
    #[command(subcommand)]
    Parcel(ParcelVerb),
    /// Write a note on an order; only services and operators see it unless it is public.
    Note {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
        /// The text.
        #[arg(long, value_name = "TEXT")]
        text: String,
        /// Let the customer see it.
        #[arg(long)]
        public: bool,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Show changes as they happen, until interrupted.
    Watch {
        /// Only these orders, named as in `order get`; by default all.
        #[arg(value_name = "ORDER")]
        order_ids: Vec<OrderName>,
        /// Only orders of this customer.
        #[arg(long, value_name = "UUID")]
        customer: Option<Id>,
        /// Begin after this place in the journal; may be repeated, once per shard.
        #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
        after: Vec<Place>,
        /// Begin at the first event of every shard that --after does not name.
        #[arg(long)]
        from_beginning: bool,
    },
    /// Show an order's events, with causes.
    History {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
    },
    /// Show the differences between two versions of an order.
    Diff {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
        /// From this version; 0 is before it was placed.
        #[arg(long, value_name = "N", default_value_t = 0)]
        from: u64,
        /// To this version; 0 is the newest.
        #[arg(long, value_name = "N", default_value_t = 0)]
        to: u64,
    },
}

/// What `ordinal order list` finds orders by, besides times, customer and status.
#[derive(Debug, Args)]
pub struct ListedBy {
    /// With this number.
    #[arg(long, value_name = "NUMBER", default_value = "", hide_default_value = true)]
    pub number: String,
    /// With this id in the client's own system.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub external_id: String,
    /// Of this shop.
    #[arg(long, value_name = "SHOP", default_value = "", hide_default_value = true)]
    pub shop: String,
    /// With this tag.
    #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
    pub tag: String,
    /// With a parcel that has this id of the warehouse's own.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub shipment_reference: String,
    /// With a return that has this id of the warehouse's own.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub return_reference: String,
    /// With a parcel that has this tracking number.
    #[arg(long, value_name = "NUMBER", default_value = "", hide_default_value = true)]
    pub tracking: String,
    /// With a line of this product; needs `serve --search-by sku`.
    #[arg(long, value_name = "SKU", default_value = "", hide_default_value = true)]
    pub sku: String,
    /// Of customers with this e-mail address; needs `serve --search-by email`.
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub email: String,
    /// With this value under this key of its metadata.
    #[arg(long, value_name = "KEY=VALUE")]
    pub metadata: Option<KeyValue>,
    /// That are held.
    #[arg(long)]
    pub held: bool,
    /// With a payment plan and this state of its money, such as AWAITED; may be repeated.
    #[arg(long, value_name = "STATE")]
    pub payment: Vec<String>,
}

/// Which return of an order; by default the only one that waits.
#[derive(Debug, Args)]
pub struct ReturnName {
    /// The return's id; by default the only one that waits.
    #[arg(long, value_name = "UUID")]
    pub return_id: Option<Id>,
    /// The return by the warehouse's own id.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reference: String,
}

/// What becomes of the units of a return.
#[derive(Debug, Args)]
pub struct Outcomes {
    /// Units of a line, NUMBER=QUANTITY:OUTCOME, where OUTCOME is RESTOCK, WRITE_OFF, NOT_ARRIVED
    /// or REJECTED; may be repeated, also for one line. Lines that are not named are restocked.
    #[arg(long, value_name = "UNITS")]
    pub outcome: Vec<LineOutcome>,
    /// Why units are rejected.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub rejected_reason: String,
}

/// Which returns to list.
#[derive(Debug, Args)]
pub struct ReturnsArgs {
    /// With this state: REQUESTED, APPROVED, RECEIVED or REJECTED; may be repeated. By default
    /// those that wait, REQUESTED and APPROVED.
    #[arg(long, value_name = "STATE")]
    pub state: Vec<String>,
    /// Of this customer.
    #[arg(long, value_name = "UUID")]
    pub customer: Option<Id>,
    /// Requested at this time or later (RFC 3339, or a date).
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub requested_from: Option<String>,
    /// Requested before this time (RFC 3339, or a date).
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub requested_until: Option<String>,
    /// Sort by when they are to be judged or were requested: JUDGE_BY_ASC (the default),
    /// REQUESTED_ASC (the default with --requested-from or --requested-until) or REQUESTED_DESC.
    #[arg(long, value_name = "SORT")]
    pub sort: Option<String>,
    /// Wait until the list includes this place in the journal.
    #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
    pub at_least: Option<Place>,
    #[command(flatten)]
    pub page: Page,
}

/// `ordinal return …`
#[derive(Debug, Subcommand)]
pub enum ReturnVerb {
    /// List returns with state, units and value: by default those that wait, to be judged first.
    List(Box<ReturnsArgs>),
    /// Request a return of delivered units.
    Request {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
        /// These units, NUMBER=QUANTITY; may be repeated.
        #[arg(long, value_name = "LINE", required = true)]
        line: Vec<LineUnits>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The return's id; by default derived from its reference, or generated.
        #[arg(long, value_name = "UUID")]
        return_id: Option<Id>,
        /// The warehouse's own id of the return, such as an RMA number.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reference: String,
        /// The order that replaces what is sent back.
        #[arg(long, value_name = "UUID")]
        exchange_order: Option<Id>,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Accept a pending return and its refund.
    Approve {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
        #[command(flatten)]
        named: ReturnName,
        /// Accept it only; stock and refund follow when it is received.
        #[arg(long)]
        receive_later: bool,
        /// The goods are here, also where the engine has --receive-returns-later.
        #[arg(long, conflicts_with = "receive_later")]
        receive_at_once: bool,
        #[command(flatten)]
        outcomes: Outcomes,
        /// The disposition of a line's units, NUMBER=RESTOCK (the default) or NUMBER=WRITE_OFF; may
        /// be repeated.
        #[arg(long, value_name = "LINE")]
        line: Vec<LineDisposition>,
        /// Refund this amount, such as 19.99GBP; by default the value of the units and the charges
        /// that are named.
        #[arg(long, value_name = "AMOUNT")]
        refund: Option<Amount>,
        /// What of the refund is for a charge such as the shipping, NUMBER=AMOUNT; may be repeated.
        #[arg(long, value_name = "CHARGE")]
        charge: Vec<ChargeRefund>,
        /// Why more is refunded than the units' value.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        refund_reason: String,
        #[command(flatten)]
        restock: RestockAt,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Receive the goods of an accepted return; its refund follows.
    Receive {
        /// The order's id, a UUID.
        order_id: Id,
        #[command(flatten)]
        named: ReturnName,
        #[command(flatten)]
        outcomes: Outcomes,
        #[command(flatten)]
        restock: RestockAt,
        #[command(flatten)]
        options: CommandOptions,
    },
    /// Reject a pending return, also one that was accepted and not received.
    Reject {
        /// The order: its id or number, or external:ID or external:SHOP:ID.
        #[arg(value_name = "ORDER")]
        order_id: OrderName,
        #[command(flatten)]
        named: ReturnName,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        options: CommandOptions,
    },
}
