use std::str::FromStr;

use shared_events::chance::Chance;

use crate::Kind;

/// What goes wrong, or otherwise than at once, with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// The issuer says no. `decline_CODE`, or `decline` for `card_declined`.
    Decline(String),
    /// The request itself is refused for good. `refuse_CODE`.
    Refuse(String),
    /// Nothing happens, and no answer comes.
    TimeoutBefore,
    /// It happens, and no answer comes.
    TimeoutAfter,
    /// Nothing happens, and the provider says that it broke.
    ErrorBefore,
    /// It happens, and the provider says that it broke.
    ErrorAfter,
    /// The provider has no time; the same call may be repeated.
    Busy,
    /// It happens, and the answer takes long.
    Slow,
    /// It happens, and is not found by its reference for a while.
    Unseen,
    /// Half of the amount is authorised.
    Partial,
    /// Another currency is authorised.
    WrongCurrency,
    /// The customer must act first.
    Action,
    /// It happens later.
    Pending,
    /// It is worked on, and then declined.
    PendingFails,
    /// It is declined, and succeeds later all the same.
    LateSuccess,
    /// The issuer takes the authorisation back later.
    Reversed,
    /// It is done, and fails days later.
    FailsLater,
    /// The customer disputes it later, and nobody judges.
    Dispute,
    /// The customer disputes it later, and loses.
    DisputeWon,
    /// The customer disputes it later, and wins.
    DisputeLost,
}

/// Scripts whose name is all that they have, with the kinds of call that they fit.
static NAMED: [(&str, Script, &[Kind]); 18] = {
    use Kind::{Authorize, Capture, Payout, Refund};
    const ALL: &[Kind] = &Kind::ALL;
    [
        ("timeout_before", Script::TimeoutBefore, ALL),
        ("timeout_after", Script::TimeoutAfter, ALL),
        ("error_before", Script::ErrorBefore, ALL),
        ("error_after", Script::ErrorAfter, ALL),
        ("busy", Script::Busy, ALL),
        ("slow", Script::Slow, ALL),
        ("unseen", Script::Unseen, ALL),
        ("partial", Script::Partial, &[Authorize]),
        ("wrong_currency", Script::WrongCurrency, &[Authorize]),
        ("action", Script::Action, &[Authorize]),
        ("pending", Script::Pending, &[Authorize, Capture, Refund, Payout]),
        ("pending_fails", Script::PendingFails, &[Authorize, Capture, Refund, Payout]),
        ("late_success", Script::LateSuccess, &[Authorize]),
        ("reversed", Script::Reversed, &[Authorize]),
        ("fails_later", Script::FailsLater, &[Capture, Refund, Payout]),
        ("dispute", Script::Dispute, &[Capture]),
        ("dispute_won", Script::DisputeWon, &[Capture]),
        ("dispute_lost", Script::DisputeLost, &[Capture]),
    ]
};

/// A script that is not known, or does not fit its kind of call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// No script has this name.
    #[error("{name:?} is no script; there are decline_CODE, refuse_CODE and {}", names())]
    Unknown {
        /// What was named, shortened.
        name: String,
    },
    /// It is not `NAME=PERMILLE`, or the numbers sum to more than 1000.
    #[error("{0:?} is not NAME=N with N of 0 to 1000, together at most 1000")]
    Odds(String),
    /// It is not what goes wrong with webhooks.
    #[error(
        "{0:?} is not NAME=N with N of 0 to 1000 and a NAME of dropped, doubled, delayed, old_secret \
         and wrong_secret"
    )]
    HookOdds(String),
}

fn names() -> String {
    NAMED.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

/// Whether a text may be the code of an answer: 1 to 40 lower-case letters, digits and `_`.
fn is_code(text: &str) -> bool {
    let fits = (1..=40).contains(&text.len());
    fits && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        if let Some((_, script, _)) = NAMED.iter().find(|(name, ..)| *name == text) {
            return Ok(script.clone());
        }
        if text == "decline" {
            return Ok(Self::Decline("card_declined".to_owned()));
        }
        match (text.strip_prefix("decline_"), text.strip_prefix("refuse_")) {
            (Some(code), _) if is_code(code) => Ok(Self::Decline(code.to_owned())),
            (_, Some(code)) if is_code(code) => Ok(Self::Refuse(code.to_owned())),
            _ => Err(ScriptError::Unknown { name: text.chars().take(60).collect() }),
        }
    }
}

