/// Codes in use beside those of ISO 3166-1: the United Kingdom's and Greece's of the European Union.
const OTHER_CODES: [(&str, &str); 2] = [("UK", "GB"), ("EL", "GR")];

/// A country's code as it is usually written: blanks around it are dropped, `gb` becomes `GB`, `UK`
/// becomes `GB` and `EL` becomes `GR`. Other texts stay as they are.
#[must_use]
pub fn country_code(text: &str) -> String {
    let code = text.trim();
    if code.len() != 2 {
        return code.to_owned();
    }
    let code = code.to_ascii_uppercase();
    let other = OTHER_CODES.iter().find(|(other, _)| *other == code);
    other.map_or(code, |(_, code)| (*code).to_owned())
}

#[cfg(test)]
mod tests {
    use super::country_code;

    #[test]
    fn usual_spellings_become_one() {
        for (text, expected) in [
            ("GB", "GB"),
            (" gb ", "GB"),
            ("UK", "GB"),
            ("uk", "GB"),
            ("el", "GR"),
            ("xk", "XK"),
            ("Germany", "Germany"),
            ("ÄÖ", "ÄÖ"),
            ("", ""),
        ] {
            assert_eq!(country_code(text), expected, "{text}");
        }
    }
}
