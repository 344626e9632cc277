//! Other services → journal: their facts, turned into commands to orders.
//! Never here: rules about orders; the orders decide.

mod answers; // how answers are sent, and which refusals are final
mod money_answers; // facts of payments → the money of an order stands, fails, is lost or is back
mod stock_answers; // stock facts → confirm, cancel or allocate

pub use money_answers::MoneyAnswers;
pub use stock_answers::StockAnswers;
