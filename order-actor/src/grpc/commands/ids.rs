use shared_events::chance::Chance;
use shared_events::contract::{OrderId, RequestId};
use uuid::Uuid;

use crate::domain::By;

/// The namespace of ids that are derived from a request id. Fixed for ever: another value would
/// make a retry mint other ids than the first try did.
const DERIVED: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_7265_7175_6573);

/// What a request does not say itself.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Who asks.
    pub by: &'a By,
    /// Where the ids come from of what was not named.
    pub ids: &'a dyn Ids,
}

/// Where ids come from. Nothing else chooses one.
pub trait Ids: Sync {
    /// Of an order.
    fn order_id(&self) -> OrderId {
        OrderId::from_uuid(self.uuid())
    }

    /// Of anything else.
    fn uuid(&self) -> Uuid;
}

impl Ids for Chance {
    fn uuid(&self) -> Uuid {
        Self::uuid(self)
    }
}

/// The id that every retry of a request gets again; `purpose` keeps what one request names apart.
pub(super) fn derived(purpose: &str, request_id: RequestId) -> Uuid {
    Uuid::new_v5(&DERIVED, format!("{purpose} by {request_id}").as_bytes())
}
