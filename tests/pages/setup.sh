# Makes the files that pages name as if they were the reader's own; the test `documentation` runs this in an empty
# folder, with ROOT set to the root of the repository.
set -euo pipefail

ln -s "$ROOT/data" data
ln -s "$ROOT/tests" tests
mkdir -p path/to reviews
ln -s "$ROOT/tests/golden/one-head" path/to/folder # a small model with random weights and the labels 'no' and 'yes'

printf '%s\n' 'I like you.' 'Our flight got cancelled and nobody told us!!' >lines.txt
echo "SELECT emotion_classify('I like you.');" >queries.sql
emotion sql -q -c "
  COPY (SELECT id, text AS body FROM 'data/reviews.parquet') TO 'reviews.parquet';
  COPY (SELECT id, text AS body FROM 'data/reviews.parquet') TO 'reviews/part-0.parquet';
  COPY (SELECT id, text AS body FROM 'data/reviews.parquet') TO 'reviews.csv' OPTIONS (format.has_header true);
  COPY (SELECT id, text AS message FROM 'data/reviews.parquet') TO 'logs/2026-01.csv' OPTIONS (format.has_header true);
  COPY (SELECT text, emotion_classify(text) AS feeling FROM 'data/reviews.parquet') TO 'labeled.csv'
    OPTIONS (format.has_header true);"
gzip reviews.csv
