use clap::Subcommand;

use super::{Page, Why};
use crate::client::parse::Id;

/// `ordinal dead-letter …`
#[derive(Debug, Subcommand)]
pub enum DeadLetterVerb {
    /// List dead letters.
    List {
        /// Of this follower; by default of all.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        follower: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show a follower's dead letters about one subject with their content (personal data).
    Show {
        /// The follower.
        follower: String,
        /// The subject: the UUID that the list shows, such as an order's id.
        subject: Id,
    },
    /// Let a follower retry its dead letters about a subject.
    PutBack {
        /// The follower.
        follower: String,
        /// The subject: the UUID that the list shows, such as an order's id.
        subject: Id,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Drop the first dead letter about a subject permanently; those behind it are retried.
    Drop {
        /// The follower.
        follower: String,
        /// The subject: the UUID that the list shows, such as an order's id.
        subject: Id,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        /// Why; it is recorded, see `ordinal operations list`.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// `ordinal read-model …`
#[derive(Debug, Subcommand)]
pub enum ReadModelVerb {
    /// Rebuild a read model from the first event, beside the one in use, then replace that one. The
    /// rebuild continues if this command is ended or its --timeout passes.
    Rebuild {
        /// order-summaries, order-returns, order-identifiers or deadlines.
        name: String,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        why: Why,
    },
}

/// `ordinal follower …`
#[derive(Debug, Subcommand)]
pub enum FollowerVerb {
    /// Pause a follower until it is resumed.
    Pause {
        /// The follower's name; see `ordinal followers`.
        name: String,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        /// Why; operators see it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Resume a follower at its cursor.
    Resume {
        /// The follower's name.
        name: String,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        why: Why,
    },
}

/// `ordinal shards …`
#[derive(Debug, Subcommand)]
pub enum ShardsVerb {
    /// List the shards and their owners.
    List,
    /// Move a shard to an order node, for as long as that node lives.
    Move {
        /// The shard's number.
        shard: u16,
        /// The node's name; by default any node may own the shard again.
        node: Option<String>,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Close a shard to all callers: its orders accept no commands and are not shown.
    Freeze {
        /// The shard's number.
        shard: u16,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        /// Why; callers and operators see it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Open a frozen shard.
    Unfreeze {
        /// The shard's number.
        shard: u16,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        why: Why,
    },
}

/// `ordinal operations …`
#[derive(Debug, Subcommand)]
pub enum OperationsVerb {
    /// List operators' actions, newest first.
    List {
        /// Only on this kind of target: FOLLOWER, DEAD_LETTER, READ_MODEL, SHARD, JOURNAL, TIMERS,
        /// STOCK, NOTIFICATION, WEBHOOK, LEDGER, PAYMENT or TOKEN.
        #[arg(long, value_name = "KIND", default_value = "", hide_default_value = true)]
        kind: String,
        /// Only on this target, such as a follower or a product.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        target: String,
        /// Only by the operator of this name.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        subject: String,
        #[command(flatten)]
        page: Page,
    },
}

/// `ordinal timers …`
#[derive(Debug, Subcommand)]
pub enum TimersVerb {
    /// Let the timers of all order nodes trust their clocks.
    Resume {
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        /// Why; it is recorded, see `ordinal operations list`.
        #[arg(long)]
        reason: String,
    },
}
