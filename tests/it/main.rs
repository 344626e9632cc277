//! The complete engine, from outside.
#![allow(clippy::too_many_lines, reason = "a scenario is one function")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and bring time, chance and tasks of their own"
)]

mod access;
mod accounts;
mod aged;
mod alerts;
mod amounts;
mod archive;
mod backorders;
mod backup;
mod book;
mod breaker;
mod browser;
mod calendar;
mod callers;
mod certificates;
mod chaos;
mod circles;
mod cli;
mod clients;
mod collector;
mod commands;
mod corrections;
mod damaged_money;
mod dead_letters;
mod delivery;
mod edge;
mod edits;
mod emptied;
mod exemplars;
mod fake;
mod feed;
mod files;
mod gateway;
mod gateway_callers;
mod golden_journals;
mod health;
mod hidden;
mod history;
mod http;
mod ids;
mod issuer;
mod killed_money;
mod kills;
mod layers;
mod ledger;
mod limits;
mod line; // to a provider, which can be cut
mod listed;
mod live;
mod live_nodes;
mod load;
mod locations;
mod login;
mod logs;
mod lookup;
mod markers;
mod me;
mod messages;
mod metrics;
mod money_cases;
mod money_clock;
mod names;
mod nodes;
mod older_journal; // of a shop, restored by itself
mod openapi;
mod operations;
mod order_files;
mod otlp_grpc;
mod overload;
mod overview;
mod own_authority;
mod paid_load;
mod paid_messages;
mod paid_orders;
mod paid_traces;
mod partly_restored;
mod payment_plans;
mod payments;
mod payouts;
#[path = "../shared/ports.rs"]
mod ports; // that nobody else gets
mod prometheus;
mod psp;
mod readme;
mod reasons;
mod rebuild;
mod refusal_format;
mod refusals;
mod rest;
mod rest_guard;
mod return_lists;
mod returns;
mod roles;
mod routes;
mod security;
mod server;
mod set_back_orders;
mod settlements; // what providers paid out, by their reports
mod shop;
mod shown;
mod smtp;
mod socket;
mod spread;
mod stock;
mod stories;
mod support;
mod tls;
mod tls_clients;
mod tls_peers;
mod tokens;
mod tokens_issued;
mod told_orders;
mod trace_states;
mod traces;
mod usage;
mod vanished_orders;
mod verify;
mod wallets;
mod wire;
