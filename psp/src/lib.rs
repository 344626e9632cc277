//! Payment service providers (PSP): [`Psp`] is the port that payments call.

mod dialect; // how a provider writes, and counts money
mod event; // what a provider tells by a webhook
mod http; // calls over HTTP
mod kind; // what is done at a provider
mod port; // what a provider does, and how it answers
mod razorpay; // Razorpay
pub mod simulator; // a provider that moves no money
mod stripe; // Stripe
pub mod webhook; // what providers tell, and whether they do

pub use dialect::{Dialect, Inexpressible, NotADialect};
pub use event::{Event, What};
pub use http::{ApiKey, Endpoint, HttpError};
pub use kind::Kind;
pub use port::{
    Answer, Authorize, CallKey, Capabilities, Capture, Found, Lookup, NO_PAYOUTS, NotAReference,
    OurReference, Payout, Psp, PspReference, Refund, Theirs, Token, Void,
};
pub use razorpay::Razorpay;
pub use stripe::Stripe;