impl Script {
    /// Whether it can happen to a call of this kind.
    #[must_use]
    pub fn fits(&self, kind: Kind) -> bool {
        let named = NAMED.iter().find(|(_, script, _)| script == self);
        named.is_none_or(|(_, _, kinds)| kinds.contains(&kind))
    }

    /// Whether it happens to the first call of a key only, so that a repeat is answered.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(
            self,
            Self::TimeoutBefore
                | Self::TimeoutAfter
                | Self::ErrorBefore
                | Self::ErrorAfter
                | Self::Busy
                | Self::Slow
        )
    }

    /// What a token says: `tok_SCRIPT` for its authorisation, `tok_capture_SCRIPT` and its like for
    /// later calls. Another token says nothing.
    #[must_use]
    pub fn of_token(token: &str) -> Option<(Kind, Self)> {
        let text = token.strip_prefix("tok_")?;
        for kind in [Kind::Capture, Kind::Void, Kind::Refund] {
            let rest = text.strip_prefix(kind.name()).and_then(|rest| rest.strip_prefix('_'));
            if let Some(script) = rest.and_then(|rest| rest.parse::<Self>().ok()) {
                return script.fits(kind).then_some((kind, script));
            }
        }
        let script: Self = text.parse().ok()?;
        let kind = Kind::ALL.into_iter().find(|kind| script.fits(*kind))?;
        Some((kind, script))
    }
}

/// How often scripts happen by themselves, each in thousandths of the calls that it fits:
/// `timeout_after=20,decline_insufficient_funds=30`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Odds(Vec<(Script, u32)>);

impl FromStr for Odds {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let wrong = || ScriptError::Odds(text.chars().take(60).collect());
        let mut odds = Vec::new();
        let mut sum = 0_u32;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, number) = part.split_once('=').ok_or_else(wrong)?;
            let number: u32 = number.trim().parse().map_err(|_| wrong())?;
            sum = sum.saturating_add(number);
            if sum > 1000 {
                return Err(wrong());
            }
            odds.push((name.trim().parse()?, number));
        }
        Ok(Self(odds))
    }
}

impl Odds {
    /// What happens to a call of this kind.
    pub(super) fn draw(&self, kind: Kind, chance: &Chance) -> Option<Script> {
        if self.0.is_empty() {
            return None;
        }
        let mut drawn = chance.number() % 1000;
        for (script, number) in &self.0 {
            if drawn < *number {
                return script.fits(kind).then(|| script.clone());
            }
            drawn -= number;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_what_happens_and_to_which_call() {
        for (token, expected) in [
            ("tok_visa", None),
            ("pm_card_visa", None),
            ("tok_timeout_after", Some((Kind::Authorize, Script::TimeoutAfter))),
            ("tok_decline", Some((Kind::Authorize, Script::Decline("card_declined".to_owned())))),
            ("tok_refund_fails_later", Some((Kind::Refund, Script::FailsLater))),
            ("tok_capture_timeout_before", Some((Kind::Capture, Script::TimeoutBefore))),
            ("tok_dispute_lost", Some((Kind::Capture, Script::DisputeLost))),
            ("tok_void_partial", None),
        ] {
            assert_eq!(Script::of_token(token), expected, "{token}");
        }
        let declined = Script::of_token("tok_decline_insufficient_funds").unwrap();
        assert_eq!(declined.1, Script::Decline("insufficient_funds".to_owned()));
    }

    #[test]
    fn odds_are_thousandths_and_repeat_with_their_seed() {
        let odds: Odds = "timeout_after=100, decline=100".parse().unwrap();
        let draw = |seed| -> Vec<_> {
            let chance = Chance::seeded(seed);
            (0..1000).map(|_| odds.draw(Kind::Authorize, &chance)).collect()
        };
        assert_eq!(draw(7), draw(7));
        let happened = draw(7).into_iter().flatten().count();
        assert!((130..270).contains(&happened), "{happened}");
        assert_eq!(Odds::default().draw(Kind::Void, &Chance::seeded(1)), None);
        for wrong in ["timeout_after", "busy=x", "busy=900,slow=101", "nonsense=1"] {
            assert!(wrong.parse::<Odds>().is_err(), "{wrong}");
        }
    }
}
