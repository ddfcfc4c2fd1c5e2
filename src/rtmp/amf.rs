//! AMF0 (Adobe's "Action Message Format -- AMF 0"), read with a ceiling on depth, count and size.
//!
//! Reading keeps a list of open containers instead of recursing, so no input can exhaust the
//! stack, and never allocates from a count that the input only claims.

use std::collections::HashMap;

use rml_amf0::Amf0Value;

use crate::base::Limits;

/// One AMF0 value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Boolean(bool),
    /// Short, long and XML strings; bytes that are no UTF-8 are replaced.
    String(String),
    /// Anonymous and typed objects and ECMA arrays.
    Object(Object),
    /// A strict array.
    Array(Vec<Value>),
    /// Milliseconds since 1970.
    Date(f64),
    Null,
    /// `undefined`, `unsupported`, and references, which nobody sends and we do not resolve.
    Undefined,
}

impl Value {
    /// Makes an object of pairs, in this order.
    pub fn object<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self::Object(Object { pairs })
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// Named values in the order they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pairs: Vec<(String, Value)>,
}

impl Object {
    /// The value of this name; where a name came twice, the later one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(Value::as_number)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    #[error("an AMF0 message of {got} bytes where {max} are allowed")]
    TooLong { got: usize, max: usize },
    #[error("AMF0 values nested deeper than {max}")]
    TooDeep { max: usize },
    #[error("more than {max} AMF0 values in one message")]
    TooManyValues { max: usize },
    #[error("an AMF0 string of {got} bytes where {max} are allowed")]
    StringTooLong { got: usize, max: usize },
    #[error("AMF0 that ends in the middle of a value")]
    Truncated,
    #[error("AMF0 marker {0:#04x}, which is unknown or not supported")]
    Marker(u8),
}

impl AmfError {
    /// A ceiling was reached, so this peer is let go; the other errors only spoil one message.
    pub fn is_ceiling(&self) -> bool {
        match self {
            Self::TooLong { .. }
            | Self::TooDeep { .. }
            | Self::TooManyValues { .. }
            | Self::StringTooLong { .. } => true,
            Self::Truncated | Self::Marker(_) => false,
        }
    }

    /// The metric label and log field.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "amf_too_long",
            Self::TooDeep { .. } => "amf_too_deep",
            Self::TooManyValues { .. } => "amf_too_many_values",
            Self::StringTooLong { .. } => "amf_string_too_long",
            Self::Truncated => "amf_truncated",
            Self::Marker(_) => "amf_marker",
        }
    }
}

/// What reading a message gave: the values that were whole, and what stopped it, if anything did.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub values: Vec<Value>,
    pub error: Option<AmfError>,
}

/// Reads a message that is a run of AMF0 values.
pub fn parse(bytes: &[u8], limits: &Limits) -> Parsed {
    let mut values = Vec::new();
    let max = limits.amf_bytes_max;
    if bytes.len() > max {
        return Parsed { values, error: Some(AmfError::TooLong { got: bytes.len(), max }) };
    }
    let mut reader = Reader { rest: bytes, limits, values_left: limits.amf_values_max };
    let mut error = None;
    while !reader.rest.is_empty() && error.is_none() {
        match reader.value() {
            Ok(value) => values.push(value),
            Err(stopped) => error = Some(stopped),
        }
    }
    Parsed { values, error }
}

/// Writes a run of values. An object with a name twice keeps the later one.
pub fn render(values: &[Value]) -> Vec<u8> {
    let values = values.iter().cloned().map(Amf0Value::from).collect();
    rml_amf0::serialize(&values).expect("we send no string above 65,535 bytes")
}

/// For writing only; our own values are flat, so this may recurse.
impl From<Value> for Amf0Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Number(number) | Value::Date(number) => Self::Number(number),
            Value::Boolean(truth) => Self::Boolean(truth),
            Value::String(text) => Self::Utf8String(text),
            Value::Object(object) => {
                let pairs = object.pairs.into_iter().map(|(key, value)| (key, value.into()));
                Self::Object(pairs.collect::<HashMap<_, _>>())
            }
            Value::Array(items) => Self::StrictArray(items.into_iter().map(Into::into).collect()),
            Value::Null => Self::Null,
            Value::Undefined => Self::Undefined,
        }
    }
}

/// A value that is still being filled.
enum Open {
    Object { pairs: Vec<(String, Value)>, key: String },
    Array { items: Vec<Value>, left: u32 },
}

/// What a marker and its fixed part gave.
enum Item {
    Whole(Value),
    Object,
    Array { count: u32 },
}

