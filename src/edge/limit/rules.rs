use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use order_actor::domain::Role;
use shared_events::stream::redis::Gcra;

use crate::edge::shares::Caller;

/// Facts go from process to process this way: a limit would hold up followers.
const FEED: &str = "/ordinal.facts.";
/// Calls a minute of a customer, where callers have tokens.
const CUSTOMER: u32 = 100;
/// More calls a minute than any process answers.
const PER_MINUTE_MAX: u32 = 10_000_000;

/// Whose calls a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Customer,
    Service,
    Ops,
    /// Callers without a token, by their address.
    Nobody,
}

impl Who {
    const ALL: [Self; 4] = [Self::Customer, Self::Service, Self::Ops, Self::Nobody];

    const fn code(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Service => "SERVICE",
            Self::Ops => "OPS",
            Self::Nobody => "NOBODY",
        }
    }

    const fn of(caller: &Caller) -> Option<Self> {
        match caller {
            Caller::Known(Role::Customer, _) => Some(Self::Customer),
            Caller::Known(Role::Service, _) => Some(Self::Service),
            Caller::Known(Role::Ops, _) => Some(Self::Ops),
            Caller::Known(Role::Engine, _) => None,
            Caller::Unauthenticated(_) => Some(Self::Nobody),
        }
    }
}

/// How many calls a minute a kind of caller may make, of all methods or of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRule {
    who: Who,
    /// The name of a method, such as `PlaceOrder`; all without a rule of their own if none.
    method: Option<String>,
    /// Calls a minute, and calls at once; none for no limit.
    quota: Option<(u32, u32)>,
}

/// `ROLE[/METHOD]=CALLS[:AT-ONCE]`, with `off` for no limit.
impl FromStr for RateRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, quota) =
            text.split_once('=').ok_or("is not ROLE=CALLS, such as CUSTOMER=100")?;
        let (who, method) = match name.split_once('/') {
            Some((who, method)) => (who, Some(method)),
            None => (name, None),
        };
        let who = Who::ALL.into_iter().find(|known| known.code().eq_ignore_ascii_case(who));
        let who = who.ok_or("has no such role: CUSTOMER, SERVICE, OPS or NOBODY")?;
        let named =
            |name: &str| !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphabetic());
        if method.is_some_and(|method| !named(method)) {
            return Err("names no method after the /, such as PlaceOrder".to_owned());
        }
        let number = |text: &str| match text.parse::<u32>() {
            Ok(number) if (1..=PER_MINUTE_MAX).contains(&number) => Ok(number),
            _ => Err(format!("has not a number from 1 to {PER_MINUTE_MAX}, or off: {text}")),
        };
        let quota = match quota.split_once(':') {
            None if quota == "off" => None,
            None => Some((number(quota)?, number(quota)?)),
            Some((calls, at_once)) => Some((number(calls)?, number(at_once)?)),
        };
        Ok(Self { who, method: method.map(str::to_owned), quota })
    }
}

/// A limit as it is applied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// Its name, to callers and in keys: `customer`, or `customer-PlaceOrder`.
    pub(super) name: String,
    pub(super) rate: Rate,
}

/// How often a caller may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Calls a minute.
    pub(super) per_minute: u32,
    /// The same, as it is counted.
    pub(super) pace: Gcra,
}

impl Rate {
    fn new(per_minute: u32, at_once: u32) -> Self {
        Self { per_minute, pace: Gcra::per_minute(per_minute, at_once) }
    }
}

/// The limits of one kind of caller.
#[derive(Debug, Default)]
struct OfRole {
    all: Option<Arc<Quota>>,
    /// By the name of a method; none for no limit.
    methods: HashMap<String, Option<Arc<Quota>>>,
}

/// All rules, by kind of caller.
#[derive(Debug, Default)]
pub(super) struct Rules([OfRole; 4]);

impl Rules {
    /// With these rules; the first that says the same is wrong. `authenticated` callers have the
    /// default ones, too.
    pub(super) fn new(rules: &[RateRule], authenticated: bool) -> anyhow::Result<Self> {
        let mut by_role: [OfRole; 4] = Default::default();
        let mut all_set = [false; 4];
        for rule in rules {
            let RateRule { who, method, quota } = rule;
            let quota = quota.map(|quota| Arc::new(Quota::new(*who, method.as_deref(), quota)));
            let of_role = &mut by_role[*who as usize];
            let twice = match method {
                Some(method) => of_role.methods.insert(method.clone(), quota).is_some(),
                None => {
                    of_role.all = quota;
                    std::mem::replace(&mut all_set[*who as usize], true)
                }
            };
            anyhow::ensure!(!twice, "--rate-limit: two rules are for {rule}");
        }
        let customer = Who::Customer as usize;
        if authenticated && !all_set[customer] {
            by_role[customer].all =
                Some(Arc::new(Quota::new(Who::Customer, None, (CUSTOMER, CUSTOMER))));
        }
        Ok(Self(by_role))
    }

