//! Examples in the help of the commands.

pub const PROGRAM: &str = "\
Examples:
  emotion classify \"I like you.\"
  emotion sql -c \"SELECT emotion_classify(text), count(*) FROM 'data/reviews.parquet' GROUP BY 1\"
  emotion label reviews.csv --text text -o labeled.csv
  emotion help label";

pub const SQL: &str = "\
Examples:
  emotion sql
  emotion sql -c \"SELECT emotion_classify('I like you.')\"
  emotion sql -c \"SELECT text, emotion_scores(text) FROM 'data/reviews.parquet' LIMIT 5\" --format json
  emotion sql -f queries.sql -m 4g --threads 8
  echo \"SELECT count(*) FROM 'data/reviews.parquet'\" | emotion sql --format csv";

pub const CLASSIFY: &str = "\
Examples:
  emotion classify \"I like you.\" \"Go away!\"
  emotion classify --format csv < lines.txt > labels.csv
  emotion classify --model path/to/folder --threshold 0.6 \"I like you.\"";

pub const LABEL: &str = "\
Examples:
  emotion label data/reviews.parquet --text text -o labeled.parquet
  emotion label 'logs/*.jsonl.zst' --text message --columns label=emotion,score -o labeled/
  emotion label s3://bucket/reviews/ --text text -o s3://bucket/labeled/ --keep-going
  zcat reviews.csv.gz | emotion label - --format csv --text text -o -";

pub const EVAL: &str = "\
Examples:
  emotion eval labeled.csv --text text --label feeling
  emotion eval dev.parquet --text text --label label --model path/to/folder --format json
  emotion eval labeled.csv --text text --label feeling --threshold 0.4 --html page.html";

pub const REPORT: &str = "\
Examples:
  emotion report data/reviews.parquet --text text --time timestamp --by source
  emotion report labeled.parquet --label label --score score -o page.html --title \"Reviews\"";

pub const MODELS: &str = "\
Examples:
  emotion models pull bhadresh-savani/distilbert-base-uncased-emotion
  emotion models list
  emotion models show path/to/folder";

pub const COMPLETIONS: &str = "\
Examples:
  emotion completions bash > ~/.local/share/bash-completion/completions/emotion
  emotion completions zsh > ~/.zfunc/_emotion
  emotion completions fish > ~/.config/fish/completions/emotion.fish";

pub const MAN: &str = "\
Examples:
  emotion man | man -l -
  emotion man ~/.local/share/man/man1";
