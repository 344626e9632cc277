use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

use super::text::{TextError, TextRule, is_hidden};

/// Why a text is no name or sku; never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrintableError {
    /// It is empty, blank, or too long.
    #[error("1 to {max} printable characters")]
    Length {
        /// The most characters.
        max: usize,
    },
    /// It has a character that nobody sees.
    #[error(
        "printable characters only; character {place} is U+{:04X}",
        u32::from(*character)
    )]
    Hidden {
        /// Its place, from 1.
        place: usize,
        /// The character.
        character: char,
    },
}

/// A text as it is stored: blanks at its ends are cut off, and characters are composed (NFC), so
/// that one text in two encodings is equal to itself.
#[must_use]
pub fn composed(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if text.is_ascii() {
        Cow::Borrowed(text)
    } else {
        ComposingNormalizerBorrowed::new_nfc().normalize(text)
    }
}

/// The letters and digits of a text, without accents and in lower case: texts that people take for
/// the same name, such as `São Paulo` and `sao paulo`.
#[must_use]
pub fn letters(text: &str) -> String {
    let parted = DecomposingNormalizerBorrowed::new_nfd().normalize(text);
    parted.chars().filter(|one| one.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl TextRule {
    /// The text as it is stored: [`composed`]. Hidden characters are looked for in the text as it was
    /// sent, characters counted as they are stored.
    ///
    /// # Errors
    /// [`TextError`] for the first violation.
    pub fn stored(self, text: &str) -> Result<String, TextError> {
        if let Err(hidden @ TextError::Hidden { .. }) = self.check(text) {
            return Err(hidden);
        }
        let text = composed(text);
        self.check(&text)?;
        Ok(text.into_owned())
    }
}

/// A text by which something is found, as it is stored: [`composed`], with 1 to `max` characters,
/// each of them visible or a blank.
///
/// # Errors
/// [`PrintableError`]
pub fn printable(text: &str, max: usize) -> Result<Cow<'_, str>, PrintableError> {
    let text = composed(text);
    let mut count = 0_usize;
    for character in text.chars() {
        count = count.saturating_add(1);
        if is_unseen(character) {
            return Err(PrintableError::Hidden { place: count, character });
        }
    }
    if (1..=max).contains(&count) { Ok(text) } else { Err(PrintableError::Length { max }) }
}

/// Whether nobody sees a character, or it hides others. Joiners count, too: two texts that differ
/// by one alone look the same.
fn is_unseen(character: char) -> bool {
    is_hidden(character)
        || (!character.is_ascii()
            && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ascii_only_control_characters_are_unseen() {
        for character in '\0'..='\u{7f}' {
            let text = format!("a{character}b");
            let hidden = Err(PrintableError::Hidden { place: 2, character });
            let seen = Ok(Cow::Borrowed(text.as_str()));
            let expected = if character.is_ascii_control() { hidden } else { seen };
            assert_eq!(printable(&text, 3), expected, "{text:?}");
        }
        for (text, max) in [("", 3), (" ", 3), ("abcd", 3), ("äöüß", 3)] {
            assert_eq!(printable(text, max), Err(PrintableError::Length { max }), "{text:?}");
        }
    }
}
