use clap::{Args, Subcommand};

use super::EntryArgs;
use crate::client::parse::{Amount, Id};

/// `ordinal wallet …`
#[derive(Debug, Subcommand)]
pub enum WalletVerb {
    /// Show what is in a customer's wallet.
    Show {
        /// The customer.
        customer_id: Id,
    },
    /// Put an amount that the shop has received into a wallet.
    TopUp {
        /// The customer.
        customer_id: Id,
        /// How much, such as 10.00GBP.
        amount: Amount,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        entry: EntryArgs,
    },
    /// Put a wallet right, at the shop's own cost.
    Correct {
        /// The customer.
        customer_id: Id,
        #[command(flatten)]
        by: CorrectBy,
        /// Only show what would happen.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        entry: EntryArgs,
    },
    /// Show a wallet as it is, and after each change.
    Watch {
        /// The customer.
        customer_id: Id,
    },
}

/// By how much a wallet is corrected.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct CorrectBy {
    /// Put so much into it, such as 5.00GBP.
    #[arg(long, value_name = "AMOUNT")]
    pub add: Option<Amount>,
    /// Take so much from it.
    #[arg(long, value_name = "AMOUNT")]
    pub take: Option<Amount>,
}
