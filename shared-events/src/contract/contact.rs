use std::fmt;
use std::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};

use super::printable::composed;

/// How a customer is reached. Personal data: `Debug` shows nothing of it, and it appears in no log,
/// id, metric or error.
///
/// New contacts are checked ([`Contact::new`]); stored ones are read as they were written, under
/// whatever rule applied then.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Contact {
    /// E-mail address, as it was given; see [`Email`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone number in E.164: `+` and 7 to 15 digits, the first not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The language of messages.
    #[serde(default)]
    pub locale: Locale,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact(..)")
    }
}

/// What is wrong with a contact; never shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// Not an e-mail address.
    #[error(
        "not an e-mail address that can be written to, such as ada@example.org: at most 254 \
         characters; before the @ at most 64, of ASCII; after it a domain"
    )]
    Email,
    /// Not a phone number in E.164.
    #[error(
        "not a phone number in E.164 such as +442071838750: + or 00 and 7 to 15 digits that begin \
         with the country's code, without the (0) that is dialled inside of it"
    )]
    Phone,
    /// Not a language tag.
    #[error("not a language tag (BCP 47) such as en, en-GB or zh-Hant-TW")]
    Locale,
}

impl Contact {
    /// A contact from a caller's input: blanks around each part are dropped, as is the grouping of
    /// a phone number or the spelling of a language tag, and characters are composed. Empty texts
    /// count as absent.
    ///
    /// # Errors
    /// [`ContactError`] names the first part that is not well formed.
    pub fn new(email: &str, phone: &str, locale: &str) -> Result<Self, ContactError> {
        let (email, locale) = (composed(email), locale.trim());
        let contact = Self {
            email: (!email.is_empty()).then(|| email.into_owned()),
            phone: phone_number(phone)?,
            locale: if locale.is_empty() { Locale::default() } else { locale.parse()? },
        };
        contact.check()?;
        Ok(contact)
    }

    /// Whether the parts are well formed.
    ///
    /// # Errors
    /// [`ContactError`] names the first part that is not.
    pub fn check(&self) -> Result<(), ContactError> {
        if let Some(email) = &self.email {
            email.parse::<Email>()?;
        }
        if self.phone.as_deref().is_some_and(|phone| !is_e164(phone)) {
            return Err(ContactError::Phone);
        }
        Ok(())
    }
}

/// An e-mail address in the form that mail is sent to, in ASCII, so that every mail server takes
/// it. Accepting an address and writing to it follow the same rule.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email {
    local: String,
    domain: String,
}

impl Email {
    /// The part before the `@`. Quoted where it must be (RFC 5321): some providers gave addresses
    /// with consecutive dots or a dot at an end.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part after it: a domain in lower case, international ones in Punycode.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

impl FromStr for Email {
    type Err = ContactError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Quoted parts may hold an @ as well.
        let (local, domain) = text.rsplit_once('@').ok_or(ContactError::Email)?;
        let local = local_part(local).ok_or(ContactError::Email)?;
        let domain = domain_part(domain).ok_or(ContactError::Email)?;
        // RFC 5321 4.5.3.1; a longer text than its result would only take up space.
        let fits = local.len() <= 64
            && local.len() + 1 + domain.len() <= 254
            && text.chars().count() <= 254;
        if fits { Ok(Self { local, domain }) } else { Err(ContactError::Email) }
    }
}

/// RFC 5321 `Local-part`: letters, digits and some signs; other printable characters in quotes.
fn local_part(text: &str) -> Option<String> {
    let quoted = text.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or_default());
    if let Some(inside) = quoted {
        return is_quotable(inside).then(|| text.to_owned());
    }
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    if text.is_empty() || !text.chars().all(|c| atext(c) || c == '.') {
        return None;
    }
    let dots_between = text.split('.').all(|part| !part.is_empty());
    Some(if dots_between { text.to_owned() } else { format!("\"{text}\"") })
}

