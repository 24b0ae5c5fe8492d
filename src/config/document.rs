//! The configuration as a TOML document: its errors are values, not a library's text.
//!
//! serde calls a method for the type that it expects (from `raw`), and an error function with the keys that it knows.
//! So [`DocumentValue`] knows what a message needs: the key, its place in the file, and what is allowed there.

use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Why a document cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is not TOML.
    Syntax(toml::de::Error),
    /// A key or a value is not what it should be.
    Mistake(Mistake),
}

/// A key or a value that is not what it should be.
#[derive(Debug)]
pub(super) struct Mistake {
    /// The names and numbers that lead to it, the last first.
    path: Vec<Part>,
    /// The position of the value in the text; empty for a key.
    pub span: Range<usize>,
    /// The mistake.
    pub kind: MistakeKind,
}

/// The kinds of mistakes.
#[derive(Debug)]
pub(super) enum MistakeKind {
    /// Unknown key; the known ones.
    UnknownKey(&'static [&'static str]),
    /// The value has another type than this.
    Type(Type),
    /// An error of a library.
    Other(String),
}

/// What a value should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Boolean,
    /// A whole number from 0 to this one.
    Number(u64),
    Text,
    Duration,
    List,
    Table,
}

#[derive(Debug)]
enum Part {
    Key(String),
    /// The number in a list of tables, from 1.
    Number(usize),
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    let table = DeTable::parse(text).map_err(Unreadable::Syntax)?;
    let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    T::deserialize(DocumentValue(&root)).map_err(Unreadable::Mistake)
}

impl Mistake {
    fn new(kind: MistakeKind) -> Self {
        Self {
            path: Vec::new(),
            span: 0..0,
            kind,
        }
    }

    fn under(mut self, part: Part) -> Self {
        self.path.push(part);
        self
    }

    /// The key with its section, as in `wake.max-wait` and `app[2].name`.
    pub(super) fn key(&self) -> String {
        let mut text = String::new();
        for part in self.path.iter().rev() {
            match part {
                Part::Key(key) if text.is_empty() => text.push_str(key),
                Part::Key(key) => text.extend([".", key.as_str()]),
                Part::Number(number) => text.extend(["[", &number.to_string(), "]"]),
            }
        }
        text
    }
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}", self.key(), self.kind)
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(MistakeKind::Other(message.to_string()))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(MistakeKind::UnknownKey(known))
    }
}

/// One value of the document.
struct DocumentValue<'a, 'i>(&'a Spanned<DeValue<'i>>);

impl DocumentValue<'_, '_> {
    fn is_not(&self, wanted: Type) -> Mistake {
        Mistake {
            span: self.0.span(),
            ..Mistake::new(MistakeKind::Type(wanted))
        }
    }

    fn number<'de, V: Visitor<'de>>(self, most: u64, visitor: V) -> Result<V::Value, Mistake> {
        let number = match self.0.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        match number.filter(|number| *number <= most) {
            Some(number) => visitor.visit_u64(number),
            None => Err(self.is_not(Type::Number(most))),
        }
    }

    fn text<'de, V: Visitor<'de>>(self, wanted: Type, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            _ => Err(self.is_not(wanted)),
        }
    }

    fn table<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.get_ref() {
            DeValue::Table(table) => visitor.visit_map(Entries {
                left: Box::new(table.iter()),
                value: None,
            }),
            _ => Err(self.is_not(Type::Table)),
        }
    }
}

impl<'de> Deserializer<'de> for DocumentValue<'_, '_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.get_ref() {
            DeValue::String(_) => self.text(Type::Text, visitor),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(negative @ ..0) => visitor.visit_i64(negative),
                _ => self.number(u64::MAX, visitor),
            },
            DeValue::Boolean(_) => self.deserialize_bool(visitor),
            DeValue::Array(_) => self.deserialize_seq(visitor),
            DeValue::Table(_) => self.table(visitor),
            DeValue::Float(_) | DeValue::Datetime(_) => Err(self.is_not(Type::Text)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.get_ref() {
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            _ => Err(self.is_not(Type::Boolean)),
        }
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.number(u16::MAX.into(), visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.number(u32::MAX.into(), visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.number(u64::MAX, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.text(Type::Text, visitor)
    }

    /// Only a duration uses this method ([`super::raw::Time`]).
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.text(Type::Duration, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.get_ref() {
            DeValue::Array(list) => visitor.visit_seq(Items {
                left: Box::new(list.iter()),
                number: 0,
            }),
            _ => Err(self.is_not(Type::List)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.table(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.table(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct enum
        identifier ignored_any
    }
}

/// A key and its value.
type KeyValue<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

/// The keys and values of a table.
struct Entries<'a, 'i> {
    left: Box<dyn Iterator<Item = KeyValue<'a, 'i>> + 'a>,
    /// The current entry.
    value: Option<(&'a str, &'a Spanned<DeValue<'i>>)>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        let Some((key, value)) = self.left.next() else {
            return Ok(None);
        };
        let key: &str = key.get_ref();
        self.value = Some((key, value));
        let read = seed.deserialize(StrDeserializer::new(key));
        read.map(Some).map_err(|e: Mistake| e.under(Part::Key(key.to_owned())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        let read = seed.deserialize(DocumentValue(value));
        read.map_err(|e| e.under(Part::Key(key.to_owned())))
    }
}

/// The values of a list.
struct Items<'a, 'i> {
    left: Box<dyn Iterator<Item = &'a Spanned<DeValue<'i>>> + 'a>,
    number: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        let Some(value) = self.left.next() else {
            return Ok(None);
        };
        self.number += 1;
        let is_table = matches!(value.get_ref(), DeValue::Table(_));
        let number = self.number;
        seed.deserialize(DocumentValue(value))
            .map(Some)
            .map_err(|e| if is_table { e.under(Part::Number(number)) } else { e })
    }
}
