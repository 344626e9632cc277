use http::uri::PathAndQuery;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use super::accepted::Accepted;
use super::place::{Place, place};
use super::said::{self, Header};
use super::version::Answered;
use super::{RoutesError, version};

/// What is known about a method of gRPC.
pub(crate) struct Rpc {
    /// Its path, such as `/ordinal.orders.v1.OrderService/GetOrder`.
    pub(crate) path: PathAndQuery,
    pub(crate) descriptor: MethodDescriptor,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    /// Whether many messages are sent.
    pub(crate) takes_stream: bool,
    /// Whether many messages are answered.
    pub(crate) gives_stream: bool,
    /// Where the id is written that a key stands for.
    pub(crate) key: Option<Place>,
    /// Where the version that is required is written.
    pub(crate) etag: Option<Place>,
    /// Where it is said that nothing shall be changed.
    pub(crate) validate_only: Option<Place>,
    /// Where the version of what is answered stands.
    pub(crate) answered_etag: Option<Answered>,
    /// While what was asked for is taken and not complete.
    pub(crate) accepted: Option<Accepted>,
    /// Of a stream that can be resumed: the positions after which it begins.
    pub(crate) after: Option<FieldDescriptor>,
    /// Where an item of it has positions.
    pub(crate) positions: Vec<Place>,
}

impl Rpc {
    pub(crate) fn new(method: &MethodDescriptor) -> Result<Self, RoutesError> {
        let (input, output) = (method.input(), method.output());
        let service = method.parent_service().full_name().to_owned();
        let path = format!("/{service}/{}", method.name());
        let path = path.parse().map_err(|_| RoutesError::Template {
            method: method.full_name().to_owned(),
            text: path,
        })?;
        let unfit =
            |what: String| RoutesError::Unfit { method: method.full_name().to_owned(), what };
        let after = input
            .get_field_by_name("after")
            .filter(|field| field.is_list() && field.kind().as_message().is_some_and(is_position));
        let mut positions = Vec::new();
        if after.is_some() {
            find_positions(&output, &mut Vec::new(), &mut positions);
        }
        let validate_only = place(&input, &["validate_only"])
            .or_else(|| place(&input, &["options", "validate_only"]));
        Ok(Self {
            path,
            descriptor: method.clone(),
            takes_stream: method.is_client_streaming(),
            gives_stream: method.is_server_streaming(),
            key: said::field_of(&input, Header::IdempotencyKey),
            etag: version::required(&input),
            validate_only,
            answered_etag: Answered::of(&output),
            accepted: Accepted::of(method).map_err(unfit)?,
            after,
            positions,
            input,
            output,
        })
    }
}

/// Whether a message is a position in a shard: `shard`, `position` and perhaps `mark`. An address
/// has it as one text.
#[must_use]
pub fn is_position(message: &MessageDescriptor) -> bool {
    let of = |name: &str| message.get_field_by_name(name).map(|field| field.kind());
    let marked = message.fields().len() == 3 && of("mark") == Some(Kind::Fixed64);
    of("shard") == Some(Kind::Uint32)
        && of("position") == Some(Kind::Uint64)
        && (message.fields().len() == 2 || marked)
}

/// Positions of items are in fields named `position` and `through`.
fn find_positions(message: &MessageDescriptor, above: &mut Place, found: &mut Vec<Place>) {
    /// Deeper messages describe orders.
    const DEPTH_MAX: usize = 2;
    for field in message.fields() {
        let kind = field.kind();
        let Some(inner) = kind.as_message() else { continue };
        above.push(field.clone());
        if ["position", "through"].contains(&field.name()) && is_position(inner) {
            found.push(above.clone());
        } else if !field.is_list() && above.len() <= DEPTH_MAX {
            find_positions(inner, above, found);
        }
        above.pop();
    }
}
