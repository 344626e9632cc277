//! The book without a database.

mod accounts; // names, kinds, limits
mod entries; // what an entry does, by example
mod holds; // reserve, post, void, expire
mod properties; // the laws, over random entries
mod support; // a whole book in memory, and its own reckoning
