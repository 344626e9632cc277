//! The verbs and their flags.

mod corrections; // holds, corrections and parcels
mod edits; // lines of an order
mod events; // the log of events
mod ledger; // accounts, entries, holds
mod operations; // followers, dead letters, read models, shards, timers
mod orders; // orders, returns, events
mod payment; // attempts, payments, operations
mod payout; // payouts to sellers
mod place; // a new order
mod settlement; // reports of what providers paid out
mod stock; // stock and messages
mod wallet; // wallets of customers

pub use corrections::{CorrectArgs, CorrectedFields, HoldArgs, ParcelVerb, ReleaseArgs};
pub use edits::EditArgs;
pub use events::EventsVerb;
pub use ledger::{EntryArgs, LedgerVerb};
pub use operations::{
    DeadLetterVerb, FollowerVerb, OperationsVerb, ReadModelVerb, ShardsVerb, TimersVerb,
};
pub use orders::{
    CommandOptions, ListedBy, OrderVerb, Outcomes, ReturnName, ReturnVerb, ReturnsArgs,
};
pub use payment::PaymentVerb;
pub use payout::PayoutVerb;
pub use place::{ContactFlags, PlaceArgs};
pub use settlement::SettlementVerb;
pub use stock::{LocationVerb, NotificationVerb, ReplayArgs, RestockAt, StockVerb};
pub use wallet::{CorrectBy, WalletVerb};

use clap::{Args, Parser, Subcommand};

use crate::client::Connection;

/// Ordinal, an actor-based, event-sourced order engine.
///
/// `ordinal demo` shows everything, `ordinal serve` runs an engine, most other verbs call a running
/// one. Exit codes: 0 done, 1 refused or differences found, 2 the command or its input is invalid,
/// 3 no engine answers. docs/reasons.md explains the reasons of errors.
#[derive(Debug, Parser)]
#[command(name = "ordinal", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten, next_help_heading = "Calling an engine")]
    pub connection: Connection,
    /// Print JSON, one value per line, also for errors.
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Place, show and change orders.
    #[command(subcommand)]
    Order(OrderVerb),
    /// Request and judge returns.
    #[command(subcommand)]
    Return(ReturnVerb),
    /// Show and change stock.
    #[command(subcommand)]
    Stock(StockVerb),
    /// Show messages to customers and resend them.
    #[command(subcommand)]
    Notification(NotificationVerb),
    /// Show and book money: accounts, entries, holds.
    #[command(subcommand)]
    Ledger(LedgerVerb),
    /// Show, fill and watch customers' wallets.
    #[command(subcommand)]
    Wallet(WalletVerb),
    /// Pay orders; show payments and what is done at providers.
    #[command(subcommand)]
    Payment(PaymentVerb),
    /// Pay sellers out, and show what was paid.
    #[command(subcommand)]
    Payout(PayoutVerb),
    /// Import reports of what providers paid out, and show what differs.
    #[command(subcommand)]
    Settlement(SettlementVerb),
    /// Read the journal of all orders.
    #[command(subcommand)]
    Events(EventsVerb),
    /// Dead letters: items that followers could not handle.
    #[command(subcommand)]
    DeadLetter(DeadLetterVerb),
    /// List the followers, with their lag and errors.
    Followers,
    /// Pause or resume a follower.
    #[command(subcommand)]
    Follower(FollowerVerb),
    /// Rebuild read models from the journal.
    #[command(subcommand)]
    ReadModel(ReadModelVerb),
    /// List, move and freeze the shards of the journal.
    #[command(subcommand)]
    Shards(ShardsVerb),
    /// The databases of a journal: show their contents, move shards between them, archive old
    /// events.
    #[command(subcommand)]
    Journal(crate::verbs::journal::JournalVerb),
    /// Operators' actions: who, what, why, before and after.
    #[command(subcommand)]
    Operations(OperationsVerb),
    /// Timers that wait because the clock was far from the newest event at the start.
    #[command(subcommand)]
    Timers(TimersVerb),
    /// List orders with an impossible history; they accept no commands.
    Quarantined,
    /// Run an engine.
    Serve(Box<crate::verbs::serve::ServeArgs>),
    /// Make keys and sign tokens, for shops without an identity provider.
    #[command(subcommand)]
    Token(crate::verbs::token::TokenVerb),
    /// Make an authority and sign certificates, for those without one.
    #[command(subcommand)]
    Tls(crate::verbs::tls::TlsVerb),
    /// Migrate the tables of a role, before its processes start or while they run.
    Migrate(crate::verbs::migrate::MigrateArgs),
    /// Back up the SQLite files of an engine, also while it runs; see docs/operations.md. Back up
    /// Postgres with its own tools.
    Backup(crate::verbs::backup::BackupArgs),
    /// Show whether a process can serve, and if not why: exit code 0 if it can, 3 if not.
    Health {
        /// Check `liveness` or a gRPC service by its full name; by default the process itself.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        service: String,
    },
    /// Run a cluster on this machine: three roles, two order nodes, its own Postgres and Redis.
    #[command(subcommand)]
    Cluster(crate::lab::cluster::ClusterVerb),
    /// Run such a cluster, inject faults under load, and check that nothing was lost or done twice.
    Chaos(crate::lab::chaos::ChaosArgs),
    /// Load the invoices of a CSV file into an engine, through gRPC.
    Load(crate::lab::load::LoadArgs),
    /// Replay the journal and check all data derived from it.
    Verify(crate::verify::VerifyArgs),
    /// Simulate payment providers, in the dialects of Stripe and Razorpay, with faults. It moves no
    /// money.
    Psp(crate::verbs::psp::PspVerb),
    /// Take orders through every outcome on a temporary engine.
    Demo,
    /// Show an overview: whether the engine serves, lag, dead letters. Exit code 3 if it does not
    /// serve.
    Status,
    /// Show what there is and what waits: orders by status, returns, holds, dead letters, lag.
    Overview,
    /// Show what an identifier belongs to: of an order, a parcel, a return, a payment, a message and
    /// more.
    Lookup {
        /// The identifier, such as an id, an order number, a tracking number or a provider's own
        /// name of a payment. E-mail addresses and phone numbers are none.
        id: String,
    },
    /// Show what processes do now, by their metrics: rates, lag, awake orders, shards.
    Top(crate::verbs::top::TopArgs),
    /// Print the version.
    Version,
    /// Print shell completions.
    Completions {
        /// For this shell.
        shell: clap_complete::Shell,
    },
}

/// One page of a list.
#[derive(Debug, Args)]
pub struct Page {
    /// At most this many, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub page_size: u32,
    /// Continue after the previous page, by the token it showed.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    pub page_token: String,
    /// Show all pages.
    #[arg(long, conflicts_with = "page_size")]
    pub all: bool,
}

/// An optional reason.
#[derive(Debug, Args)]
pub struct Why {
    /// Why; it is recorded.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_and_verb_has_a_help_text() {
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
}
