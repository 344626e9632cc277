use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The longest name of a watch.
const ID_LEN_MAX: usize = 64;
/// The route of a watch.
const ROUTE: &str = "/v1/orders:watch";

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
    watch: Option<Map<String, Value>>,
    unwatch: Option<String>,
    id: Option<String>,
    after: Option<String>,
}

impl Ask {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong, without quoting it: it may hold a token.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let known = "a message is {\"watch\": {…}, \"id\": \"a\", \"after\": \"cursor\"}, \
                     {\"unwatch\": \"a\"} or {\"token\": \"…\"}";
        let message: Message = serde_json::from_str(text).map_err(|_| known.to_owned())?;
        match message {
            Message { token: Some(token), watch: None, unwatch: None, id: None, after: None } => {
                Ok(Self::Token(token))
            }
            Message { token: None, watch: None, unwatch: Some(id), id: None, after: None } => {
                Ok(Self::Unwatch(id))
            }
            Message { token: None, watch: Some(watch), unwatch: None, id: Some(id), after } => {
                if id.is_empty() || id.len() > ID_LEN_MAX {
                    return Err(format!("id: a text of 1 to {ID_LEN_MAX} bytes"));
                }
                let uri = address(&watch, after.as_deref())?;
                Ok(Self::Watch { id, uri, after })
            }
            _ => Err(known.to_owned()),
        }
    }
}

/// The address of a watch with these filters.
fn address(watch: &Map<String, Value>, after: Option<&str>) -> Result<String, String> {
    let mut pairs = Vec::new();
    for (name, value) in watch {
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
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    Ok(format!("{ROUTE}?{}", pairs.collect::<Vec<_>>().join("&")))
}
