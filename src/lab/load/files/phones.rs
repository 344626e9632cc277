//! Phone numbers as people write them.

use shared_events::contract::Contact;

/// Countries with the code under which they are called (ITU-T E.164) and the digits that only calls
/// within them begin with (ITU's list of national prefixes). In those that are not here, a number
/// needs its country code.
const CODES: &str = "\
US 1 1,CA 1 1,PR 1 1,GB 44 0,IE 353 0,DE 49 0,AT 43 0,CH 41 0,LI 423 -,FR 33 0,BE 32 0,NL 31 0,\
LU 352 -,ES 34 -,PT 351 -,IT 39 -,GR 30 -,MT 356 -,CY 357 -,DK 45 -,NO 47 -,SE 46 0,FI 358 0,\
IS 354 -,EE 372 -,LV 371 -,PL 48 -,CZ 420 -,SK 421 0,SI 386 0,HR 385 0,RO 40 0,BG 359 0,\
RS 381 0,UA 380 0,TR 90 0,IL 972 0,AE 971 0,SA 966 0,EG 20 0,ZA 27 0,NG 234 0,KE 254 0,IN 91 0,\
PK 92 0,BD 880 0,ID 62 0,MY 60 0,SG 65 -,TH 66 0,VN 84 0,PH 63 0,HK 852 -,TW 886 0,KR 82 0,\
JP 81 0,CN 86 0,AU 61 0,NZ 64 0,CL 56 -,PE 51 0";

/// The number in E.164. One without a country code is read as one of this country (ISO 3166-1
/// alpha-2). None where it is no number there.
pub fn e164(text: &str, country: &str) -> Option<String> {
    let checked = |text: &str| Contact::new("", text, "").ok()?.phone;
    let text = text.trim();
    if text.starts_with('+') {
        return checked(text);
    }
    if let Some(rest) = text.strip_prefix("00") {
        return checked(&format!("+{rest}"));
    }
    let mut known = CODES.split(',').filter_map(|row| row.strip_prefix(country)?.strip_prefix(' '));
    let (code, prefix) = known.next()?.split_once(' ')?;
    let groups = |c: char| c.is_whitespace() || matches!(c, '-' | '.' | '/' | '(' | ')');
    let digits = text.replace(groups, "");
    let national = digits.strip_prefix(prefix).unwrap_or(&digits);
    // Shorter ones are dialled within a town, or belong to services.
    if national.len() < 7 || code == "1" && national.len() != 10 {
        return None;
    }
    checked(&format!("+{code}{national}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_country_code_is_one_of_its_country() {
        for (text, country, expected) in [
            ("+44 20 7183 8750", "", Some("+442071838750")),
            ("(212) 456-7890", "US", Some("+12124567890")),
            ("1-212-456-7890", "US", Some("+12124567890")),
            ("030 901820", "DE", Some("+4930901820")),
            ("0049 30 901820", "DE", Some("+4930901820")),
            ("06 6982 1234", "IT", Some("+390669821234")),
            ("456-7890", "US", None),
            ("123", "DE", None),
            ("call me", "US", None),
            ("030 901820", "", None),
            ("030 901820", "XX", None),
        ] {
            assert_eq!(e164(text, country).as_deref(), expected, "{text}");
        }
    }
}
