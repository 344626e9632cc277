//! Other services → journal: their facts, turned into commands to orders.
//! Never here: rules about orders; the orders decide.

mod answers; // a follower of answers: how they are sent, and which refusals are final
mod money_answers; // facts of payments → the money of an order stands, fails, is lost or is back
mod stock_answers; // stock facts → confirm, cancel or allocate

pub use answers::{Answering, Answers, Unanswered};
pub use money_answers::{MoneyAnswers, Payments};
pub use stock_answers::{Stock, StockAnswers};
