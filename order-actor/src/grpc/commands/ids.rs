use shared_events::chance::Chance;
use shared_events::contract::{OrderId, RequestId};
use uuid::Uuid;

use crate::domain::By;

/// The namespace of ids derived from a request id. It must never change: with another value a
/// retry would get other ids than the first attempt.
const DERIVED: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_7265_7175_6573);

/// What parsing a request needs besides the request.
#[derive(Clone, Copy)]
pub struct ParseContext<'a> {
    /// The caller.
    pub by: &'a By,
    /// Generates the ids that a request leaves open.
    pub ids: &'a dyn Ids,
}

/// The source of generated ids.
pub trait Ids: Sync {
    /// An id for an order.
    fn order_id(&self) -> OrderId {
        OrderId::from_uuid(self.uuid())
    }

    /// An id for anything else.
    fn uuid(&self) -> Uuid;
}

impl Ids for Chance {
    fn uuid(&self) -> Uuid {
        Self::uuid(self)
    }
}

/// The id of something that has an id of the client's own in its order: the same for the same
/// words.
pub(super) fn derived_from(words: &str) -> Uuid {
    Uuid::new_v5(&DERIVED, words.as_bytes())
}

/// The id of something that a request leaves open: derived from its request id, so that every
/// retry gets the same one, or drawn where it has none. `purpose` separates the ids of one request.
pub(super) fn derived_or(
    request_id: Option<RequestId>,
    purpose: &str,
    drawn: impl FnOnce() -> Uuid,
) -> Uuid {
    let derived =
        |request_id| Uuid::new_v5(&DERIVED, format!("{purpose} by {request_id}").as_bytes());
    request_id.map_or_else(drawn, derived)
}
