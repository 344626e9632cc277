//! The verbs and their flags.

mod operations; // followers, dead letters, read models, shards, timers
mod orders; // orders, returns, events
mod stock; // stock and messages

pub use operations::{
    DeadLetterVerb, FollowerVerb, OperationsVerb, ReadModelVerb, ShardsVerb, TimersVerb,
};
pub use orders::{CommandOptions, EventsVerb, OrderVerb, PlaceArgs, ReturnVerb};
pub use stock::{NotificationVerb, StockVerb};

use clap::{Args, Parser, Subcommand};

use crate::client::Connection;

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
    Journal(crate::verbs::journal::JournalVerb),
    /// What operators did: who, what, why, and how it was before and after.
    #[command(subcommand)]
    Operations(OperationsVerb),
    /// Timers that wait because a clock was far from the newest event at the start.
    #[command(subcommand)]
    Timers(TimersVerb),
    /// Orders whose history is impossible; they accept no command.
    Quarantined,
    /// Run an engine.
    Serve(Box<crate::verbs::serve::ServeArgs>),
    /// Bring the tables of a role up to date, before its processes start or beside them.
    Migrate(crate::verbs::migrate::MigrateArgs),
    /// Copy the SQLite files of an engine while it works, so that they can be started together; see
    /// docs/operations.md. Postgres is copied by its own tools.
    Backup(crate::verbs::backup::BackupArgs),
    /// Ask a process whether it can serve, and if not why: exit code 0 where it does, 3 where not.
    Health {
        /// Ask of this part of it: `liveness`, or a gRPC service by its full name; the process as a
        /// whole where absent.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        service: String,
    },
    /// Run three roles and two order nodes here, with a Postgres and a Redis of their own.
    #[command(subcommand)]
    Cluster(crate::lab::cluster::ClusterVerb),
    /// Run such a cluster, let everything go wrong under load, and check that nothing was lost or
    /// done twice.
    Chaos(crate::lab::chaos::ChaosArgs),
    /// Drive an engine with the invoices of a CSV file, through gRPC.
    Load(crate::lab::load::LoadArgs),
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

/// Why something is done, where that need not be said.
#[derive(Debug, Args)]
pub struct Why {
    /// Why; it is kept.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
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
}
