//! Decodes the tree into any type that serde reads, with errors that know their key and place.
//!
//! Scalars are lenient only where nothing can be misread: a setting that is text may be written as
//! a bare number.

use super::error::Problem;
use super::tree::{Value, YamlNode};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_path_to_error::Segment;

pub fn decode<T: DeserializeOwned>(tree: &YamlNode) -> Result<T, Problem> {
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let segments = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let path: Vec<String> = segments.collect();
        error.into_inner().inside(path).located(tree)
    })
}

impl<'de> IntoDeserializer<'de, Problem> for &'de YamlNode {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for &'de YamlNode {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match (&self.value, self.scalar()) {
            (Value::Number(_) | Value::Bool(_), Some(text)) => visitor.visit_string(text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.value == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_map(visitor)
    }

    /// An empty value, as `kafka:` with nothing behind it, is an empty map.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            Value::Null | Value::Map(_) => {
                let entries = self.entries().iter().map(|entry| (entry.key.as_str(), &entry.node));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.scalar() {
            Some(text) => visitor.visit_enum(text.into_deserializer()),
            None => Err(serde::de::Error::custom("expected one word")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf
        unit unit_struct seq tuple tuple_struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Sample {
        #[serde(default)]
        wait: Option<Span>,
        #[serde(default)]
        raw: BTreeMap<String, String>,
        #[serde(default)]
        count: u16,
    }

    fn refused(text: &str) -> Problem {
        decode::<Sample>(&YamlNode::parse(text).unwrap()).unwrap_err()
    }

    #[test]
    fn settings_may_be_bare_numbers_and_empty_maps_may_be_left_out() {
        let sample: Sample =
            decode(&YamlNode::parse("wait: 5s\nraw: {linger.ms: 5, x: true}\n").unwrap()).unwrap();
        assert_eq!(sample.wait, Some(Span::from_secs(5)));
        assert_eq!((sample.raw["linger.ms"].as_str(), sample.raw["x"].as_str()), ("5", "true"));
        let empty = Sample { wait: None, raw: BTreeMap::new(), count: 0 };
        assert_eq!(decode::<Sample>(&YamlNode::parse("raw:\n").unwrap()), Ok(empty));
    }

    #[test]
    fn errors_know_key_line_and_value() {
        let unit = refused("count: 1\nwait: 10\n");
        assert_eq!((unit.key().as_str(), unit.place.as_ref().unwrap().line), ("wait", 2));
        assert!(unit.what.contains("unit is missing"), "{unit:?}");
        assert_eq!(refused("count: 70000").value.as_deref(), Some("70000"));
        let unknown = refused("\nwiat: 10s\n");
        assert_eq!((unknown.key().as_str(), unknown.place.as_ref().unwrap().line), ("wiat", 2));
        assert_eq!(&*unknown.remedy, "did you mean `wait`?");
        assert_eq!(refused("raw: {a: [1]}").key(), "raw.a");
    }
}
