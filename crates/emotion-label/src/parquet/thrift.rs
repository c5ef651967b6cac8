//! Thrift's compact protocol, as a tree.
//!
//! The tree keeps every field, also those that this version of the format does not know, so that a footer can be
//! changed in a few places and written again.

use bytes::Bytes;

/// Structures nested deeper than this are refused.
const DEEPEST: usize = 64;
/// Structures of more fields are refused; those of the format have fewer than 20.
const MOST_FIELDS: usize = 256;

mod wire {
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const I16: u8 = 4;
    pub const I32: u8 = 5;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const UUID: u8 = 13;
}

/// A value; `wire` is the type that it is written with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Int {
        wire: u8,
        value: i64,
    },
    /// A byte, a double or a UUID, as it is written.
    Fixed {
        wire: u8,
        bytes: Bytes,
    },
    Binary(Bytes),
    List {
        wire: u8,
        element: u8,
        items: Vec<Value>,
    },
    Map {
        key: u8,
        value: u8,
        items: Vec<(Value, Value)>,
    },
    Struct(Struct),
}

impl Value {
    pub fn i64(value: i64) -> Self {
        Self::Int { wire: wire::I64, value }
    }

    pub fn i32(value: i32) -> Self {
        Self::Int { wire: wire::I32, value: value.into() }
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::Binary(Bytes::from(text.into()))
    }

