use std::fmt::Display;

use shared_events::contract::{NameField, OrderId, OrderNames, OrderNumber, Reason, TextRule};

use super::Form;
use crate::domain::{By, NewNote, Rejection, bounds};
use crate::grpc::proto;

/// An order as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRef {
    /// By its id.
    Id(OrderId),
    /// By its number: a client's own, or the one of its id.
    Number(String),
    /// By its id in the client's own system.
    External {
        /// The shop; may be empty.
        shop: String,
        /// The id.
        external_id: String,
    },
}

impl Form {
    /// The names of a new order.
    pub(crate) fn names(
        &mut self,
        order_number: &str,
        external_id: &str,
        shop: &str,
        by: &By,
    ) -> Option<OrderNames> {
        let given = [
            (NameField::OrderNumber, order_number),
            (NameField::ExternalId, external_id),
            (NameField::Shop, shop),
        ];
        let [order_number, external_id, shop] = given.map(|(name, text)| {
            if !text.is_empty() && matches!(by, By::Customer(_)) {
                self.invalid(name.field(), "from services and operators only");
            }
            self.name(name, name.field(), text)
        });
        let (order_number, external_id, shop) = (order_number?, external_id?, shop?);
        if OrderNumber::is_form(&order_number) {
            self.invalid(NameField::OrderNumber.field(), bounds::NUMBER_OF_THE_ENGINE);
            return None;
        }
        Some(OrderNames { order_number, external_id, shop })
    }

    /// One name, as it is stored; empty where none is given.
    pub(super) fn name(&mut self, name: NameField, field: &str, text: &str) -> Option<String> {
        name.parse(text).map_err(|error| self.invalid(field, error)).ok()
    }

    /// The notes of a new order.
    pub(crate) fn notes(&mut self, notes: Vec<proto::NewNote>, by: &By) -> Option<Vec<NewNote>> {
        if notes.len() > bounds::NOTES_MAX {
            self.invalid("notes", Rejection::TooManyNotes);
            return None;
        }
        let mut parsed = Vec::with_capacity(notes.len());
        for (index, proto::NewNote { public, text }) in notes.into_iter().enumerate() {
            if !public && matches!(by, By::Customer(_)) {
                let field = format!("notes[{index}].public");
                self.invalid(field, "true: customers see what they write");
            }
            let text = self.note(format_args!("notes[{index}].text"), text);
            parsed.push(text.map(|text| NewNote { public, text }));
        }
        parsed.into_iter().collect()
    }

    /// The text of a note.
    pub(crate) fn note(&mut self, field: impl Display, text: String) -> Option<String> {
        if text.trim().is_empty() {
            self.invalid(field, Rejection::NoteRequired);
            return None;
        }
        let rule = TextRule::lines(bounds::NOTE_MAX);
        rule.stored(&text).map_err(|error| self.invalid(field, error)).ok()
    }

    /// The address of a picture.
    pub(super) fn image_url(&mut self, field: impl Display, text: &str) -> Option<String> {
        let max = bounds::IMAGE_URL_MAX;
        if text.is_empty() || (text.len() <= max && is_https(text)) {
            return Some(text.to_owned());
        }
        let detail = format!("an address such as https://example.com/mug.jpg, at most {max} bytes");
        self.violations.add(&field, Reason::InvalidLine, detail);
        None
    }

    /// The order that a request names in one of three ways.
    pub(super) fn order_ref(
        &mut self,
        order_id: &str,
        order_number: &str,
        external_id: &str,
        shop: &str,
    ) -> Option<OrderRef> {
        let given = [order_id, order_number, external_id];
        let only_id = order_number.is_empty() && external_id.is_empty();
        let id = (only_id || !order_id.is_empty()).then(|| self.id("order_id", order_id));
        let number = self.name(NameField::OrderNumber, "order_number", order_number);
        let external = self.name(NameField::ExternalId, "external_id", external_id);
        let shop = self.name(NameField::Shop, "shop", shop);
        if given.iter().filter(|text| !text.is_empty()).count() > 1 {
            self.invalid("order_id", "one of order_id, order_number and external_id");
        }
        let (number, external_id, shop) = (number?, external?, shop?);
        if !shop.is_empty() && external_id.is_empty() {
            self.invalid("shop", "with external_id only");
        }
        match id {
            Some(id) => id.map(OrderRef::Id),
            None if number.is_empty() => Some(OrderRef::External { shop, external_id }),
            None => Some(OrderRef::Number(number)),
        }
    }
}

/// Whether a text is an address with https, as a mail or a page can show it: a host, no
/// credentials, and only characters that need no quoting.
fn is_https(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    !host.is_empty() && !host.contains('@') && text.bytes().all(plain)
}
