use std::collections::BTreeSet;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The longest name of a watch.
const ID_LEN_MAX: usize = 64;
/// The route of a watch of orders.
const ORDERS: &str = "/v1/orders:watch";
/// What of an id is written as it is in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Who calls, for watches that begin later.
    Token(String),
    /// A watch of this name begins: the address of its call, and where it resumes.
    Watch { id: String, uri: String, after: Option<String> },
    /// A watch ends.
    Unwatch(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    token: Option<String>,
    watch: Option<Filters>,
    watch_wallet: Option<String>,
    unwatch: Option<String>,
    id: Option<String>,
    after: Option<String>,
}

/// Filters of a watch, as they are written: a name may stand there twice.
#[derive(Default)]
struct Filters(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Filters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Filters, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = map.next_entry()? {
            all.push(entry);
        }
        Ok(Filters(all))
    }
}

impl Ask {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong, without quoting it: it may hold a token.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let known = "a message is {\"watch\": {…}, \"id\": \"a\", \"after\": \"cursor\"}, \
                     {\"watch_wallet\": \"customer\", \"id\": \"a\"}, {\"unwatch\": \"a\"} or \
                     {\"token\": \"…\"}";
        let message: Message = serde_json::from_str(text).map_err(|_| known.to_owned())?;
        let Message { token, watch, watch_wallet, unwatch, id, after } = message;
        match (token, watch, watch_wallet, unwatch, id) {
            (Some(token), None, None, None, None) if after.is_none() => Ok(Self::Token(token)),
            (None, None, None, Some(id), None) if after.is_none() => Ok(Self::Unwatch(id)),
            (None, Some(watch), None, None, Some(id)) => Self::watch(id, ORDERS, &watch, after),
            (None, None, Some(customer), None, Some(id)) => {
                Self::watch(id, &wallet(&customer)?, &Filters::default(), after)
            }
            _ => Err(known.to_owned()),
        }
    }

    fn watch(
        id: String,
        route: &str,
        watch: &Filters,
        after: Option<String>,
    ) -> Result<Self, String> {
        if id.is_empty() || id.len() > ID_LEN_MAX {
            return Err(format!("id: a text of 1 to {ID_LEN_MAX} bytes"));
        }
        let uri = address(route, watch, after.as_deref())?;
        Ok(Self::Watch { id, uri, after })
    }
}

/// The route of a watch of this customer's wallet.
fn wallet(customer: &str) -> Result<String, String> {
    if customer.is_empty() {
        return Err("watch_wallet: the id of a customer".to_owned());
    }
    Ok(format!("/v1/wallets/{}:watch", utf8_percent_encode(customer, IN_PATH)))
}

/// The address of a watch by this route with these filters.
fn address(route: &str, Filters(watch): &Filters, after: Option<&str>) -> Result<String, String> {
    let (mut pairs, mut names) = (Vec::new(), BTreeSet::new());
    for (name, value) in watch {
        if !names.insert(name) {
            return Err(format!("watch.{name}: given twice"));
        }
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                _ => return Err(format!("watch.{name}: a text, or a list of texts")),
            };
            pairs.push((name.as_str(), text));
        }
    }
    pairs.extend(after.map(|after| ("after", after.to_owned())));
    if pairs.is_empty() {
        return Ok(route.to_owned());
    }
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    Ok(format!("{route}?{}", pairs.collect::<Vec<_>>().join("&")))
}
