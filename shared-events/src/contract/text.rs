/// The most characters of an operator's reason.
pub const REASON_MAX: usize = 500;

/// What a text from outside may hold: a number of visible characters. Characters that hide, reverse
/// or overwrite their neighbours are refused in every text: control characters (above all NUL,
/// which Postgres accepts in no text), bidirectional marks, and zero-width characters that join
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRule {
    max: usize,
    lines: bool,
}

/// What is wrong with a text; never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Too many characters.
    #[error("at most {max} characters")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// A forbidden character.
    #[error(
        "no control, bidirectional or invisible characters; character {place} is U+{:04X}",
        u32::from(*character)
    )]
    Hidden {
        /// Its place, from 1.
        place: usize,
        /// The character.
        character: char,
    },
}

impl TextRule {
    /// A text of one line, such as a name.
    #[must_use]
    pub const fn line(max: usize) -> Self {
        Self { max, lines: false }
    }

    /// The reason of an operator's action: one line.
    #[must_use]
    pub const fn reason() -> Self {
        Self::line(REASON_MAX)
    }

    /// A text of several lines, with tabs.
    #[must_use]
    pub const fn lines(max: usize) -> Self {
        Self { max, lines: true }
    }

    /// Whether a text follows the rule.
    ///
    /// # Errors
    /// [`TextError`] for the first violation.
    pub fn check(self, text: &str) -> Result<(), TextError> {
        let mut count = 0_usize;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            count += 1;
            let breaks = match character {
                '\n' | '\t' => true,
                // Alone it makes later characters overwrite earlier ones.
                '\r' => characters.peek() == Some(&'\n'),
                _ => false,
            };
            if is_hidden(character) && !(self.lines && breaks) {
                return Err(TextError::Hidden { place: count, character });
            }
        }
        if count > self.max { Err(TextError::TooLong { max: self.max }) } else { Ok(()) }
    }
}

/// Whether a character hides, reverses or overwrites others. U+200C and U+200D do not count: words
/// of Persian, Hindi and others, and many emoji, contain them.
#[must_use]
pub const fn is_hidden(character: char) -> bool {
    match character {
        // Cc.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Bidirectional marks, embeddings, overrides and isolates.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        // Separators of lines and paragraphs.
        '\u{2028}' | '\u{2029}' => true,
        // Zero-width, and joining nothing: U+2066 to U+2069 are the isolates.
        '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        // Annotations, and tags, which spell invisible text.
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ascii_only_control_characters_are_refused() {
        for character in '\0'..='\u{7f}' {
            let text = format!("a{character}b");
            let hidden = Err(TextError::Hidden { place: 2, character });
            let is_control = character.is_ascii_control();
            assert_eq!(is_hidden(character), is_control);
            let expected = if is_control { hidden } else { Ok(()) };
            assert_eq!(TextRule::line(3).check(&text), expected, "{text:?}");
            let breaks = matches!(character, '\n' | '\t');
            let expected = if breaks { Ok(()) } else { expected };
            assert_eq!(TextRule::lines(3).check(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        for (text, max) in [("abc", 3), ("äöü", 3), ("a", 1), ("", 0)] {
            assert_eq!(TextRule::line(max).check(text), Ok(()), "{text}");
            let long = format!("{text}b");
            assert_eq!(TextRule::line(max).check(&long), Err(TextError::TooLong { max }), "{long}");
        }
    }
}
