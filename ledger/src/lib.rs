//! The ledger: double entry in one append-only book. So far its rules, which are pure ([`domain`]).

pub mod domain;
