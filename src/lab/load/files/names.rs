//! Where the file's own names of an order go: its number, its tags, its note.

use order_actor::domain::bounds::NOTE_MAX;
use order_actor::grpc::proto::{NewNote, PlaceOrderRequest};
use shared_events::contract::{NameField, OrderNumber, TextRule};

use super::fields::Field;
use super::rows::Raw;
use super::{NotKept, said};

/// Of the engine.
const TAGS_MAX: usize = 50;
const TAG_MAX: usize = 100;
const VALUE_MAX: usize = 500;

/// Writes number, tags, note and the columns of `[metadata]` into the request. The number is the
/// order's own where `own_numbers`, and it can be one.
pub fn name(
    request: &mut PlaceOrderRequest,
    raw: &Raw,
    own_numbers: bool,
    not_kept: &mut Vec<NotKept>,
) {
    let mut keep = |key: &str, text: &str| {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.chars().count() > VALUE_MAX {
            let why = format!("it is longer than {VALUE_MAX} characters");
            not_kept.push(said(key, &why));
        } else if !text.is_empty() {
            request.metadata.insert(key.to_owned(), text);
        }
    };
    for row in raw.rows.iter().rev() {
        // The first row that says anything counts.
        row.metadata.iter().for_each(|(key, text)| keep(key, text));
    }
    keep("order_number", &raw.number);
    if own_numbers {
        match own_number(&raw.number) {
            Ok(number) => request.order_number = number,
            Err(why) => not_kept.push(said("order_number", &why)),
        }
    }
    let note = raw.get(Field::Note).trim();
    match TextRule::lines(NOTE_MAX).check(note) {
        Ok(()) if note.is_empty() => {}
        // Who wrote it is not said: it may be of the customer, or about the customer.
        Ok(()) => request.notes.push(NewNote { public: false, text: note.to_owned() }),
        Err(error) => not_kept.push(said("note", &error.to_string())),
    }
    for tag in raw.get(Field::Tags).split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        if request.tags.iter().any(|known| known == tag) {
            continue;
        }
        if request.tags.len() == TAGS_MAX || tag.chars().count() > TAG_MAX {
            let why = format!("an order has at most {TAGS_MAX} of {TAG_MAX} characters");
            not_kept.push(said("tag", &why));
        } else {
            request.tags.push(tag.to_owned());
        }
    }
}

/// The number as an order may have it.
fn own_number(text: &str) -> Result<String, String> {
    let number = NameField::OrderNumber.parse(text).map_err(|error| error.to_string())?;
    if OrderNumber::is_form(&number) {
        return Err("numbers such as 4QK2-9XVA-07TM are the engine's own".to_owned());
    }
    Ok(number)
}
