//! The types of the fields of JSON lines, from all of their rows.
//!
//! `DataFusion` infers them from the first rows of a file that it holds in memory, makes integers above those of 64 bits
//! with a sign doubles, and finds only when it reads the file that a field has values of several types.

use std::collections::HashMap;
use std::fmt::{self, Formatter};
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::error::Result;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::chunks::{Chunks, file_compression, read};
use crate::csv_values::LARGEST_INTEGER;
use crate::format::Compression;
use crate::json_text::Mended;
use crate::object::Object;

/// Fields at most, at any depth: an object whose keys are data, such as a map from users to counts, has one per key.
const MOST_FIELDS: usize = 1 << 16;

/// The schema of JSON lines, inferred from all rows.
#[derive(Debug, Default)]
pub struct JsonShape {
    rows: Objects,
}

/// A field whose values no type holds as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The names of the fields down to it, joined by dots.
    pub field: String,
    /// What its values are, such as `texts and numbers`.
    pub values: String,
}

/// The fields of objects, in the order in which they first come.
#[derive(Debug, Default)]
struct Objects {
    fields: Vec<(String, Values)>,
    places: HashMap<String, usize>,
}

/// The values of a field.
#[derive(Debug, Default)]
struct Values {
    has_booleans: bool,
    has_texts: bool,
    numbers: Option<Numbers>,
    items: Option<Box<Values>>,
    objects: Option<Objects>,
}

#[derive(Debug, Default)]
struct Numbers {
    has_fractions: bool,
    has_negative: bool,
    /// Whether there are integers that need all 64 bits, without a sign.
    has_unsigned: bool,
    /// The largest of the integers without their signs.
    largest: u64,
}

impl JsonShape {
    /// Reads the whole file; as a [`JsonText`](crate::json_text::JsonText) has it, if it `is_mended`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line is no JSON object.
    pub async fn infer(object: &Object, compression: Option<Compression>, is_mended: bool) -> Result<Self> {
        read(object, move |chunks| infer(chunks, compression, is_mended)).await
    }

    /// Adds the rows of another file.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.rows.merge(other.rows);
        self
    }

    /// The names and types of the fields; where there is a conflict, a type that holds some of the values.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.rows.types()))
    }

    /// The fields whose values no type holds as they are.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        self.rows.find_conflicts("", &mut conflicts);
        conflicts
    }
}

fn infer(chunks: Chunks, compression: Option<Compression>, is_mended: bool) -> Result<JsonShape> {
    let reader = file_compression(compression).convert_read(chunks)?;
    if is_mended {
        return Ok(shape(BufReader::new(Mended::new(reader)))?);
    }
    Ok(shape(BufReader::new(reader))?)
}

fn shape(mut reader: impl BufRead) -> Result<JsonShape, ArrowError> {
    let (mut shape, mut line, mut number) = (JsonShape::default(), Vec::new(), 0_u64);
    while reader.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        if !line.trim_ascii().is_empty() {
            let mut json = serde_json::Deserializer::from_slice(&line);
            let read = json.deserialize_map(Row(&mut shape.rows)).and_then(|()| json.end());
            read.map_err(|error| not_json(number, &error))?;
        }
        if number.is_multiple_of(1024) && shape.rows.count() > MOST_FIELDS {
            let what =
                format!("more than {MOST_FIELDS} fields in the first {number} lines: keys of an object are data");
            return Err(ArrowError::JsonError(what));
        }
        line.clear();
    }
    Ok(shape)
}

fn not_json(line: u64, error: &serde_json::Error) -> ArrowError {
    let (what, column) = (error.to_string(), error.column());
    let what = what.rsplit_once(" at line ").map_or(&*what, |(what, _)| what);
    let advice = if error.is_eof() || what == "trailing characters" {
        "; write an object per line, for example by jq -c . FILE > FILE.jsonl"
    } else {
        ""
    };
    ArrowError::JsonError(format!("line {line} is not valid JSON: {what} at column {column}{advice}"))
}

impl Objects {
    fn field(&mut self, name: String) -> &mut Values {
        let fields = &mut self.fields;
        let place = *self.places.entry(name).or_insert_with_key(|name| {
            fields.push((name.clone(), Values::default()));
            fields.len() - 1
        });
        &mut fields[place].1
    }

