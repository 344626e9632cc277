//! Countries as people write them.

use celes::Country;
use shared_events::contract::country_code;

use crate::lab::load::countries as names;

/// Names that the crate lacks or gives to another country.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("Czechia", "CZ"),
    ("Russia", "RU"),
    ("Samoa", "WS"),
    ("South Korea", "KR"),
    ("Taiwan", "TW"),
    ("Turkey", "TR"),
    ("Vietnam", "VN"),
    ("Kosovo", "XK"),
];

/// The ISO 3166-1 alpha-2 code of a country that is written as a code or by its English name, or
/// the text unchanged for the engine to judge.
pub fn code(text: &str) -> String {
    let text = text.trim();
    let known = names::code(text);
    if known != text {
        return known.to_owned();
    }
    if text.len() == 2 {
        return country_code(text);
    }
    if let Some((_, code)) = OTHER_NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return (*code).to_owned();
    }
    let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
    let found = Country::from_alpha3(text).or_else(|_| letters.parse::<Country>());
    found.map_or_else(|_| text.to_owned(), |country| country.alpha2.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_known_by_code_and_by_name() {
        for (text, expected) in [
            ("US", "US"),
            ("us", "US"),
            ("UK", "GB"),
            ("EL", "GR"),
            ("GBR", "GB"),
            ("XK", "XK"),
            ("United States", "US"),
            ("united states", "US"),
            ("USA", "US"),
            ("United Kingdom", "GB"),
            ("Germany", "DE"),
            ("Mexico", "MX"),
            ("India", "IN"),
            ("New Zealand", "NZ"),
            ("South Korea", "KR"),
            ("Russia", "RU"),
            ("Czechia", "CZ"),
            ("Czech Republic", "CZ"),
            ("Taiwan", "TW"),
            ("Vietnam", "VN"),
            ("Turkey", "TR"),
            ("Samoa", "WS"),
            ("Bosnia and Herzegovina", "BA"),
            ("Atlantis", "Atlantis"),
            ("", ""),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }
}
