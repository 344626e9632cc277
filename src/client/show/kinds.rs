/// Events as the API names them.
pub(super) const KINDS: &[&str] = &[
    "order_placed",
    "order_confirmed",
    "lines_allocated",
    "lines_cancelled",
    "order_cancelled",
    "lines_fulfilled",
    "order_fulfilled",
    "return_requested",
    "return_escalated",
    "return_authorized",
    "return_received",
    "return_approved",
    "return_rejected",
    "order_held",
    "hold_released",
    "order_corrected",
    "shipment_corrected",
    "shipment_delivered",
    "shipment_undone",
    "shipment_found",
    "note_added",
    "order_edit_requested",
    "order_edited",
    "order_edit_refused",
    "stock_held",
    "payment_secured",
    "payment_lost",
    "payment_captured",
    "refund_settled",
    "refund_failed",
    "compensation_completed",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use order_actor::domain::Event;

    use super::KINDS;
    use crate::client::protos;

    #[test]
    fn every_event_of_the_journal_is_shown_and_named_as_in_the_proto() {
        let known: BTreeSet<&str> = KINDS.iter().copied().collect();
        assert_eq!(known.len(), KINDS.len(), "each once");
        let event = protos().unwrap().get_message_by_name("ordinal.orders.v1.Event").unwrap();
        let kind = event.oneofs().find(|oneof| oneof.name() == "kind").unwrap();
        let fields: Vec<String> = kind.fields().map(|field| field.name().to_owned()).collect();
        assert_eq!(known, fields.iter().map(String::as_str).collect::<BTreeSet<_>>());
        let snake = |name: &&str| {
            let letters = name.chars().flat_map(|letter| {
                let blank = letter.is_ascii_uppercase().then_some('_');
                blank.into_iter().chain([letter.to_ascii_lowercase()])
            });
            letters.collect::<String>().trim_start_matches('_').to_owned()
        };
        let names: Vec<String> = Event::NAMES.iter().map(snake).collect();
        assert_eq!(known, names.iter().map(String::as_str).collect::<BTreeSet<_>>());
    }
}
