//! World → journal: what other services did, turned into commands to orders.
//! Never here: rules about orders; they decide for themselves.

mod stock_answers; // stock facts → confirm or cancel

pub use stock_answers::StockAnswers;
