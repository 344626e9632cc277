use shared_events::contract::{LocationName, ShipmentId};

use super::Form;
use crate::domain::{ParcelName, bounds};

impl Form {
    /// A parcel by its id, by the warehouse's own, or by both.
    pub(crate) fn parcel(&mut self, shipment_id: &str, reference: String) -> Option<ParcelName> {
        let named = !(shipment_id.is_empty() && reference.is_empty());
        if !named {
            self.invalid("shipment_id", "required, unless shipment_reference is given: a UUID");
        }
        let id: Option<ShipmentId> = self.optional_id("shipment_id", shipment_id);
        let reference = self.reference(reference)?;
        if named && (id.is_some() || shipment_id.is_empty()) {
            Some(ParcelName { shipment_id: id, reference })
        } else {
            None
        }
    }

    /// A warehouse's own id of a parcel; may be empty.
    pub(crate) fn reference(&mut self, reference: String) -> Option<String> {
        self.own_id("shipment_reference", reference)
    }

    /// The name of a location of stock, if one is given.
    pub(crate) fn location(&mut self, name: &str) -> Option<Option<LocationName>> {
        if name.is_empty() {
            return Some(None);
        }
        let parsed = name.parse::<LocationName>();
        parsed.map(Some).map_err(|error| self.invalid("location", error)).ok()
    }

    /// A warehouse's own id; may be empty.
    pub(super) fn own_id(&mut self, field: &'static str, text: String) -> Option<String> {
        let max = bounds::REFERENCE_MAX;
        if text.trim() != text {
            self.invalid(field, format!("1 to {max} characters, none of them a blank at an end"));
            return None;
        }
        self.line(field, text, max)
    }
}
