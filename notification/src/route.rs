use crate::Channel;

/// How a message is sent: by a channel and, of webhooks, to an endpoint. Each route has messages,
/// retries and failures of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    channel: Channel,
    /// Empty but for webhooks.
    endpoint: String,
}

impl Route {
    /// The endpoint of `--webhook-url`.
    pub const DEFAULT_ENDPOINT: &str = "default";

    /// To a webhook endpoint.
    #[must_use]
    pub fn webhook(endpoint: &str) -> Self {
        Self { channel: Channel::Webhook, endpoint: endpoint.to_owned() }
    }

    /// Whether an endpoint may have this name: 1 to 40 small letters, digits and hyphens.
    #[must_use]
    pub fn is_endpoint_name(name: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=40).contains(&name.len()) && name.bytes().all(fits)
    }

    /// The channel.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// The name of the endpoint; empty but for webhooks.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// As the ledger has it, in `channel`: `EMAIL`, `WEBHOOK` for the default endpoint, and
    /// `WEBHOOK:crm` for others.
    #[must_use]
    pub fn code(&self) -> String {
        match self.endpoint.as_str() {
            "" | Self::DEFAULT_ENDPOINT => self.channel.code().to_owned(),
            name => format!("{}:{name}", self.channel.code()),
        }
    }

    /// The route of this code, if it is one.
    pub(crate) fn recorded(code: &str) -> Option<Self> {
        let (channel, endpoint) = code.split_once(':').unwrap_or((code, ""));
        let channel = Channel::all().find(|known| known.code() == channel)?;
        match (channel, endpoint) {
            (channel, "") => Some(channel.into()),
            (Channel::Webhook, endpoint) => Some(Self::webhook(endpoint)),
            _ => None,
        }
    }
}

impl From<Channel> for Route {
    /// Of webhooks, the default endpoint.
    fn from(channel: Channel) -> Self {
        let endpoint = match channel {
            Channel::Email | Channel::Sms => String::new(),
            Channel::Webhook => Self::DEFAULT_ENDPOINT.to_owned(),
        };
        Self { channel, endpoint }
    }
}
