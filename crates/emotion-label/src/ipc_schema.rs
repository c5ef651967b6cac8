//! The schema message of Arrow IPC, with fields appended.

use std::collections::HashMap;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::convert::IpcSchemaEncoder;
use arrow::ipc::{Endianness, KeyValue, MessageHeader, Schema as RawSchema, root_as_message, root_as_schema};
use flatbuffers::{ForwardsUOffset, Vector};

use crate::flat::{Flat, Slot};

type Entries<'a> = Option<Vector<'a, ForwardsUOffset<KeyValue<'a>>>>;

/// The message of the old schema with fields appended and its metadata changed by `extend`, which returns `None` for
/// what must go; `None` if the message is damaged.
pub(crate) fn with_fields(
    message: &[u8],
    added: &SchemaRef,
    extend: impl Fn(&str, &str, &SchemaRef) -> Option<String>,
) -> Option<Vec<u8>> {
    let root = root_as_message(message).ok()?;
    let old = root.header_as_schema().filter(|schema| schema.endianness() == Endianness::Little)?;
    // What describes the columns is written anew, in the schema of the added columns; the rest is kept.
    let (mut kept, mut changed) = (Vec::new(), HashMap::new());
    for entry in old.custom_metadata().into_iter().flatten() {
        let (key, value) = (entry.key().unwrap_or_default(), entry.value().unwrap_or_default());
        match extend(key, value, added) {
            Some(same) if same == value => kept.push(entry._tab.loc()),
            Some(other) => drop(changed.insert(key.to_string(), other)),
            None => {}
        }
    }
    let added = Schema::new_with_metadata(added.fields().clone(), changed);
    let added = IpcSchemaEncoder::new().schema_to_fb(&added);
    let added = added.finished_data();
    let new = root_as_schema(added).ok()?;
    let (old_fields, new_fields) = (fields(old), fields(new));
    let new_metadata = places(new.custom_metadata());
    let features = old.features().map(|features| place_of(message, features.bytes()));

    let (mut flat, start) = Flat::new();
    let slots = [Slot::I16(root.version().0), Slot::U8(MessageHeader::Schema.0), Slot::Offset, Slot::I64(0)];
    let header = flat.table(start, &slots)[0];
    let has_features = if features.is_some() { Slot::Offset } else { Slot::Absent };
    let offsets = flat.table(header, &[Slot::I16(old.endianness().0), Slot::Offset, Slot::Offset, has_features]);
    let field_offsets = flat.offsets(offsets[0], old_fields.len() + new_fields.len());
    let metadata_offsets = flat.offsets(offsets[1], kept.len() + new_metadata.len());
    let (first, second) = (flat.embed(message), flat.embed(added));
    let within = |start: usize, places: Vec<usize>| places.into_iter().map(move |place| start + place);
    let field_targets = within(first, old_fields).chain(within(second, new_fields));
    let metadata_targets = within(first, kept).chain(within(second, new_metadata));
    for (at, target) in field_offsets.into_iter().zip(field_targets) {
        flat.point(at, target);
    }
    for (at, target) in metadata_offsets.into_iter().zip(metadata_targets) {
        flat.point(at, target);
    }
    if let Some(features) = features {
        flat.point(offsets[2], first + features);
    }
    Some(flat.finish())
}

fn fields(schema: RawSchema<'_>) -> Vec<usize> {
    schema.fields().iter().flatten().map(|field| field._tab.loc()).collect()
}

fn places(entries: Entries<'_>) -> Vec<usize> {
    entries.into_iter().flatten().map(|entry| entry._tab.loc()).collect()
}

/// The place of a vector within its buffer, from the place of its elements.
fn place_of(buffer: &[u8], elements: &[u8]) -> usize {
    elements.as_ptr().addr() - buffer.as_ptr().addr() - 4
}
