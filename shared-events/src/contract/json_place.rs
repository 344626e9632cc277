/// Where JSON does not fit, without what stands there: serde's own text may quote a value, which
/// may be personal data.
#[must_use]
pub fn json_place(error: &serde_json::Error) -> String {
    format!("line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_no_value() {
        let error = serde_json::from_str::<u8>("\n \"1 High Street\"").unwrap_err();
        assert!(error.to_string().contains("High Street"), "{error}");
        assert_eq!(json_place(&error), "line 2 column 16");
    }
}
