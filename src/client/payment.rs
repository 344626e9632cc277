//! Payment plans on the command line.

use std::str::FromStr;

use serde_json::{Value, json};

use super::parse::Id;

/// How an order is paid: a provider and settings of the plan, with commas between them, such as
/// `stripe,capture=ON_CONFIRM,fee=250`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    psp: String,
    capture: Option<String>,
    policy: Option<String>,
    ship: Option<String>,
    fee: u32,
    fees: Vec<(Id, u32)>,
}

const FORM: &str = "is not PROVIDER[,capture=ON_FULFIL|ON_CONFIRM][,policy=ALL_OR_NONE|PER_SELLER]\
                    [,ship=AUTHORIZED|CAPTURED][,fee=BPS][,SELLER=BPS ...]";

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || FORM.to_owned();
        let mut parts = text.split(',');
        let psp = parts.next().filter(|psp| !psp.is_empty() && !psp.contains('='));
        let psp = psp.ok_or_else(wrong)?.to_owned();
        let (capture, policy, ship, fee, fees) = (None, None, None, 0, Vec::new());
        let mut plan = Self { psp, capture, policy, ship, fee, fees };
        let word = |prefix: &str, value: &str, known: [&str; 2]| {
            let value = value.to_ascii_uppercase().replace('-', "_");
            if known.contains(&value.as_str()) {
                Ok(Some(format!("{prefix}_{value}")))
            } else {
                Err(wrong())
            }
        };
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(wrong)?;
            let bps = || value.parse::<u32>().map_err(|_| wrong());
            match key {
                "capture" => {
                    plan.capture = word("CAPTURE_POLICY", value, ["ON_FULFIL", "ON_CONFIRM"])?;
                }
                "policy" => {
                    plan.policy = word("PAYMENT_POLICY", value, ["ALL_OR_NONE", "PER_SELLER"])?;
                }
                "ship" => plan.ship = word("SHIP_WHEN", value, ["AUTHORIZED", "CAPTURED"])?,
                "fee" => plan.fee = bps()?,
                seller => plan.fees.push((seller.parse().map_err(|_| wrong())?, bps()?)),
            }
        }
        Ok(plan)
    }
}

impl Plan {
    /// As `PaymentPlan`.
    pub fn to_json(&self) -> Value {
        let fees = self
            .fees
            .iter()
            .map(|(seller, bps)| json!({ "seller_id": seller.to_string(), "fee_bps": bps }));
        let mut plan = json!({
            "psp": self.psp, "fee_bps": self.fee, "fees": fees.collect::<Vec<_>>(),
        });
        for (field, said) in
            [("capture", &self.capture), ("policy", &self.policy), ("ship_when", &self.ship)]
        {
            if let Some(said) = said {
                plan[field] = json!(said);
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_becomes_json() {
        let seller = "0190a0b0-0000-7000-8000-000000000001";
        let plan: Plan = format!("stripe,capture=on-confirm,ship=CAPTURED,fee=250,{seller}=100")
            .parse()
            .unwrap();
        let expected = json!({
            "psp": "stripe", "capture": "CAPTURE_POLICY_ON_CONFIRM",
            "ship_when": "SHIP_WHEN_CAPTURED", "fee_bps": 250,
            "fees": [{ "seller_id": seller, "fee_bps": 100 }],
        });
        assert_eq!(plan.to_json(), expected);
        let plain: Plan = "wallet".parse().unwrap();
        assert_eq!(plain.to_json(), json!({ "psp": "wallet", "fee_bps": 0, "fees": [] }));
        for wrong in
            ["", "capture=ON_FULFIL", "stripe,later", "stripe,capture=soon", "stripe,fee=x"]
        {
            assert!(wrong.parse::<Plan>().is_err(), "{wrong}");
        }
    }
}
