//! The ledger: double entry in one append-only book.
//!
//! [`domain`] is pure; [`SqlBook`] books what waits in batches, [`store`] reads what was booked.

mod audit; // whether the book is as its laws say
mod batch; // how every batch begins
mod book; // port: a book
pub mod domain;
mod follower; // facts of payments → entries
pub mod grpc;
mod meter; // counts requests
mod parts; // the legs of an entry, while they are collected
pub mod posting; // what a fact of payments is in the book
mod request; // what is asked of the book
mod service; // the parts put together
mod settling; // what a line of a settlement report is in the book
pub mod store;
mod tail; // which wallets were touched, for whoever watches one
mod writer; // the book in a database: a queue and one transaction per batch

pub use audit::{BookAudit, BookFinding, BookLaw, FINDINGS_MAX, audit};
pub use book::{Book, BookError, Posted};
pub use follower::{ASKED_BY_PAYMENTS, PaymentFollower};
pub use service::{Ledger, migrator};
pub use writer::{QUEUE_MAX, SqlBook};
