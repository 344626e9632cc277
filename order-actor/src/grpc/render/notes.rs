use shared_events::contract::OrderNames;

use super::time;
use crate::domain::{By, NewNote, Note, NoteText};
use crate::grpc::proto;
use crate::grpc::proto::event::Kind;

/// One of the names that a client gave.
pub(super) fn name(
    names: &Option<Box<OrderNames>>,
    which: impl Fn(&OrderNames) -> &String,
) -> String {
    names.as_deref().map(|names| which(names).clone()).unwrap_or_default()
}

pub(super) fn note(note: &Note) -> proto::Note {
    let by = note.by.as_ref();
    proto::Note {
        note: note.number,
        public: note.public,
        text: note.note.text.clone(),
        role: by.map(|by| by.role().code().to_owned()).unwrap_or_default(),
        subject: by.map(|by| by.subject().into_owned()).unwrap_or_default(),
        written_at: Some(time(note.at)),
    }
}

pub(super) fn new_note(note: &NewNote) -> proto::NewNote {
    proto::NewNote { public: note.public, text: note.text.clone() }
}

pub(super) fn note_added(public: bool, note: &NoteText, by: &By) -> Kind {
    Kind::NoteAdded(proto::NoteAdded {
        public,
        text: note.text.clone(),
        role: by.role().code().to_owned(),
        subject: by.subject().into_owned(),
    })
}
