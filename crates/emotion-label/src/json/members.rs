//! The members of an object, of which values are not decoded.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names of members and their values as they are written.
pub(crate) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub fn read(object: &'a str) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(object);
        let members = deserializer.deserialize_map(MembersVisitor)?;
        deserializer.end()?;
        Ok(members)
    }

    /// The value of the last member of a name, which is the one that readers of JSON take.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// The value of a member, or of a member of nested objects if the name has dots.
    pub fn find(&self, name: &str) -> Option<&'a RawValue> {
        if let Some(value) = self.get(name) {
            return Some(value);
        }
        name.match_indices('.').find_map(|(dot, _)| {
            let within = Members::read(self.get(&name[..dot])?.get()).ok()?;
            within.find(&name[dot + 1..])
        })
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// A name that borrows where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text of a JSON string, with U+FFFD for escaped surrogates that have no other half.
pub(crate) fn text(string: &str) -> Option<Cow<'_, str>> {
    if let Ok(Name(text)) = serde_json::from_str(string) {
        return Some(text);
    }
    let inner = string.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(start) = rest.find('\\') {
        text.push_str(&rest[..start]);
        let length = escape(&rest[start..], &mut text)?;
        rest = &rest[start + length..];
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// Appends what the escape at the start of `rest` stands for; returns its length.
fn escape(rest: &str, text: &mut String) -> Option<usize> {
    let plain = match rest.as_bytes().get(1)? {
        b'u' => return surrogates(rest, text),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        other => char::from(*other),
    };
    text.push(plain);
    Some(2)
}

/// Appends the character of one or two `\u` escapes; returns their length.
fn surrogates(rest: &str, text: &mut String) -> Option<usize> {
    const ESCAPE: usize = 6;
    let unit = |at: usize| {
        let digits = rest.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    let pair = [first, unit(ESCAPE).unwrap_or_default()];
    let (character, length) = match char::decode_utf16(pair).next()? {
        Ok(character) if character > '\u{ffff}' => (character, 2 * ESCAPE),
        Ok(character) => (character, ESCAPE),
        Err(_) => (char::REPLACEMENT_CHARACTER, ESCAPE),
    };
    text.push(character);
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced() {
        assert_eq!(text(r#""a\n\ud83d b""#).unwrap(), "a\n\u{fffd} b");
        assert_eq!(text(r#""\ud83d\ud83d\ude00\ude00é\"\\""#).unwrap(), "\u{fffd}😀\u{fffd}é\"\\");
        assert_eq!(text(r#""\ud83d\ude00""#).unwrap(), "😀");
    }

    #[test]
    fn nested_members_are_found_by_dots() {
        let members = Members::read(r#"{"a":{"b":{"c":"x"}},"a.b":1,"é":2,"\u0061":{"b.c":"y"}}"#).unwrap();
        assert_eq!(members.find("a.b").unwrap().get(), "1");
        assert_eq!(members.find("a.b.c").unwrap().get(), "\"y\"");
        assert!(members.find("a.x").is_none());
    }
}
