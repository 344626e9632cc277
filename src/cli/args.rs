//! The verbs and their flags.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use uuid::Uuid;

use super::parse::{Amount, Id, LineDisposition, LineUnits, OrderLine, Place, instant, timeout};
use crate::address::Address;

/// Ordinal, an actor-based, event-sourced order engine.
///
/// `ordinal demo` shows everything, `ordinal serve` runs an engine, the other verbs ask a running
/// one. Exit codes: 0 done, 1 refused or found wrong, 2 the command or its input makes no sense,
/// 3 no engine answers. docs/reasons.md says what the reason of an error means and what to do.
#[derive(Debug, Parser)]
#[command(name = "ordinal", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten, next_help_heading = "Asking an engine")]
    pub connection: Connection,
    /// Answer with JSON, one value per line, errors too.
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

/// How an engine is reached, and as whom.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// Ask the engine at this address, HOST:PORT or http://HOST:PORT [default: 127.0.0.1:7400].
    #[arg(long, global = true, value_name = "ADDRESS", env = "ORDINAL_ADDRESS", value_parser = Address::normal)]
    pub address: Option<String>,
    /// Ask as this caller, ROLE:SUBJECT: ops:anna, service:shop or customer:UUID. Believed only by
    /// an engine without tokens [default: ops:developer].
    #[arg(long = "as", global = true, value_name = "CALLER", env = "ORDINAL_AS")]
    pub caller: Option<Caller>,
    /// Prove who asks by this bearer token.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "ORDINAL_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Wait so long for an answer, at most 30s.
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s", value_parser = timeout)]
    pub timeout: Duration,
}

impl Connection {
    /// To this address as this caller.
    #[must_use]
    pub fn new(address: String, caller: Caller) -> Self {
        let timeout = Duration::from_secs(5);
        Self { address: Some(address), caller: Some(caller), token: None, timeout }
    }

    /// Where the engine is.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone().unwrap_or_else(|| "http://127.0.0.1:7400".to_owned())
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `customer`, `service` or `ops`.
    pub role: String,
    /// A customer id, or a name.
    pub subject: String,
}

impl FromStr for Caller {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, subject) = text.split_once(':').ok_or("is ROLE:SUBJECT, such as ops:anna")?;
        match role {
            "customer" if Uuid::try_parse(subject).is_err() => {
                Err("the subject of a customer is a UUID".to_owned())
            }
            "service" | "ops" if subject.is_empty() => Err("the subject is missing".to_owned()),
            "customer" | "service" | "ops" => {
                Ok(Self { role: role.to_owned(), subject: subject.to_owned() })
            }
            _ => Err("the role is customer, service or ops".to_owned()),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Place, see and change orders.
    #[command(subcommand)]
    Order(OrderVerb),
    /// Request and judge returns.
    #[command(subcommand)]
    Return(ReturnVerb),
    /// See and change stock.
    #[command(subcommand)]
    Stock(StockVerb),
    /// See messages to customers and send them again.
    #[command(subcommand)]
    Notification(NotificationVerb),
    /// Read the journal of all orders.
    #[command(subcommand)]
    Events(EventsVerb),
    /// What followers set aside because they could not handle it.
    #[command(subcommand)]
    DeadLetter(DeadLetterVerb),
    /// Who follows the journal, how far behind, and what fails.
    Followers,
    /// Pause a follower, or let it go on.
    #[command(subcommand)]
    Follower(FollowerVerb),
    /// Read models, which can be filled anew from the journal.
    #[command(subcommand)]
    ReadModel(ReadModelVerb),
    /// The parts of the journal, and which order node has them.
    #[command(subcommand)]
    Shards(ShardsVerb),
    /// The databases of a journal: what each holds, shards moved from one to another, and what is old
    /// moved to files.
    #[command(subcommand)]
    Journal(crate::journal::JournalVerb),
    /// What operators did: who, what, why, and how it was before and after.
    #[command(subcommand)]
    Operations(OperationsVerb),
    /// Timers that wait because a clock was far from the newest event at the start.
    #[command(subcommand)]
    Timers(TimersVerb),
    /// Orders whose history is impossible; they accept no command.
    Quarantined,
    /// Run an engine.
    Serve(Box<crate::serve::ServeArgs>),
    /// Bring the tables of a role up to date, before its processes start or beside them.
    Migrate(crate::upkeep::MigrateArgs),
    /// Copy the SQLite files of an engine while it works, so that they can be started together; see
    /// docs/operations.md. Postgres is copied by its own tools.
    Backup(crate::backup::BackupArgs),
    /// Ask a process whether it can serve, and if not why: exit code 0 where it does, 3 where not.
    Health {
        /// Ask of this part of it: `liveness`, or a gRPC service by its full name; the process as a
        /// whole where absent.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        service: String,
    },
    /// Run three roles and two order nodes here, with a Postgres and a Redis of their own.
    #[command(subcommand)]
    Cluster(crate::cluster::ClusterVerb),
    /// Run such a cluster, let everything go wrong under load, and check that nothing was lost or
    /// done twice.
    Chaos(crate::chaos::ChaosArgs),
    /// Drive an engine with the invoices of a CSV file, through gRPC.
    Load(crate::load::LoadArgs),
    /// Replay the whole journal and check every law over all that follows it.
    Verify(crate::verify::VerifyArgs),
    /// Walk orders through every ending on a temporary engine.
    Demo,
    /// What an operator looks at first: whether the engine serves, who is how far behind, what was set
    /// aside. Exit code 3 where it does not serve.
    Status,
    /// Print the version.
    Version,
    /// Print the completions of a shell.
    Completions {
        /// For this shell.
        shell: clap_complete::Shell,
    },
}

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

