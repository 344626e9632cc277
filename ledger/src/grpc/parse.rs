use service_edge::time::instant;
use service_edge::{Violations, one_of};
use shared_events::contract::{Currency, Money, MoneyError, Timestamp};

use super::proto::{self, leg::Step};
use crate::domain::{
    AccountKind, AccountName, ChartAccount, Entry, EntryId, LEGS_MAX, Leg, Limit, Malformed,
    NewAccount, wallet_of,
};

/// An account to open, and the reason.
pub(super) fn opened(
    request: &proto::OpenAccountRequest,
) -> Result<(NewAccount, String), Violations> {
    use proto::{AccountKind as Kind, AccountLimit as Asked};
    let mut violations = Violations::default();
    let name = violations.parsed("name", &request.name);
    let kind = match Kind::try_from(request.kind) {
        Ok(Kind::Asset) => Some(AccountKind::Asset),
        Ok(Kind::Liability) => Some(AccountKind::Liability),
        Ok(Kind::Equity) => Some(AccountKind::Equity),
        Ok(Kind::Income) => Some(AccountKind::Income),
        Ok(Kind::Expense) => Some(AccountKind::Expense),
        Ok(Kind::Memo) => Some(AccountKind::Memo),
        Ok(Kind::Unspecified) | Err(_) => None,
    };
    if kind.is_none() {
        violations.wrong("kind", one_of(Kind::as_str_name));
    }
    let currency = violations.parsed::<Currency>("currency_code", &request.currency_code);
    let limit = match Asked::try_from(request.limit) {
        Ok(Asked::Unspecified) => Some(Limit::None),
        Ok(Asked::DebitsWithinCredits) => Some(Limit::DebitsWithinCredits),
        Ok(Asked::CreditsWithinDebits) => Some(Limit::CreditsWithinDebits),
        Err(_) => None,
    };
    if limit.is_none() {
        violations.wrong("limit", format!("{}, or none", one_of(Asked::as_str_name)));
    }
    let reason = violations.reason("reason", &request.reason);
    match (name, kind, currency, limit) {
        (Some(name), Some(kind), Some(currency), Some(limit)) if violations.is_empty() => {
            let terms = NewAccount { name, kind, currency, limit };
            as_wallets_are(&terms)?;
            Ok((terms, reason))
        }
        _ => Err(violations),
    }
}

/// When an account is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// As it is.
    Now,
    /// After the transfer at this position.
    Position(u64),
    /// After the last transfer that was booked by then.
    Time(Timestamp),
}

/// The account, and when.
pub(super) fn account_asked(
    request: &proto::GetAccountRequest,
) -> Result<(AccountName, Then), Violations> {
    let mut violations = Violations::default();
    let name = violations.parsed("name", &request.name);
    let then = match (request.position, &request.as_of_time) {
        (0, None) => Then::Now,
        (position, None) => Then::Position(position),
        (0, Some(time)) => match instant(time) {
            Some(at) => Then::Time(at),
            None => {
                violations.wrong("as_of_time", "not an instant of the calendar");
                Then::Now
            }
        },
        (_, Some(_)) => {
            violations.wrong("as_of_time", "only where position is 0");
            Then::Now
        }
    };
    match name {
        Some(name) if violations.is_empty() => Ok((name, then)),
        _ => Err(violations),
    }
}

/// An account with the name of a wallet has its terms: else it could be spent below zero.
fn as_wallets_are(terms: &NewAccount) -> Result<(), Violations> {
    let mut violations = Violations::default();
    let wallet = wallet_of(&terms.name);
    let wallet = wallet.and_then(|(id, currency)| ChartAccount::Wallet(id).terms(currency).ok());
    let Some(wallet) = wallet else { return Ok(()) };
    if terms.kind != wallet.kind {
        violations.wrong("kind", format_args!("a wallet is {}", wallet.kind.code()));
    }
    if terms.currency != wallet.currency {
        violations.wrong("currency_code", "that of the wallet's name");
    }
    if terms.limit != wallet.limit {
        violations.wrong("limit", format_args!("a wallet has {}", wallet.limit.code()));
    }
    violations.none_or()
}

/// What every entry has, whichever call it came by.
pub(super) struct Form<'a> {
    pub(super) id_field: &'static str,
    pub(super) id: &'a str,
    pub(super) reason: &'a str,
}

