use shared_events::contract::OrderId;

use super::mailbox::Refusal;
use crate::domain::{Event, Rejection};
use crate::journal::{Journal, JournalError};
use crate::record::{name_of_key, order_of, unique_names};

/// The rejection of names that the journal cannot give to an order, if that is what happened.
pub(super) fn rejection_of(error: &JournalError) -> Option<Rejection> {
    match error {
        JournalError::KeyTaken { key, holder } => {
            Some(Rejection::NameTaken { name: name_of_key(key), holder: order_of(*holder) })
        }
        JournalError::KeysNeedOneDatabase => Some(Rejection::NamesNeedOneDatabase),
        _ => None,
    }
}

/// Checks, for a command that is only validated, what appending its events would check.
pub(super) async fn check_free(
    journal: &Journal,
    order_id: OrderId,
    events: &[Event],
) -> Result<(), Refusal> {
    let unavailable = |error: JournalError| Refusal::Unavailable(error.to_string());
    for event in events {
        let Event::OrderPlaced { names: Some(names), .. } = event else { continue };
        for key in unique_names(names).map_err(unavailable)? {
            if !journal.keeps_keys() {
                return Err(Rejection::NamesNeedOneDatabase.into());
            }
            let holder = journal.holder_of(&key).await.map_err(unavailable)?.map(order_of);
            if let Some(holder) = holder.filter(|holder| *holder != order_id) {
                let name = name_of_key(key.as_str());
                return Err(Rejection::NameTaken { name, holder }.into());
            }
        }
    }
    Ok(())
}