    /// Whether nothing is limited.
    pub(super) fn is_empty(&self) -> bool {
        let free = |role: &OfRole| role.all.is_none() && role.methods.values().all(Option::is_none);
        self.0.iter().all(free)
    }

    /// The limit of a caller's call to this path.
    pub(super) fn of(&self, caller: &Caller, path: &str) -> Option<&Arc<Quota>> {
        if path.starts_with(FEED) {
            return None;
        }
        self.of_refused(caller, path)
    }

    /// The limit of a call that is refused anyway: no process follows facts by it.
    pub(super) fn of_refused(&self, caller: &Caller, path: &str) -> Option<&Arc<Quota>> {
        let OfRole { all, methods } = self.0.get(Who::of(caller)? as usize)?;
        let method = match methods.is_empty() {
            true => None,
            false => path.rsplit_once('/').and_then(|(_, method)| methods.get(method)),
        };
        method.unwrap_or(all).as_ref()
    }
}

impl Quota {
    fn new(who: Who, method: Option<&str>, (per_minute, at_once): (u32, u32)) -> Self {
        let mut name = who.code().to_ascii_lowercase();
        if let Some(method) = method {
            name.push('-');
            name.push_str(method);
        }
        Self { name, rate: Rate::new(per_minute, at_once) }
    }
}

impl RateRule {
    /// Checks that no two rules say the same.
    ///
    /// # Errors
    /// Names the first that does.
    pub(crate) fn check(rules: &[Self]) -> anyhow::Result<()> {
        Rules::new(rules, false).map(|_| ())
    }

    /// The method that it names.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }
}

impl fmt::Display for RateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.who.code())?;
        self.method.as_ref().map_or(Ok(()), |method| write!(f, "/{method}"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn rules(texts: &[&str], authenticated: bool) -> anyhow::Result<Rules> {
        let rules: Vec<RateRule> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Rules::new(&rules, authenticated)
    }

    fn limit(rules: &Rules, role: Role, method: &str) -> Option<u32> {
        let caller = Caller::Known(role, "x".into());
        rules.of(&caller, &format!("/a.B/{method}")).map(|quota| quota.rate.per_minute)
    }

    #[test]
    fn customers_with_tokens_have_a_limit_and_others_only_where_one_is_set() {
        let default = rules(&[], true).unwrap();
        assert_eq!(limit(&default, Role::Customer, "GetOrder"), Some(100));
        assert_eq!(limit(&default, Role::Service, "GetOrder"), None);
        assert!(rules(&[], false).unwrap().is_empty());
        assert!(rules(&["CUSTOMER=off"], true).unwrap().is_empty());
        let set = rules(&["service=9:2", "CUSTOMER/PlaceOrder=7", "OPS/Get=off", "OPS=1"], true);
        let set = set.unwrap();
        assert_eq!(limit(&set, Role::Customer, "PlaceOrder"), Some(7));
        assert_eq!(limit(&set, Role::Customer, "GetOrder"), Some(100));
        assert_eq!(limit(&set, Role::Service, "PlaceOrder"), Some(9));
        assert_eq!(limit(&set, Role::Ops, "Get"), None);
        assert_eq!(limit(&set, Role::Ops, "Other"), Some(1));
        let nobody = Caller::Unauthenticated(IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(set.of(&nobody, "/a.B/C"), None);
    }

    #[test]
    fn a_rule_for_a_method_leaves_the_others_to_the_rule_for_all() {
        let set = rules(&["NOBODY=9", "NOBODY/GetOrder=2", "NOBODY/List=off"], true).unwrap();
        let nobody = Caller::Unauthenticated(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let limit = |path: &str| set.of(&nobody, path).map(|quota| quota.rate.per_minute);
        assert_eq!(limit("/a.B/GetOrder"), Some(2));
        assert_eq!(limit("/a.B/List"), None);
        for path in ["/a.B/PlaceOrder", "/", "", "GetOrder"] {
            assert_eq!(limit(path), Some(9), "{path}");
        }
        // Followers are not held up, and whoever is refused is none.
        let feed = format!("{FEED}v1.FactService/Follow");
        assert_eq!(limit(&feed), None);
        let refused = set.of_refused(&nobody, &feed).map(|quota| quota.rate.per_minute);
        assert_eq!(refused, Some(9));
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for (text, expected) in [
            ("CUSTOMER", "is not ROLE=CALLS"),
            ("ROOT=1", "no such role"),
            ("OPS/=1", "names no method"),
            ("OPS=0", "number from 1"),
            ("OPS=1:0", "number from 1"),
            ("OPS=-1", "number from 1"),
            ("OPS=99999999999", "number from 1"),
        ] {
            let error = text.parse::<RateRule>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = rules(&["OPS=1", "OPS=2"], false).unwrap_err().to_string();
        assert_eq!(error, "--rate-limit: two rules are for OPS");
        assert!(rules(&["OPS/A=1", "OPS/A=off"], false).is_err());
    }
}