    /// The number of fields at any depth.
    fn count(&self) -> usize {
        self.fields.iter().map(|(_, values)| 1 + values.count()).sum()
    }

    fn merge(&mut self, other: Self) {
        for (name, values) in other.fields {
            self.field(name).merge(values);
        }
    }

    fn types(&self) -> Fields {
        self.fields.iter().map(|(name, values)| Field::new(name, values.data_type(), true)).collect()
    }

    fn find_conflicts(&self, path: &str, found: &mut Vec<Conflict>) {
        for (name, values) in &self.fields {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            values.find_conflicts(&path, found);
        }
    }
}

impl Values {
    fn count(&self) -> usize {
        let items = self.items.as_ref().map_or(0, |items| items.count());
        items + self.objects.as_ref().map_or(0, Objects::count)
    }

    fn merge(&mut self, other: Self) {
        self.has_booleans |= other.has_booleans;
        self.has_texts |= other.has_texts;
        if let Some(numbers) = other.numbers {
            self.numbers.get_or_insert_default().merge(&numbers);
        }
        if let Some(items) = other.items {
            self.items.get_or_insert_default().merge(*items);
        }
        if let Some(objects) = other.objects {
            self.objects.get_or_insert_default().merge(objects);
        }
    }

    /// The names of the kinds of values.
    fn kinds(&self) -> Vec<&'static str> {
        let kinds = [
            (self.has_texts, "texts"),
            (self.numbers.is_some(), "numbers"),
            (self.has_booleans, "true or false"),
            (self.items.is_some(), "lists"),
            (self.objects.is_some(), "objects"),
        ];
        kinds.into_iter().filter_map(|(has, kind)| has.then_some(kind)).collect()
    }

    fn data_type(&self) -> DataType {
        match self {
            _ if self.kinds().len() > 1 => DataType::Utf8,
            Self { items: Some(items), .. } => DataType::new_list(items.data_type(), true),
            Self { objects: Some(objects), .. } => DataType::Struct(objects.types()),
            Self { numbers: Some(numbers), .. } => numbers.data_type(),
            Self { has_booleans: true, .. } => DataType::Boolean,
            Self { has_texts: true, .. } => DataType::Utf8,
            _ => DataType::Null,
        }
    }

    fn find_conflicts(&self, path: &str, found: &mut Vec<Conflict>) {
        let kinds = self.kinds();
        if kinds.len() > 1 {
            return found.push(Conflict { field: path.into(), values: kinds.join(" and ") });
        }
        if self.numbers.as_ref().is_some_and(Numbers::are_inexact) {
            let values = "integers of more digits than the type of its other numbers holds".into();
            found.push(Conflict { field: path.into(), values });
        }
        if let Some(items) = &self.items {
            items.find_conflicts(path, found);
        }
        if let Some(objects) = &self.objects {
            objects.find_conflicts(path, found);
        }
    }
}

impl Numbers {
    fn merge(&mut self, other: &Self) {
        self.has_fractions |= other.has_fractions;
        self.has_negative |= other.has_negative;
        self.has_unsigned |= other.has_unsigned;
        self.largest = self.largest.max(other.largest);
    }

    fn data_type(&self) -> DataType {
        match self {
            _ if self.has_fractions || self.has_negative && self.has_unsigned => DataType::Float64,
            _ if self.has_unsigned => DataType::UInt64,
            _ => DataType::Int64,
        }
    }

    /// Whether doubles stand for integers that they do not hold.
    fn are_inexact(&self) -> bool {
        self.data_type() == DataType::Float64 && self.largest > LARGEST_INTEGER
    }
}

/// Adds the fields of an object.
struct Row<'a>(&'a mut Objects);

