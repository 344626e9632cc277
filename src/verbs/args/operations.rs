use clap::Subcommand;

use super::{Page, Why};
use crate::client::parse::Id;

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
