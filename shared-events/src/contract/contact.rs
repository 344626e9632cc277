use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a customer is reached. Personal data: `Debug` shows nothing of it, and it stands in no log,
/// id, metric or error.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Contact {
    /// E-mail address: one `@` with text on both sides, at most 254 characters (RFC 5321).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone number in E.164: `+` and 2 to 15 digits, the first not 0.
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
    #[error("not an e-mail address of at most 254 characters")]
    Email,
    /// Not a phone number in E.164.
    #[error("not a phone number in E.164 such as +442071838750")]
    Phone,
    /// Not a language tag.
    #[error("not a language tag such as en or en-GB")]
    Locale,
}

impl Contact {
    /// A contact of checked parts. Empty texts count as absent.
    ///
    /// # Errors
    /// [`ContactError`] names the first part that is not well formed.
    pub fn new(email: &str, phone: &str, locale: &str) -> Result<Self, ContactError> {
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let contact = Self {
            email: present(email),
            phone: present(phone),
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
        if self.email.as_deref().is_some_and(|email| !is_email(email)) {
            return Err(ContactError::Email);
        }
        if self.phone.as_deref().is_some_and(|phone| !is_e164(phone)) {
            return Err(ContactError::Phone);
        }
        Ok(())
    }
}

fn is_email(text: &str) -> bool {
    let clean =
        |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_control() || c.is_whitespace());
    text.len() <= 254
        && text.split_once('@').is_some_and(|(local, domain)| {
            clean(local) && clean(domain) && !domain.contains('@') && local.len() <= 64
        })
}

fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (2..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// A language tag (BCP 47 in shape): letters, digits and `-`, 2 to 35 characters. `en` by default.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locale(String);

impl Locale {
    /// The whole tag.
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

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let language = text.split('-').next().unwrap_or_default();
        let parts_fit = text.split('-').all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let language_fits = (2..=3).contains(&language.len())
            && language.bytes().all(|byte| byte.is_ascii_lowercase());
        if text.len() <= 35 && parts_fit && language_fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(ContactError::Locale)
        }
    }
}

impl TryFrom<String> for Locale {
    type Error = ContactError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Locale> for String {
    fn from(locale: Locale) -> Self {
        locale.0
    }
}
