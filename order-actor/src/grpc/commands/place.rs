use shared_events::contract::{CustomerId, OrderId, Reason};

use super::ids::derived_or;
use super::{CommandRequest, ParseContext};
use crate::domain::{By, Command, Place, bounds};
use crate::grpc::parse::{Form, Parsed, Violations};
use crate::grpc::proto::{PlaceOrderRequest, PlaceOrderResponse};
use crate::grpc::render::CommandResponse;

impl CommandRequest for PlaceOrderRequest {
    type Response = PlaceOrderResponse;

    fn parse(self, context: &ParseContext<'_>) -> Result<Parsed, Violations> {
        let mut form = Form::default();
        let options = form.options(self.options.as_ref());
        let customer_id: Option<CustomerId> = match context.by {
            By::Customer(own) if self.customer_id.is_empty() => Some(*own),
            _ => form.id("customer_id", &self.customer_id),
        };
        let order_id = form.id_or("order_id", &self.order_id, || {
            // Derived from the customer only: a retry through another gateway pod is the same order.
            let customer = customer_id.map(|id| id.to_string()).unwrap_or_default();
            let purpose = format!("order of CUSTOMER {customer}");
            let drawn = || context.ids.order_id().uuid();
            OrderId::from_uuid(derived_or(options.request_id, &purpose, drawn))
        });
        let lines = form.new_lines(&self.lines);
        let address = form.address("address", self.address.map(|address| *address));
        let billing_address = match self.billing_address {
            None => Some(None),
            Some(address) => form.address("billing_address", Some(*address)).map(Some),
        };
        let charges = form.charges(&self.charges);
        let discounts = form.discounts("discounts", &self.discounts);
        let tax_mode = form.tax_mode(self.tax_mode);
        let tags = form.tags(&self.tags);
        let metadata = form.keys("metadata", Reason::InvalidField, &self.metadata);
        let exchange_of = form.exchange_of(self.exchange_of.as_ref());
        let names = form.names(&self.order_number, &self.external_id, &self.shop, context.by);
        let notes = form.notes(self.notes, context.by);
        let payment = form.payment(self.payment.as_ref());
        let expected = form.expected(self.expected.as_deref());
        let contact = form.contact(&self.contact.unwrap_or_default());
        let ordered_at = form.time("ordered_at", self.ordered_at);
        if ordered_at.is_some_and(|at| at.micros() >= bounds::NO_END_MICROS) {
            form.invalid("ordered_at", "an instant of the years 1 to 9998; 9999 means no end");
        }
        form.command(order_id, options, || {
            Some(Command::from(Place {
                order_id: order_id?,
                customer_id: customer_id?,
                lines: lines?,
                address: address?,
                contact: contact?,
                ordered_at,
                billing_address: billing_address?,
                charges: charges?,
                discounts: discounts?,
                tax_mode: tax_mode?,
                tags: tags?,
                metadata: metadata?,
                exchange_of: exchange_of?,
                names: names?,
                notes: notes?,
                payment: payment?,
                expected: expected?,
            }))
        })
    }
}

impl From<CommandResponse> for PlaceOrderResponse {
    fn from(response: CommandResponse) -> Self {
        let CommandResponse { order, events, position, replayed } = response;
        Self { order, events, position, replayed }
    }
}
