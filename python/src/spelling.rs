/// Options as messages of the libraries spell them, and as Python does.
const SPELLINGS: [(&str, &str); 22] = [
    ("--keep-going", "keep_going=True"),
    ("--restart", "restart=True"),
    ("--format parquet", "format='parquet'"),
    ("--format arrow", "format='arrow'"),
    ("--format json", "format='json'"),
    ("--columns", "columns="),
    ("--compression", "compression="),
    ("--delimiter", "delimiter="),
    ("--encoding", "encoding="),
    ("--escape", "escape="),
    ("--format", "format="),
    ("--label", "label="),
    ("--max-length", "max_length="),
    ("--output", "output="),
    ("--precision", "precision="),
    ("--row-group-rows", "row_group_rows="),
    ("--score", "score="),
    ("--text '", "text='"),
    ("--text", "text="),
    ("--threshold", "threshold="),
    ("--time", "time="),
    ("the same command", "the same call"),
];

/// A message that names options as the program does, for a caller in Python.
pub(crate) fn in_python(message: &str) -> String {
    SPELLINGS.iter().fold(message.into(), |message: String, (program, python)| message.replace(program, python))
}
