//! Where the file's own names of an order go: its number, its tags, its note.

use order_actor::grpc::proto::PlaceOrderRequest;

use super::fields::Field;
use super::rows::Raw;
use super::{NotKept, said};

/// Of the engine.
const TAGS_MAX: usize = 50;
const TAG_MAX: usize = 100;
const VALUE_MAX: usize = 500;

/// Writes number, tags, note and the columns of `[metadata]` into the request.
pub fn name(request: &mut PlaceOrderRequest, raw: &Raw, not_kept: &mut Vec<NotKept>) {
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
    keep("note", raw.get(Field::Note));
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
