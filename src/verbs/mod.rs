//! The command line: every verb is an ordinary gRPC client of an engine, or starts a tool. No
//! module imports a verb.
//!
//! Never here: rules about orders.

pub mod access; // who may call each method, for docs/access.md
mod archive; // moves old events from the journal's table to files
mod args; // the verbs and their flags
mod backup; // copies the SQLite files of an engine
mod config; // combines arguments, environment and files
mod groups; // groups of verbs in the help; which verbs call an engine
mod health; // whether a process can serve
mod journal; // the journal's history and databases
mod ledger; // accounts, entries, holds of money
mod lookup; // what an identifier belongs to
mod migrate; // migrates tables
pub mod openapi; // the document of the REST routes
mod operations; // followers, dead letters, read models, quarantine
mod orders; // orders, returns and events
mod overview; // what there is and what waits
mod payment; // attempts, payments, operations at providers
mod payout; // payouts to sellers
mod psp; // a simulator of payment providers
pub mod reasons; // all stable reasons, for docs/reasons.md
mod replay; // webhook calls again
mod run; // runs a verb
mod serve; // runs an engine until it is stopped
mod settings; // shows and checks the settings of serve
mod settlement; // reports of what providers paid out
mod status; // an overview for operators
mod stock; // products and messages
mod tls; // certificates of an authority of one's own
mod token; // keys and tokens of an issuer of one's own
mod top; // what processes do now, in the terminal
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has time and ids of its own")]
mod toy; // tests with a fourth service
mod unused; // flags of clients without effect beside others
mod usage; // error texts for an invalid command line
mod variables; // variables that are no settings
mod wallet; // wallets of customers

pub use run::run;
