use crate::edge::{AccessLog, Bounds, Network, Numbers, Proxies, RateRule};
use crate::engine::Settings;

/// Limits of callers; docs/limits.md lists all limits.
#[derive(Debug, clap::Args)]
pub(super) struct BoundArgs {
    /// Connections [default: 8192, or the limit of open files minus 256 kept for stores].
    #[arg(long, value_name = "N", env = "ORDINAL_CONNECTIONS_MAX", value_parser = at_least_one)]
    connections_max: Option<usize>,
    /// Connections from one address [default: half of those].
    #[arg(long, value_name = "N", env = "ORDINAL_CONNECTIONS_PER_ADDRESS", value_parser = at_least_one)]
    connections_per_address: Option<usize>,
    /// Connections of one customer [default: an eighth of all, at least 16].
    #[arg(long, value_name = "N", env = "ORDINAL_CONNECTIONS_PER_CUSTOMER", value_parser = at_least_one)]
    connections_per_customer: Option<usize>,
    /// Concurrent calls; a quarter is reserved for services and operators.
    #[arg(long, value_name = "N", env = "ORDINAL_CALLS_MAX", default_value_t = Numbers::default().whole.calls, value_parser = at_least_one)]
    calls_max: usize,
    /// Concurrent calls of one customer.
    #[arg(long, value_name = "N", env = "ORDINAL_CALLS_PER_CUSTOMER", default_value_t = Numbers::default().customer.calls, value_parser = at_least_one)]
    calls_per_customer: usize,
    /// Concurrent watches and other streams; half is reserved for services and operators.
    #[arg(long, value_name = "N", env = "ORDINAL_STREAMS_MAX", default_value_t = Numbers::default().whole.streams, value_parser = at_least_one)]
    streams_max: usize,
    /// Concurrent watches and other streams of one customer.
    #[arg(long, value_name = "N", env = "ORDINAL_STREAMS_PER_CUSTOMER", default_value_t = Numbers::default().customer.streams, value_parser = at_least_one)]
    streams_per_customer: usize,
    /// Let a caller of this role (CUSTOMER, SERVICE, OPS, or NOBODY: one address without a valid
    /// token) call so often a minute, and so often at once, such as SERVICE=6000:500; with a method
    /// this one, such as CUSTOMER/PlaceOrder=10; off is no limit; may be repeated [default:
    /// CUSTOMER=100 with tokens].
    #[arg(long, value_name = "ROLE=CALLS", env = "ORDINAL_RATE_LIMIT", value_delimiter = ',')]
    rate_limit: Vec<RateRule>,
    /// Believe X-Forwarded-For of proxies at this address or in this network, such as 10.0.0.0/8;
    /// may be repeated. Others are not believed.
    #[arg(long, value_name = "NETWORK", env = "ORDINAL_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Vec<Network>,
    /// Log a line about each refused call, about all calls, or about none: off, refusals or all.
    #[arg(long, value_name = "CALLS", env = "ORDINAL_ACCESS_LOG", default_value = "refusals")]
    access_log: AccessLog,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("must be a whole number from 1".to_owned()),
    }
}

impl BoundArgs {
    /// Sets these limits.
    pub(super) fn put(&self, settings: &mut Settings) {
        let (address, customer) = (self.connections_per_address, self.connections_per_customer);
        settings.connections = Bounds::within_descriptors(self.connections_max, address, customer);
        settings.shares = self.numbers();
        settings.rate_limits.clone_from(&self.rate_limit);
        settings.access_log = self.access_log;
        settings.proxies = Proxies::new(&self.trusted_proxies);
    }

    fn numbers(&self) -> Numbers {
        let mut numbers = Numbers::default();
        (numbers.whole.calls, numbers.kept.calls) = (self.calls_max, self.calls_max / 4);
        (numbers.whole.streams, numbers.kept.streams) = (self.streams_max, self.streams_max / 2);
        numbers.customer.calls = self.calls_per_customer;
        numbers.customer.streams = self.streams_per_customer;
        numbers
    }
}