/// Adds a value.
struct Value<'a>(&'a mut Values);

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            map.next_value_seed(Value(self.0.field(name)))?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.0.has_booleans = true;
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.0.has_texts = true;
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let numbers = self.0.numbers.get_or_insert_default();
        numbers.has_unsigned |= i64::try_from(value).is_err();
        numbers.largest = numbers.largest.max(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        let numbers = self.0.numbers.get_or_insert_default();
        numbers.has_negative = true;
        numbers.largest = numbers.largest.max(value.unsigned_abs());
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.0.numbers.get_or_insert_default().has_fractions = true;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let values = self.0.items.get_or_insert_default();
        while items.next_element_seed(Value(values))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Row(self.0.objects.get_or_insert_default()).visit_map(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape_of(lines: &[&str]) -> JsonShape {
        shape(lines.join("\n").as_bytes()).unwrap()
    }

    fn data_type(values: &[&str]) -> (DataType, Vec<String>) {
        let lines: Vec<_> = values.iter().map(|value| format!("{{\"a\":{value}}}")).collect();
        let shape = shape_of(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let conflicts = shape.conflicts().into_iter().map(|conflict| conflict.values).collect();
        (shape.schema().field(0).data_type().clone(), conflicts)
    }

    #[test]
    fn a_type_holds_all_values_or_there_is_a_conflict() {
        let inexact = "integers of more digits than the type of its other numbers holds";
        for (values, expected, conflict) in [
            (&["null", "null"][..], DataType::Null, None),
            (&["true", "null"], DataType::Boolean, None),
            (&["-1", "9223372036854775807"], DataType::Int64, None),
            (&["-9223372036854775808"], DataType::Int64, None),
            (&["1", "18446744073709551615"], DataType::UInt64, None),
            (&["1", "0.5", "1e3", "9007199254740992"], DataType::Float64, None),
            (&["0.5", "-9007199254740993"], DataType::Float64, Some(inexact)),
            (&["-1", "18446744073709551615"], DataType::Float64, Some(inexact)),
            (&["\"x\"", "\"\""], DataType::Utf8, None),
            (&["1", "\"x\"", "true"], DataType::Utf8, Some("texts and numbers and true or false")),
            (&["[]", "[1]", "[null, 0.5]"], DataType::new_list(DataType::Float64, true), None),
            (&["[1]", "1"], DataType::Utf8, Some("numbers and lists")),
            (
                &["[[1], [\"x\"]]"],
                DataType::new_list(DataType::new_list(DataType::Utf8, true), true),
                Some("texts and numbers"),
            ),
        ] {
            assert_eq!(data_type(values), (expected, conflict.map(String::from).into_iter().collect()), "{values:?}");
        }
    }

    #[test]
    fn fields_keep_the_order_of_the_file() {
        let shape = shape_of(&[r#"{"z": {"b": 1}, "a": null}"#, "", r#"{"y": 1, "z": {"a": [{"n": 1}, {"n": "x"}]}}"#]);
        let names = |fields: &Fields| fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(shape.schema().fields()), ["z", "a", "y"]);
        let DataType::Struct(within) = shape.schema().field(0).data_type().clone() else { panic!("a struct") };
        assert_eq!(names(&within), ["b", "a"]);
        assert_eq!(shape.conflicts()[0].field, "z.a.n");
        let merged = shape.merge(shape_of(&[r#"{"x": 1, "y": 0.5}"#]));
        assert_eq!(names(merged.schema().fields()), ["z", "a", "y", "x"]);
        assert_eq!(*merged.schema().field(2).data_type(), DataType::Float64);
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_line() {
        for (lines, what) in [
            ("{}\n\n{\"a\":", "line 3 is not valid JSON: EOF"),
            ("{}\n[1]\n", "line 2 is not valid JSON: invalid type: sequence, expected an object"),
            ("{} {}", "line 1 is not valid JSON: trailing characters"),
        ] {
            let error = shape(lines.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn types_are_those_that_arrow_infers() {
        let lines = concat!(
            r#"{"a":1,"b":{"c":true,"d":[{"e":"x"},{"f":2.5}]},"g":null}"#,
            "\n",
            r#"{"a":-2,"b":null,"h":[[1],[]],"i":"x","g":[]}"#,
            "\n",
        );
        let (arrow, _) = arrow::json::reader::infer_json_schema(lines.as_bytes(), None).unwrap();
        let ours = shape(lines.as_bytes()).unwrap().schema();
        let sorted = |schema: &Schema| {
            let mut fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
            fields.sort_by(|one, other| one.name().cmp(other.name()));
            fields
        };
        assert_eq!(sorted(&arrow), sorted(&ours));
    }
}