impl Form<'_> {
    /// An entry of these legs.
    pub(super) fn entry(self, legs: Vec<proto::Leg>) -> Result<Entry, Violations> {
        let mut steps = Vec::new();
        let mut violations = Violations::default();
        if legs.is_empty() || legs.len() > LEGS_MAX {
            violations.wrong("legs", "1 to 100 legs");
            return self.checked(steps, violations);
        }
        for (nth, leg) in legs.into_iter().enumerate() {
            match leg.step {
                Some(step) => {
                    let name = step_name(&step);
                    steps.push((format!("legs[{nth}].{name}."), step));
                }
                None => violations.wrong(
                    format!("legs[{nth}].step"),
                    "required; one of transfer, hold, post, void",
                ),
            }
        }
        self.checked(steps, violations)
    }

    /// An entry of one leg, whose fields are those of the call.
    pub(super) fn one(self, step: Step) -> Result<Entry, Violations> {
        self.checked(vec![(String::new(), step)], Violations::default())
    }

    fn checked(
        self,
        steps: Vec<(String, Step)>,
        mut violations: Violations,
    ) -> Result<Entry, Violations> {
        let id = violations.parsed::<EntryId>(self.id_field, self.id);
        let mut legs = Vec::new();
        for (path, step) in &steps {
            legs.extend(leg_of(path, step, &mut violations));
        }
        let reason = violations.reason("reason", self.reason);
        let (Some(id), true) = (id, violations.is_empty()) else { return Err(violations) };
        Entry::new(id, legs, reason).map_err(|wrong| {
            let mut violations = Violations::default();
            for Malformed { field, what } in wrong {
                let field = match field.as_str() {
                    "entry_id" => self.id_field.to_owned(),
                    field => shown(field, &steps),
                };
                violations.wrong(field, what);
            }
            violations
        })
    }
}

const fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Transfer(_) => "transfer",
        Step::Hold(_) => "hold",
        Step::Post(_) => "post",
        Step::Void(_) => "void",
    }
}

/// A field of the domain, such as `legs[2].amount`, by its path in the request.
fn shown(field: &str, steps: &[(String, Step)]) -> String {
    let place = field.strip_prefix("legs[").and_then(|rest| rest.split_once("]."));
    let Some((nth, field)) = place else { return field.to_owned() };
    let path = nth.parse().ok().and_then(|nth: usize| steps.get(nth));
    let field = if field == "seconds" { "expires_in" } else { field };
    path.map_or_else(|| field.to_owned(), |(path, _)| format!("{path}{field}"))
}

/// A leg; none, and violations, where a field is malformed.
fn leg_of(path: &str, step: &Step, violations: &mut Violations) -> Option<Leg> {
    let at = |field: &str| format!("{path}{field}");
    match step {
        Step::Transfer(leg) => {
            let debit = violations.parsed(&at("debit"), &leg.debit);
            let credit = violations.parsed(&at("credit"), &leg.credit);
            let amount = required(&at("amount"), leg.amount.as_ref(), violations);
            Some(Leg::Transfer { debit: debit?, credit: credit?, amount: amount? })
        }
        Step::Hold(leg) => {
            let debit = violations.parsed(&at("debit"), &leg.debit);
            let credit = violations.parsed(&at("credit"), &leg.credit);
            let amount = required(&at("amount"), leg.amount.as_ref(), violations);
            let expires_in = leg.expires_in.as_ref();
            let seconds =
                expires_in.map(|life| seconds(&at("expires_in"), life, violations)).transpose();
            let seconds = seconds.ok()?;
            Some(Leg::Hold { debit: debit?, credit: credit?, amount: amount?, seconds })
        }
        Step::Post(leg) => {
            let hold = violations.parsed(&at("hold_id"), &leg.hold_id);
            let amount = match leg.amount.as_ref() {
                Some(amount) => Some(money(&at("amount"), amount, violations)?),
                None => None,
            };
            Some(Leg::Post { hold: hold?, amount })
        }
        Step::Void(leg) => {
            let hold = violations.parsed(&at("hold_id"), &leg.hold_id);
            Some(Leg::Void { hold: hold? })
        }
    }
}

/// A field is malformed; its violation was noted.
struct Noted;

fn seconds(
    field: &str,
    life: &prost_types::Duration,
    violations: &mut Violations,
) -> Result<u32, Noted> {
    match u32::try_from(life.seconds) {
        Ok(seconds) if life.nanos == 0 && seconds > 0 => Ok(seconds),
        _ => {
            violations.wrong(field, "1 second to 10 years, in whole seconds");
            Err(Noted)
        }
    }
}

pub(super) fn required(
    path: &str,
    amount: Option<&proto::Money>,
    violations: &mut Violations,
) -> Option<Money> {
    let Some(amount) = amount else {
        violations.wrong(path, "required; more than 0");
        return None;
    };
    money(path, amount, violations)
}

fn money(path: &str, amount: &proto::Money, violations: &mut Violations) -> Option<Money> {
    let currency = violations.parsed(&format!("{path}.currency_code"), &amount.currency_code)?;
    let money = Money::from_units_nanos(amount.units, amount.nanos, currency);
    money
        .map_err(|error| {
            let part = if error == MoneyError::Overflow { "units" } else { "nanos" };
            violations.wrong(format!("{path}.{part}"), error);
        })
        .ok()
}