    pub fn structs(items: Vec<Self>) -> Self {
        Self::List { wire: wire::LIST, element: wire::STRUCT, items }
    }

    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int { value, .. } => Some(*value),
            _ => None,
        }
    }

    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn as_struct(&self) -> Option<&Struct> {
        match self {
            Self::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    fn wire(&self) -> u8 {
        match self {
            Self::Bool(true) => wire::TRUE,
            Self::Bool(false) => wire::FALSE,
            Self::Int { wire, .. } | Self::Fixed { wire, .. } | Self::List { wire, .. } => *wire,
            Self::Binary(_) => wire::BINARY,
            Self::Map { .. } => wire::MAP,
            Self::Struct(_) => wire::STRUCT,
        }
    }
}

/// Fields by their ids, in the order in which they are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Struct(Vec<(i16, Value)>);

impl Struct {
    pub fn get(&self, id: i16) -> Option<&Value> {
        self.0.iter().find(|(other, _)| *other == id).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, id: i16) -> Option<&mut Value> {
        self.0.iter_mut().find(|(other, _)| *other == id).map(|(_, value)| value)
    }

    pub fn i64(&self, id: i16) -> Option<i64> {
        self.get(id)?.as_i64()
    }

    pub fn set(&mut self, id: i16, value: Value) {
        if let Some(old) = self.get_mut(id) {
            *old = value;
            return;
        }
        let at = self.0.iter().position(|(other, _)| *other > id).unwrap_or(self.0.len());
        self.0.insert(at, (id, value));
    }

    /// Changes a number where there is one, and keeps the width that it is written with.
    pub fn update(&mut self, id: i16, change: impl FnOnce(i64) -> i64) {
        if let Some(Value::Int { value, .. }) = self.get_mut(id) {
            *value = change(*value);
        }
    }

    pub fn remove(&mut self, id: i16) {
        self.0.retain(|(other, _)| *other != id);
    }

    pub fn list(&self, id: i16) -> Option<&[Value]> {
        match self.get(id)? {
            Value::List { items, .. } => Some(items),
            _ => None,
        }
    }

    pub fn list_mut(&mut self, id: i16) -> Option<&mut Vec<Value>> {
        match self.get_mut(id)? {
            Value::List { items, .. } => Some(items),
            _ => None,
        }
    }

    pub fn structs(&self, id: i16) -> impl Iterator<Item = &Self> {
        self.list(id).unwrap_or_default().iter().filter_map(Value::as_struct)
    }

    /// Whether the fields that are there are numbers.
    pub fn are_numbers(&self, ids: &[i16]) -> bool {
        ids.iter().filter_map(|id| self.get(*id)).all(|value| value.as_i64().is_some())
    }

    /// Whether a field, if it is there, is a list of structures, each of which passes the check.
    pub fn are_structs(&self, id: i16, check: impl Fn(&Self) -> bool) -> bool {
        let is_list = self.get(id).is_none() || self.list(id).is_some();
        is_list && self.list(id).unwrap_or_default().iter().all(|item| item.as_struct().is_some_and(&check))
    }

    pub fn child(&self, id: i16) -> Option<&Self> {
        self.get(id)?.as_struct()
    }

    pub fn child_mut(&mut self, id: i16) -> Option<&mut Self> {
        match self.get_mut(id)? {
            Value::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// Reads a structure at the start of `bytes`; returns it with its length. `None` if it is damaged.
    pub fn read(bytes: &Bytes) -> Option<(Self, usize)> {
        let mut reader = Reader { bytes, at: 0 };
        let fields = reader.fields(0)?;
        Some((fields, reader.at))
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let mut last = 0_i16;
        for (id, value) in &self.0 {
            if let Ok(delta @ 1..=15) = u8::try_from(i32::from(*id) - i32::from(last)) {
                out.push(delta << 4 | value.wire());
            } else {
                out.push(value.wire());
                write_zigzag(i64::from(*id), out);
            }
            last = *id;
            if !matches!(value, Value::Bool(_)) {
                write_value(value, out);
            }
        }
        out.push(0);
    }
}

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The number of elements that follow, each of at least one byte.
    fn count(&self, count: u64) -> Option<usize> {
        usize::try_from(count).ok().filter(|count| *count <= self.bytes.len() - self.at)
    }

    fn fields(&mut self, depth: usize) -> Option<Struct> {
        let (mut fields, mut last) = (Vec::new(), 0_i16);
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(Struct(fields));
            }
            last = match header >> 4 {
                0 => i16::try_from(self.zigzag()?).ok()?,
                delta => last.checked_add(i16::from(delta))?,
            };
            let value = match header & 0xf {
                wire::TRUE => Value::Bool(true),
                wire::FALSE => Value::Bool(false),
                wire => self.value(wire, depth)?,
            };
            // Of a field that is there twice, other readers take the last.
            if fields.len() == MOST_FIELDS || fields.iter().any(|(id, _)| *id == last) {
                return None;
            }
            fields.push((last, value));
        }
    }

    fn value(&mut self, wire: u8, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        Some(match wire {
            wire::TRUE | wire::FALSE => Value::Bool(self.byte()? == wire::TRUE),
            wire::BYTE => Value::Fixed { wire, bytes: self.take(1)? },
            wire::I16..=wire::I64 => Value::Int { wire, value: self.zigzag()? },
            wire::DOUBLE => Value::Fixed { wire, bytes: self.take(8)? },
            wire::UUID => Value::Fixed { wire, bytes: self.take(16)? },
            wire::BINARY => {
                let length = self.varint()?;
                Value::Binary(self.take(usize::try_from(length).ok()?)?)
            }
            wire::LIST | wire::SET => {
                let header = self.byte()?;
                let (count, element) = (u64::from(header >> 4), header & 0xf);
                let count = if count == 15 { self.varint()? } else { count };
                let items = (0..self.count(count)?).map(|_| self.value(element, depth + 1)).collect::<Option<_>>()?;
                Value::List { wire, element, items }
            }
            wire::MAP => {
                let count = self.varint()?;
                let types = if count == 0 { 0 } else { self.byte()? };
                let (key, value) = (types >> 4, types & 0xf);
                let item = |_| Some((self.value(key, depth + 1)?, self.value(value, depth + 1)?));
                Value::Map { key, value, items: (0..usize::try_from(count).ok()?).map(item).collect::<Option<_>>()? }
            }
            wire::STRUCT => Value::Struct(self.fields(depth + 1)?),
            _ => return None,
        })
    }
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn write_zigzag(value: i64, out: &mut Vec<u8>) {
    write_varint((value << 1 ^ value >> 63).cast_unsigned(), out);
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(value) => out.push(if *value { wire::TRUE } else { wire::FALSE }),
        Value::Int { value, .. } => write_zigzag(*value, out),
        Value::Fixed { bytes, .. } => out.extend_from_slice(bytes),
        Value::Binary(bytes) => {
            write_varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Value::List { element, items, .. } => {
            if let Ok(count @ 0..15) = u8::try_from(items.len()) {
                out.push(count << 4 | element);
            } else {
                out.push(0xf0 | element);
                write_varint(items.len() as u64, out);
            }
            for item in items {
                write_value(item, out);
            }
        }
        Value::Map { key, value, items } => {
            write_varint(items.len() as u64, out);
            if !items.is_empty() {
                out.push(key << 4 | value);
            }
            for (key, value) in items {
                write_value(key, out);
                write_value(value, out);
            }
        }
        Value::Struct(fields) => fields.write(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_written_as_it_was_read() {
        let mut fields = Struct::default();
        fields.set(1, Value::i64(-3));
        fields.set(2, Value::Bool(true));
        fields.set(40, Value::text("name"));
        fields.set(41, Value::structs(vec![Value::Struct(Struct::default()); 20]));
        fields.set(42, Value::List { wire: wire::LIST, element: wire::TRUE, items: vec![Value::Bool(false); 3] });
        fields.set(43, Value::Fixed { wire: wire::DOUBLE, bytes: Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8]) });
        let item = (Value::text("key"), Value::i64(i64::MIN));
        fields.set(44, Value::Map { key: wire::BINARY, value: wire::I64, items: vec![item] });
        let mut bytes = Vec::new();
        fields.write(&mut bytes);
        let length = bytes.len();
        assert_eq!(Struct::read(&Bytes::from(bytes)), Some((fields, length)));
    }

    #[test]
    fn damaged_trees_are_refused() {
        assert_eq!(Struct::read(&Bytes::from_static(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x7f])), None);
        assert_eq!(Struct::read(&Bytes::from(vec![0x1c; 1000])), None);
        assert_eq!(Struct::read(&Bytes::new()), None);
        let of_fields = |count| Bytes::from([vec![0x11; count], vec![0]].concat());
        assert!(Struct::read(&of_fields(MOST_FIELDS)).is_some());
        assert_eq!(Struct::read(&of_fields(MOST_FIELDS + 1)), None);
        assert_eq!(Struct::read(&Bytes::from_static(&[0x11, 0x01, 0x02, 0])), None, "field 1 is there twice");
    }
}
