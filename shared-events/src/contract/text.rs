/// Characters of an operator's reason at most.
pub const REASON_MAX: usize = 500;

/// What a text from outside may hold: so many characters that can all be seen. Whatever hides,
/// turns or overwrites what stands beside it is refused, wherever texts are taken: control characters
/// (NUL above all, which Postgres takes in no text), marks that turn the direction of writing, and
/// characters without width that join nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRule {
    max: usize,
    lines: bool,
}

/// What is wrong with a text; never shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Too many characters.
    #[error("at most {max} characters")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// A character that may not stand there.
    #[error(
        "no control, bidirectional or invisible characters; character {place} is U+{:04X}",
        u32::from(*character)
    )]
    Hidden {
        /// Which one, from 1.
        place: usize,
        /// What it is.
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

    /// Whether a text is by the rule.
    ///
    /// # Errors
    /// [`TextError`] of what is wrong first.
    pub fn check(self, text: &str) -> Result<(), TextError> {
        let mut count = 0_usize;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            count += 1;
            let breaks = match character {
                '\n' | '\t' => true,
                // Alone it has what follows written over what stands before.
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

/// Whether a character hides, turns or overwrites others. U+200C and U+200D do not count: words of
/// Persian, Hindi and others, and many emoji, are written with them.
#[must_use]
pub const fn is_hidden(character: char) -> bool {
    match character {
        // Cc.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Bidirectional marks, embeddings, overrides and isolates.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        // Separators of lines and paragraphs.
        '\u{2028}' | '\u{2029}' => true,
        // Of no width, and joining nothing: U+2066 to U+2069 are the isolates.
        '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        // Annotations, and tags, which spell text that nobody sees.
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}