/// Whether this may be inside quotes: printable ASCII, with `\` before a quote or another `\`.
fn is_quotable(inside: &str) -> bool {
    let mut characters = inside.chars();
    while let Some(c) = characters.next() {
        let c = if c == '\\' { characters.next() } else { (c != '"').then_some(c) };
        if !c.is_some_and(|c| matches!(c, ' '..='~')) {
            return false;
        }
    }
    !inside.is_empty()
}

/// A domain by the rules of the DNS. No address literal: a customer who gives one is mistaken, or
/// wants us to connect to a machine of their choice.
fn domain_part(text: &str) -> Option<String> {
    // They would be dropped silently, and the mail would go to another domain.
    let ignored =
        icu_properties::CodePointSetData::new::<icu_properties::props::DefaultIgnorableCodePoint>();
    // These two matter in some scripts, and the rule itself refuses them elsewhere.
    let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}');
    if text.chars().any(|c| ignored.contains(c) && !joins(c)) {
        return None;
    }
    let domain = Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .ok()?;
    // No top-level domain is a number: that is an IP address.
    let last = domain.rsplit('.').next()?;
    (!last.bytes().all(|byte| byte.is_ascii_digit())).then(|| domain.into_owned())
}

/// A phone number as a [`Contact`] has it; none where the text is blank.
///
/// # Errors
/// [`ContactError::Phone`]
pub fn phone_number(text: &str) -> Result<Option<String>, ContactError> {
    let text = text.trim();
    if text.is_empty() { Ok(None) } else { e164(text).map(Some) }
}

/// A phone number without the characters that only group its digits, and with a plus before them.
fn e164(text: &str) -> Result<String, ContactError> {
    // It is dialled inside the country and not from outside; we cannot guess which digits are
    // meant.
    if text.contains("(0)") {
        return Err(ContactError::Phone);
    }
    let groups = |c: char| {
        c.is_whitespace()
            || matches!(c, '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}')
    };
    let number = text.replace(groups, "");
    // What is dialled before the country's code in most countries stands for the plus.
    let number = match number.strip_prefix("00") {
        Some(rest) => format!("+{rest}"),
        None => number,
    };
    if is_e164(&number) { Ok(number) } else { Err(ContactError::Phone) }
}

fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        // The shortest numbers in use have seven digits with their country code.
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// A language tag (BCP 47 in shape) as it is usually spelt: `en-GB`, `zh-Hant-TW`. `en` by default.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Locale(String);

impl Locale {
    /// The complete tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language alone: `en` of `en-GB`.
    #[must_use]
    pub fn language(&self) -> &str {
        self.0.split('-').next().unwrap_or("en")
    }
}

impl Default for Locale {
    fn default() -> Self {
        Self("en".to_owned())
    }
}

impl FromStr for Locale {
    type Err = ContactError;

    /// Also accepts common other spellings: `de_DE`, `DE`, `de-de`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let given = text.replace('_', "-");
        let mut parts = given.split('-');
        let language = parts.next().unwrap_or_default();
        let mut fits = text.len() <= 35
            && (2..=3).contains(&language.len())
            && language.bytes().all(|byte| byte.is_ascii_alphabetic());
        let mut tag = language.to_ascii_lowercase();
        // Subtags after a single letter or digit have rules of their own.
        let mut extended = false;
        for part in parts {
            fits &=
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
            extended |= part.len() == 1;
            tag.push('-');
            let letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
            match part.len() {
                2 if letters && !extended => tag.push_str(&part.to_ascii_uppercase()),
                4 if letters && !extended => {
                    tag.push_str(&part[..1].to_ascii_uppercase());
                    tag.push_str(&part[1..].to_ascii_lowercase());
                }
                _ => tag.push_str(&part.to_ascii_lowercase()),
            }
        }
        // A single one introduces an extension.
        fits &= tag.rsplit('-').next().is_some_and(|last| last.len() > 1);
        if fits { Ok(Self(tag)) } else { Err(ContactError::Locale) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_phone_number_is_none() {
        assert_eq!(phone_number(" "), Ok(None));
        let spoken = phone_number(" +44 20 7183 8750 ");
        assert_eq!(spoken, Ok(Some("+442071838750".to_owned())));
        assert_eq!(phone_number("0207"), Err(ContactError::Phone));
    }
}
