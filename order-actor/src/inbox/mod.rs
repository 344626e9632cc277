//! Other services → journal: their facts, turned into commands to orders.
//! Never here: rules about orders; the orders decide.

mod stock_answers; // stock facts → confirm, cancel or allocate

pub use stock_answers::StockAnswers;
