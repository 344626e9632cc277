//! The document docs/openapi.json: the REST routes, made from the protos and the table of reasons.

use shared_events::contract::Reason;
use web_edge::Routes;
use web_openapi::{About, Refusal};

use crate::client::protos;

/// Bodies to begin with, in pages where calls can be tried.
const EXAMPLES: &str = include_str!("../../examples/bodies.json");

/// The document as text.
///
/// # Errors
///
/// If the protos are not readable, or their routes cannot be served.
pub fn document() -> anyhow::Result<String> {
    let refusals: Vec<Refusal<'_>> = Reason::ALL
        .iter()
        .map(|reason| Refusal {
            code: reason.code(),
            statuses: web_edge::statuses_of(*reason).into_iter().map(|one| one.as_u16()).collect(),
            meaning: reason.meaning(),
        })
        .collect();
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        first: "ordinal.orders.v1.OrderService",
        examples: EXAMPLES,
        refusals: &refusals,
    };
    let routes = Routes::of(protos()?, |_| true)?;
    Ok(web_openapi::document(&routes, &about)?)
}
