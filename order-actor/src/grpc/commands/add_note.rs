use super::{CommandRequest, ParseContext};
use crate::domain::{AddNote, By, Command, NoteText};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{AddNoteRequest, AddNoteResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for AddNoteRequest {
    type Response = AddNoteResponse;

    fn parse(self, context: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let order_id = form.id("order_id", &self.order_id);
        let options = form.options(self.options.as_ref());
        let text = form.note("text", self.text);
        let public = self.public;
        if !public && matches!(context.by, By::Customer(_)) {
            form.invalid("public", "true: customers see what they write");
        }
        form.command(order_id, options, || {
            Some(Command::AddNote(AddNote { public, note: NoteText { text: text? } }))
        })
    }
}

impl From<CommandResponse> for AddNoteResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
