//! The simulator by HTTP, in the dialects of Stripe and Razorpay, with calls of its own for tests.
//! Never here: what a call does.

mod bodies; // webhooks as each dialect writes them
mod deliver; // sends webhooks
mod faults; // calls of its own: scripts, the book, the clock
mod message; // requests and responses
mod payouts; // Stripe's payouts
mod razorpay; // Razorpay's calls
mod read; // the book, read from elsewhere
mod server; // connections
mod stripe; // Stripe's calls

use std::sync::{Mutex, PoisonError};

pub use deliver::{Delivery, DeliveryError, WebhookTarget};
pub use read::{BookReader, Said, Unread};
pub use server::serve;

use super::SimulatedPsp;
use super::machine::{Heard, Reply};
use crate::{Answer, ApiKey};
use message::{Request, Response};

/// A simulator with what its dialects need beside it.
pub struct Service {
    psp: SimulatedPsp,
    /// What callers must show; anything, if there is none.
    key: Option<ApiKey>,
    orders: Mutex<razorpay::Orders>,
}

impl Service {
    /// A simulator to be served. With a key, calls must show it: as bearer token, or as the
    /// password of basic authentication.
    #[must_use]
    pub fn new(psp: SimulatedPsp, key: Option<ApiKey>) -> Self {
        Self { psp, key, orders: Mutex::default() }
    }

    /// The simulator.
    #[must_use]
    pub const fn psp(&self) -> &SimulatedPsp {
        &self.psp
    }

    fn answer(&self, request: &Request) -> Response {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        if path.first() == Some(&"_sim") {
            return faults::answer(self, request, &path[1..]);
        }
        let (Some((scheme, secret)), ["v1", rest @ ..]) = (request.credentials(), path.as_slice())
        else {
            let missing = path.first() == Some(&"v1");
            return if missing { stripe::unauthorized() } else { Response::not_found() };
        };
        let known = self.key.as_ref().is_none_or(|key| key.expose() == secret);
        match (scheme, known) {
            ("bearer", true) => match rest {
                ["payouts", rest @ ..] => payouts::answer(self, request, rest),
                _ => stripe::answer(self, request, rest),
            },
            ("bearer", false) => stripe::unauthorized(),
            (_, true) => {
                let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
                razorpay::answer(self, &mut orders, request, rest)
            }
            (_, false) => razorpay::unauthorized(),
        }
    }
}

/// What is heard of a call, as a response.
fn heard(heard: Heard, fault: Response, render: impl FnOnce(Answer) -> Response) -> Response {
    let response = match heard.reply {
        Reply::Answer(answer) => render(answer),
        Reply::Lost => Response::cut(),
        Reply::Fault => fault,
    };
    response.after(heard.after)
}