/// One page of a list.
#[derive(Debug, Args)]
pub struct Page {
    /// At most so many, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub page_size: u32,
    /// Go on where the page before ended, by the token it showed.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    pub page_token: String,
    /// Show all pages, one after the other.
    #[arg(long, conflicts_with = "page_size")]
    pub all: bool,
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

/// `ordinal dead-letter …`
#[derive(Debug, Subcommand)]
pub enum DeadLetterVerb {
    /// List dead letters.
    List {
        /// Of this follower; of all where absent.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        follower: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show a follower's dead letters of one subject with their content (personal data).
    Show {
        /// Whose.
        follower: String,
        /// About what: the UUID that the list shows, such as an order's id.
        subject: Id,
    },
    /// Have a follower try a subject's dead letters again.
    PutBack {
        /// Whose.
        follower: String,
        /// About what: the UUID that the list shows, such as an order's id.
        subject: Id,
        #[command(flatten)]
        why: Why,
    },
    /// Drop a subject's first dead letter for good; those behind it are tried.
    Drop {
        /// Whose.
        follower: String,
        /// About what: the UUID that the list shows, such as an order's id.
        subject: Id,
        /// Why; it is kept, see `ordinal operations list`.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// `ordinal read-model …`
#[derive(Debug, Subcommand)]
pub enum ReadModelVerb {
    /// Build a read model again from the first event on, beside the one in use, and replace that one.
    /// It goes on where this command is ended or its --timeout is over.
    Rebuild {
        /// order-summaries or deadlines.
        name: String,
        #[command(flatten)]
        why: Why,
    },
}

/// `ordinal follower …`
#[derive(Debug, Subcommand)]
pub enum FollowerVerb {
    /// Have it handle nothing more until it is resumed.
    Pause {
        /// Which, by name; see `ordinal followers`.
        name: String,
        /// Why; operators see it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let it go on where it was.
    Resume {
        /// Which, by name.
        name: String,
        #[command(flatten)]
        why: Why,
    },
}

/// `ordinal shards …`
#[derive(Debug, Subcommand)]
pub enum ShardsVerb {
    /// List the shards and the order nodes that have them.
    List,
    /// Have a shard moved to an order node, for as long as that lives.
    Move {
        /// Which, by number.
        shard: u16,
        /// To the node of this name; any may have it again where absent.
        node: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Close a shard to everybody: its orders accept no command and are not shown.
    Freeze {
        /// Which, by number.
        shard: u16,
        /// Why; callers and operators see it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Open a frozen shard.
    Unfreeze {
        /// Which, by number.
        shard: u16,
        #[command(flatten)]
        why: Why,
    },
}

/// `ordinal operations …`
#[derive(Debug, Subcommand)]
pub enum OperationsVerb {
    /// List what operators did, newest first.
    List {
        /// Only to this kind of thing: FOLLOWER, DEAD_LETTER, READ_MODEL, SHARD, JOURNAL, TIMERS,
        /// STOCK or NOTIFICATION.
        #[arg(long, value_name = "KIND", default_value = "", hide_default_value = true)]
        kind: String,
        /// Only to this one, such as a follower or a product.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        target: String,
        /// Only by whoever has this name.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        subject: String,
        #[command(flatten)]
        page: Page,
    },
}

/// Why something is done, where that need not be said.
#[derive(Debug, Args)]
pub struct Why {
    /// Why; it is kept.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// `ordinal timers …`
#[derive(Debug, Subcommand)]
pub enum TimersVerb {
    /// Let the timers of all order nodes act on their clocks as they are.
    Resume {
        /// Why; it is kept, see `ordinal operations list`.
        #[arg(long)]
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_verbs_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_and_verb_has_its_line_of_help() {
        fn check(command: &clap::Command, path: &str) {
            for argument in command.get_arguments() {
                let id = argument.get_id();
                assert!(argument.get_help().is_some() || id == "help", "{path} {id}");
            }
            for verb in command.get_subcommands() {
                let path = format!("{path} {}", verb.get_name());
                assert!(verb.get_about().is_some(), "{path}");
                check(verb, &path);
            }
        }
        check(&Cli::command(), "ordinal");
    }

    #[test]
    fn a_caller_is_a_role_and_a_subject() {
        assert!("ops:anna".parse::<Caller>().is_ok());
        assert!("customer:018f6f3e-0000-7000-8000-000000000001".parse::<Caller>().is_ok());
        for wrong in ["ops", "ops:", "customer:anna", "engine:stock", ""] {
            assert!(wrong.parse::<Caller>().is_err(), "{wrong}");
        }
    }
}
