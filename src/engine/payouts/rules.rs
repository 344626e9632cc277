//! The table `[payouts]` of the file with the providers.

use std::collections::BTreeMap;
use std::time::Duration;

use payment::domain::{BPS_MAX, PayoutRules};
use serde::Deserialize;
use shared_events::contract::{Currency, Money, PspName};

/// What a seller has earned counts so long for the reserve, unless the settings say otherwise.
const RESERVE_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);
/// The longest time that the settings may say: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);
/// A day.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// `[payouts]`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PayoutsTable {
    /// The provider that pays.
    psp: String,
    /// What was credited so long ago is paid out; the time for returns by default.
    after: Option<String>,
    /// The share of what was earned lately that stays, in hundredths of a percent.
    #[serde(default)]
    reserve_bps: u32,
    /// How long ago lately begins.
    reserve_for: Option<String>,
    /// What stays at least, one amount in each currency.
    #[serde(default)]
    reserve_minimum: Vec<String>,
    /// How much sellers may owe before people are told, one amount in each currency.
    #[serde(default)]
    debt_max: Vec<String>,
    /// When all sellers are paid out every day, by UTC.
    daily_at: Option<String>,
}

/// The rules of payouts, but for a time that other settings have.
#[derive(Clone)]
pub(crate) struct Payouts {
    rules: PayoutRules,
    after: Option<Duration>,
}

impl Payouts {
    /// Who pays.
    pub(crate) const fn rules(&self) -> &PayoutRules {
        &self.rules
    }

    /// The rules where returns may be asked for within this time.
    pub(crate) fn where_returns(&self, within: Duration) -> PayoutRules {
        PayoutRules { after: self.after.unwrap_or(within), ..self.rules.clone() }
    }
}

impl PayoutsTable {
    /// The rules.
    ///
    /// # Errors
    /// The key that is wrong, and what it must be.
    pub(crate) fn read(self) -> anyhow::Result<Payouts> {
        let psp: PspName = self.psp.parse().map_err(|error| anyhow::anyhow!("psp: {error}"))?;
        anyhow::ensure!(
            self.reserve_bps <= BPS_MAX,
            "reserve-bps: is at most {BPS_MAX}, all of what was earned"
        );
        let long = |key: &str, text: &Option<String>| {
            text.as_deref().map(|text| duration(key, text)).transpose()
        };
        let after = long("after", &self.after)?;
        let rules = PayoutRules {
            psp,
            after: Duration::ZERO,
            reserve_bps: self.reserve_bps,
            reserve_for: long("reserve-for", &self.reserve_for)?.unwrap_or(RESERVE_FOR),
            reserve_minimum: amounts("reserve-minimum", &self.reserve_minimum)?,
            debt_max: amounts("debt-max", &self.debt_max)?,
            daily_at: self.daily_at.as_deref().map(time_of_day).transpose()?,
        };
        Ok(Payouts { rules, after })
    }
}

fn duration(key: &str, text: &str) -> anyhow::Result<Duration> {
    let parsed = crate::flags::duration(text);
    let parsed = parsed.map_err(|error| anyhow::anyhow!("{key}: {error}"))?;
    anyhow::ensure!(parsed <= LONGEST, "{key}: is at most ten years");
    Ok(parsed)
}

/// Amounts such as `50.00GBP`, at most one in each currency.
fn amounts(key: &str, texts: &[String]) -> anyhow::Result<BTreeMap<Currency, i64>> {
    let mut all = BTreeMap::new();
    for text in texts {
        let amount = amount(text).filter(|amount| amount.minor >= 0);
        let amount = amount
            .ok_or_else(|| anyhow::anyhow!("{key}: an amount is like 50.00GBP, not below 0"))?;
        let before = all.insert(amount.currency, amount.minor);
        anyhow::ensure!(before.is_none(), "{key}: {} has two amounts", amount.currency);
    }
    Ok(all)
}

fn amount(text: &str) -> Option<Money> {
    let (number, code) = text.split_at_checked(text.len().checked_sub(3)?)?;
    Money::parse_decimal(number, code.parse().ok()?).ok()
}

/// A time such as `03:00`, after midnight.
fn time_of_day(text: &str) -> anyhow::Result<Duration> {
    let wrong = || anyhow::anyhow!("daily-at: is a time of the day by UTC, such as 03:00");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let fits = [hours, minutes].iter().all(|part| part.len() == 2);
    let number = |part: &str| part.parse::<u64>().ok().filter(|_| fits);
    let (hours, minutes) = number(hours).zip(number(minutes)).ok_or_else(wrong)?;
    let at = Duration::from_secs(hours * 3_600 + minutes * 60);
    if minutes < 60 && at < DAY { Ok(at) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PayoutRules, String> {
        use figment::providers::Format as _;
        let table = figment::Figment::from(figment::providers::Toml::string(text));
        let table: PayoutsTable = table.extract().map_err(|error| error.to_string())?;
        let payouts = table.read().map_err(|error| error.to_string())?;
        Ok(payouts.where_returns(30 * DAY))
    }

    #[test]
    fn rules_of_payouts_are_read_with_their_defaults() {
        let rules = read("psp = \"cards\"").unwrap();
        assert_eq!((rules.psp.as_str(), rules.after), ("cards", 30 * DAY));
        assert_eq!((rules.reserve_bps, rules.reserve_for), (0, 90 * DAY));
        assert_eq!((rules.reserve_minimum.len(), rules.daily_at), (0, None));
        let text = "psp = \"cards\"\nafter = \"7days\"\nreserve-bps = 1000\n\
            reserve-for = \"30days\"\nreserve-minimum = [\"50.00GBP\", \"5000JPY\"]\n\
            debt-max = [\"100.00GBP\"]\ndaily-at = \"03:30\"";
        let rules = read(text).unwrap();
        assert_eq!((rules.after, rules.reserve_bps, rules.reserve_for), (7 * DAY, 1_000, 30 * DAY));
        let of =
            |all: &BTreeMap<Currency, i64>, code: &str| all[&code.parse::<Currency>().unwrap()];
        assert_eq!(of(&rules.reserve_minimum, "GBP"), 5_000);
        assert_eq!(of(&rules.reserve_minimum, "JPY"), 5_000);
        assert_eq!(of(&rules.debt_max, "GBP"), 10_000);
        assert_eq!(rules.daily_at, Some(Duration::from_secs(3 * 3_600 + 30 * 60)));
    }

    #[test]
    fn a_wrong_rule_of_payouts_is_named() {
        for (line, expected) in [
            ("reserve-bps = 10001", "reserve-bps: "),
            ("after = \"soon\"", "after: "),
            ("after = \"4000days\"", "after: is at most ten years"),
            ("reserve-minimum = [\"50\"]", "reserve-minimum: "),
            ("reserve-minimum = [\"-1.00GBP\"]", "reserve-minimum: "),
            ("debt-max = [\"1.00GBP\", \"2.00GBP\"]", "debt-max: GBP has two amounts"),
            ("daily-at = \"24:00\"", "daily-at: "),
            ("daily-at = \"3:00\"", "daily-at: "),
            ("daily-at = \"03:60\"", "daily-at: "),
            ("dayly-at = \"03:00\"", "dayly-at"),
        ] {
            let error = read(&format!("psp = \"cards\"\n{line}")).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert!(read("psp = \"Cards\"").unwrap_err().contains("psp: "));
    }
}
