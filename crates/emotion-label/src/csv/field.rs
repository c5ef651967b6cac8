//! A field of a CSV record.

/// Appends a value to a record, within quotes if it needs them; the empty text has quotes, because NULL has none.
pub(crate) fn append(value: &str, delimiter: u8, escape: Option<u8>, line: &mut String) {
    if !needs_quotes(value, delimiter, escape) {
        line.push_str(value);
        return;
    }
    line.push('"');
    for character in value.chars() {
        match escape {
            Some(escape) if character == '"' || character == char::from(escape) => line.push(char::from(escape)),
            None if character == '"' => line.push('"'),
            _ => {}
        }
        line.push(character);
    }
    line.push('"');
}

fn needs_quotes(value: &str, delimiter: u8, escape: Option<u8>) -> bool {
    let separates = |byte: u8| matches!(byte, b'"' | b'\n' | b'\r') || byte == delimiter || Some(byte) == escape;
    value.is_empty() || value.bytes().any(separates)
}
