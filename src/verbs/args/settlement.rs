use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Page, Why};
use crate::client::parse::Id;

/// `ordinal settlement …`
#[derive(Debug, Subcommand)]
pub enum SettlementVerb {
    /// Import a provider's report of what it paid out: a CSV file (docs/settlement.md).
    Import {
        /// The provider.
        #[arg(long, value_name = "NAME")]
        psp: String,
        /// The file.
        file: PathBuf,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
    },
    /// List reports that were imported, the newest first.
    List {
        /// Only of this provider.
        #[arg(long, value_name = "NAME")]
        psp: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a report that was imported.
    Show {
        /// Its id.
        settlement_id: Id,
    },
    /// List lines of reports.
    Lines {
        /// Only of this provider.
        #[arg(long, value_name = "NAME")]
        psp: Option<String>,
        /// Only those that were new in this report.
        #[arg(long, value_name = "UUID")]
        settlement: Option<Id>,
        /// Only those that stand so: matched, discrepancy, unknown or written_off.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// List captures and refunds that no report has named.
    Missing {
        /// Only of this provider.
        #[arg(long, value_name = "NAME")]
        psp: Option<String>,
        /// Only what was done so many days ago or longer.
        #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        #[command(flatten)]
        page: Page,
    },
    /// Say what a line is for of which nobody knew.
    Resolve {
        /// The provider.
        psp: String,
        /// The provider's name of the line.
        line_id: String,
        #[command(flatten)]
        what: LineIsFor,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        why: Why,
    },
}

/// What a line is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct LineIsFor {
    /// The operation with this id, or that the provider calls so.
    #[arg(long, value_name = "REFERENCE")]
    pub to: Option<String>,
    /// Nothing that the shop knows: its amount is written off.
    #[arg(long)]
    pub write_off: bool,
}
