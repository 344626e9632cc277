//! How the command line names an order.

use std::convert::Infallible;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tonic::codegen::Bytes;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Client, Failure};

/// An order by its id (a UUID in any spelling), by its number, or by its id in the client's own
/// system: `external:ID`, or `external:SHOP:ID` in a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderName {
    /// By its id.
    Id(Uuid),
    /// By its number.
    Number(String),
    /// By its external id.
    External {
        /// The shop; may be empty.
        shop: String,
        /// The id there.
        id: String,
    },
}

impl FromStr for OrderName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if let Ok(id) = Uuid::try_parse(text.trim()) {
            return Ok(Self::Id(id));
        }
        Ok(match text.strip_prefix("external:") {
            None => Self::Number(text.to_owned()),
            Some(rest) => {
                let (shop, id) = rest.split_once(':').unwrap_or(("", rest));
                Self::External { shop: shop.to_owned(), id: id.to_owned() }
            }
        })
    }
}

impl OrderName {
    /// The fields of a `GetOrderRequest` that name it.
    pub fn fields(&self) -> Value {
        match self {
            Self::Id(id) => json!({ "order_id": id }),
            Self::Number(number) => json!({ "order_number": number }),
            Self::External { shop, id } => json!({ "external_id": id, "shop": shop }),
        }
    }
}

/// The id as text, or an object that [`resolve`] replaces by it.
impl Serialize for OrderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Id(id) => id.serialize(serializer),
            _ => self.fields().serialize(serializer),
        }
    }
}

/// Replaces every name of an order in a field of a request by the order's id.
///
/// # Errors
/// Why the engine does not say which order it is.
pub async fn resolve(client: &Client, request: &mut Value, field: &str) -> Result<(), Failure> {
    match &mut request[field] {
        Value::Array(names) => {
            for name in names {
                resolve_one(client, name).await?;
            }
            Ok(())
        }
        name => resolve_one(client, name).await,
    }
}

async fn resolve_one(client: &Client, name: &mut Value) -> Result<(), Failure> {
    if name.is_object() {
        let mut answer = get_order(client, name.take()).await?;
        *name = answer["order"]["order_id"].take();
    }
    Ok(())
}

/// `GetOrder`. Where no order has the name, the refusal repeats it and says how orders are named:
/// it may be a mistyped id.
///
/// # Errors
/// As the call.
pub async fn get_order(client: &Client, asked: Value) -> Result<Value, Failure> {
    let [number, external_id] =
        ["order_number", "external_id"].map(|field| asked[field].as_str().map(str::to_owned));
    let name = number
        .map(|number| format!("number {number}"))
        .or(external_id.map(|id| format!("external id {id}")));
    let answer = client.call("orders.v1.OrderService/GetOrder", asked).await;
    answer.map_err(|failure| match (failure, name) {
        (Failure::Status(status), Some(name)) if status.code() == Code::NotFound => {
            let message = format!(
                "no order has the {name}; an order is named by its id, a UUID, by its number, or \
                 by external:ID or external:SHOP:ID"
            );
            let details = Bytes::copy_from_slice(status.details());
            Failure::Status(Box::new(Status::with_details(Code::NotFound, message, details)))
        }
        (failure, _) => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_named_by_id_number_or_external_id() {
        let named = |text: &str| text.parse::<OrderName>().unwrap();
        let id = Uuid::from_u128(0x018f_6f3e_0000_7000_8000_0000_0000_0001);
        assert_eq!(named(&id.simple().to_string()), OrderName::Id(id));
        assert_eq!(named("4QK2-9XVA-07TM"), OrderName::Number("4QK2-9XVA-07TM".to_owned()));
        let external =
            |shop: &str, id: &str| OrderName::External { shop: shop.to_owned(), id: id.to_owned() };
        assert_eq!(named("external:A/1"), external("", "A/1"));
        assert_eq!(named("external:uk:A:1"), external("uk", "A:1"));
        assert_eq!(named("external::A:1"), external("", "A:1"));
        assert_eq!(serde_json::to_value(named(&id.to_string())).unwrap(), json!(id));
        assert_eq!(json!(named("external:uk:1")), json!({ "external_id": "1", "shop": "uk" }));
    }
}
