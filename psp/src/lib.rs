//! Payment service providers (PSP): [`Psp`] is the port that payments call.

mod port; // what a provider does, and how it answers

pub use port::{
    Answer, Authorize, CallKey, Capabilities, Capture, Found, NotAReference, OurReference, Psp,
    PspReference, Refund, Token, Void,
};
