//! `FlatBuffers` that embed others: tables of an old buffer are referred to, not built anew.
//!
//! An offset points forward. New tables and vectors therefore come first, and the embedded buffers after them.

/// A field of a table.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    Absent,
    U8(u8),
    I16(i16),
    I64(i64),
    /// An offset that is to be set.
    Offset,
}

/// Writes a buffer front to back.
pub(crate) struct Flat {
    bytes: Vec<u8>,
}

/// Where an offset is written.
pub(crate) type At = usize;

impl Flat {
    /// A buffer, and the offset of its root.
    pub fn new() -> (Self, At) {
        (Self { bytes: vec![0; 4] }, 0)
    }

    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    /// Appends a table; returns the places of its offsets.
    pub fn table(&mut self, from: At, slots: &[Slot]) -> Vec<At> {
        self.align(2);
        let vtable = self.bytes.len();
        let (mut at, mut places) = (4, Vec::new());
        for slot in slots {
            let size = match slot {
                Slot::Absent => {
                    places.push(0);
                    continue;
                }
                Slot::U8(_) => 1,
                Slot::I16(_) => 2,
                Slot::Offset => 4,
                Slot::I64(_) => 8,
            };
            at = usize::next_multiple_of(at, size);
            places.push(at);
            at += size;
        }
        let short = |value: usize| u16::try_from(value).unwrap_or_default().to_le_bytes();
        self.bytes.extend(short(4 + 2 * slots.len()));
        self.bytes.extend(short(at));
        for place in &places {
            self.bytes.extend(short(*place));
        }
        self.align(8);
        let table = self.bytes.len();
        self.bytes.resize(table + at, 0);
        self.put(table, &i32::try_from(table - vtable).unwrap_or_default().to_le_bytes());
        let mut offsets = Vec::new();
        for (slot, place) in slots.iter().zip(places) {
            match slot {
                Slot::Absent => {}
                Slot::U8(value) => self.put(table + place, &[*value]),
                Slot::I16(value) => self.put(table + place, &value.to_le_bytes()),
                Slot::I64(value) => self.put(table + place, &value.to_le_bytes()),
                Slot::Offset => offsets.push(table + place),
            }
        }
        self.point(from, table);
        offsets
    }

    /// Appends a vector of offsets; returns their places.
    pub fn offsets(&mut self, from: At, count: usize) -> Vec<At> {
        self.align(4);
        self.point(from, self.bytes.len());
        self.bytes.extend(u32::try_from(count).unwrap_or_default().to_le_bytes());
        let start = self.bytes.len();
        self.bytes.resize(start + 4 * count, 0);
        (start..self.bytes.len()).step_by(4).collect()
    }

    /// Appends a vector of structs that are aligned to 8 bytes.
    pub fn structs(&mut self, from: At, structs: &[[u8; 24]]) {
        self.align(8);
        self.bytes.extend([0; 4]);
        self.point(from, self.bytes.len());
        self.bytes.extend(u32::try_from(structs.len()).unwrap_or_default().to_le_bytes());
        self.bytes.extend(structs.as_flattened());
    }

    /// Appends another buffer; returns its start.
    pub fn embed(&mut self, buffer: &[u8]) -> usize {
        self.align(8);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(buffer);
        start
    }

    /// Sets an offset.
    pub fn point(&mut self, at: At, target: usize) {
        self.put(at, &u32::try_from(target - at).unwrap_or_default().to_le_bytes());
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