struct Reader<'a> {
    rest: &'a [u8],
    limits: &'a Limits,
    values_left: usize,
}

impl Reader<'_> {
    /// Reads one top-level value with everything inside it.
    fn value(&mut self) -> Result<Value, AmfError> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut done = match self.item()? {
                Item::Whole(value) => Some(value),
                Item::Object => self.enter_object(&mut open)?,
                Item::Array { count: 0 } => Some(Value::Array(Vec::new())),
                Item::Array { count } => {
                    self.check_depth(&open)?;
                    open.push(Open::Array { items: Vec::new(), left: count });
                    None
                }
            };
            // A finished value may finish the containers around it.
            while let Some(value) = done {
                let Some(parent) = open.pop() else { return Ok(value) };
                done = self.add(parent, value, &mut open)?;
            }
        }
    }

    /// Opens an object, or answers an empty one at once.
    fn enter_object(&mut self, open: &mut Vec<Open>) -> Result<Option<Value>, AmfError> {
        self.check_depth(open)?;
        let Some(key) = self.key()? else { return Ok(Some(Value::Object(Object::default()))) };
        open.push(Open::Object { pairs: Vec::new(), key });
        Ok(None)
    }

    /// Puts `value` into `parent`, which is given back if that filled it, and reopened if not.
    fn add(
        &mut self,
        parent: Open,
        value: Value,
        open: &mut Vec<Open>,
    ) -> Result<Option<Value>, AmfError> {
        match parent {
            Open::Object { mut pairs, key } => {
                pairs.push((key, value));
                match self.key()? {
                    Some(key) => open.push(Open::Object { pairs, key }),
                    None => return Ok(Some(Value::Object(Object { pairs }))),
                }
            }
            Open::Array { mut items, left } => {
                items.push(value);
                if left == 1 {
                    return Ok(Some(Value::Array(items)));
                }
                open.push(Open::Array { items, left: left - 1 });
            }
        }
        Ok(None)
    }

    fn check_depth(&self, open: &[Open]) -> Result<(), AmfError> {
        let max = self.limits.amf_depth_max;
        if open.len() < max { Ok(()) } else { Err(AmfError::TooDeep { max }) }
    }

    fn item(&mut self) -> Result<Item, AmfError> {
        let max = self.limits.amf_values_max;
        self.values_left =
            self.values_left.checked_sub(1).ok_or(AmfError::TooManyValues { max })?;
        let [marker] = self.take()?;
        Ok(Item::Whole(match marker {
            0x00 => Value::Number(f64::from_be_bytes(self.take()?)),
            0x01 => Value::Boolean(self.take::<1>()? != [0]),
            0x02 => Value::String(self.short_string()?),
            0x03 => return Ok(Item::Object),
            0x05 => Value::Null,
            0x06 | 0x0D => Value::Undefined,
            0x07 => {
                self.take::<2>()?;
                Value::Undefined
            }
            0x08 => {
                // The count of an ECMA array is a hint; the end marker decides.
                self.take::<4>()?;
                return Ok(Item::Object);
            }
            0x0A => return Ok(Item::Array { count: u32::from_be_bytes(self.take()?) }),
            0x0B => {
                let millis = f64::from_be_bytes(self.take()?);
                self.take::<2>()?;
                Value::Date(millis)
            }
            0x0C | 0x0F => {
                let length = u32::from_be_bytes(self.take()?);
                Value::String(self.string(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            0x10 => {
                self.short_string()?;
                return Ok(Item::Object);
            }
            unknown => return Err(AmfError::Marker(unknown)),
        }))
    }

    /// The next name of an object, or `None` at its end. Some encoders end the message where the
    /// end marker of the last object should stand; that ends the object too.
    fn key(&mut self) -> Result<Option<String>, AmfError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.short_string()?;
        if key.is_empty() && self.rest.first().is_none_or(|&marker| marker == 0x09) {
            self.rest = self.rest.get(1..).unwrap_or_default();
            return Ok(None);
        }
        Ok(Some(key))
    }

    fn short_string(&mut self) -> Result<String, AmfError> {
        let length = u16::from_be_bytes(self.take()?);
        self.string(usize::from(length))
    }

    fn string(&mut self, length: usize) -> Result<String, AmfError> {
        let max = self.limits.amf_string_bytes_max;
        if length > max {
            return Err(AmfError::StringTooLong { got: length, max });
        }
        let (text, rest) = self.rest.split_at_checked(length).ok_or(AmfError::Truncated)?;
        self.rest = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(AmfError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }
}

#[cfg(test)]
#[path = "amf_tests.rs"]
mod tests;
