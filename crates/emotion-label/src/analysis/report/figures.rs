use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampSecondType, UInt64Type};
use datafusion::prelude::SessionContext;

use crate::analysis::error::{Context, Result, refused};

/// Columns of the histogram of scores, from 0 to 1.
pub(crate) const SCORE_BINS: usize = 20;
/// Columns that a chart over time has at most.
const MOST_BINS: i64 = 60;
/// Groups that are shown; the rest are counted together.
const MOST_GROUPS: usize = 20;
/// Texts shown of each kind.
const EXAMPLES: usize = 5;

/// What a report shows, drawn from a table `labeled` of `label` and perhaps `score`, `text`, `group`, and `time` with
/// `no_time`, which is true where a value is left out. Beside `score` it has `holds`, whether the score is that of the
/// label.
pub(crate) struct Figures {
    pub(crate) rows: u64,
    pub(crate) unlabeled: u64,
    /// Labels with their counts, the most frequent first.
    pub(crate) labels: Vec<(String, u64)>,
    pub(crate) over_time: Option<OverTime>,
    /// Labeled rows that are left out of the chart over time, since their value is no time or far off.
    pub(crate) without_time: u64,
    pub(crate) groups: Vec<Counts>,
    /// Groups that are not shown.
    pub(crate) other_groups: u64,
    /// How many texts have a score in each twentieth.
    pub(crate) scores: Vec<u64>,
    pub(crate) confident: Vec<Example>,
    pub(crate) doubtful: Vec<Example>,
}

/// Counts for each label, in the order of [`Figures::labels`].
pub(crate) struct Counts {
    pub(crate) name: String,
    pub(crate) counts: Vec<u64>,
}

pub(crate) struct OverTime {
    /// `minute`, `hour`, `day`, `week`, `month` or `year`.
    pub(crate) unit: &'static str,
    /// The part of the whole time that one column takes.
    pub(crate) width: f64,
    /// Columns with the part of the whole time after which they begin.
    pub(crate) columns: Vec<(f64, Counts)>,
}

pub(crate) struct Example {
    pub(crate) label: String,
    pub(crate) score: f64,
    pub(crate) text: String,
}

impl Figures {
    pub(crate) async fn of(context: &SessionContext) -> Result<Self> {
        let labeled = context.table("labeled").await?;
        let has = |name: &str| labeled.schema().has_column_with_unqualified_name(name);
        let table = Table(context);
        let totals = table.rows("SELECT count(*), count(*) - count(label) FROM labeled").await?;
        let (rows, unlabeled) = (totals.counts(0)?[0], totals.counts(1)?[0]);
        if rows == unlabeled {
            return refused("no row has a label: there is nothing to report");
        }
        let labels = table.labels().await?;
        let (groups, other_groups) = if has("group") { table.groups(&labels).await? } else { (Vec::new(), 0) };
        let examples = has("score") && has("text");
        Ok(Self {
            rows,
            unlabeled,
            over_time: if has("time") { table.over_time(&labels).await? } else { None },
            without_time: if has("time") { table.without_time().await? } else { 0 },
            groups,
            other_groups,
            scores: if has("score") { table.scores().await? } else { Vec::new() },
            confident: if examples { table.examples(&labels, "DESC").await? } else { Vec::new() },
            doubtful: if examples { table.examples(&labels, "ASC").await? } else { Vec::new() },
            labels,
        })
    }
}

struct Table<'a>(&'a SessionContext);

impl Table<'_> {
    async fn rows(&self, sql: &str) -> Result<Rows> {
        let frame = self.0.sql(sql).await?;
        let schema = Arc::clone(frame.schema().inner());
        let batches = frame.collect().await.with_context(|| "cannot read the rows")?;
        Ok(Rows(concat_batches(&schema, &batches)?))
    }

    async fn labels(&self) -> Result<Vec<(String, u64)>> {
        let sql = "SELECT label, count(*) AS texts FROM labeled WHERE label IS NOT NULL \
                   GROUP BY label ORDER BY texts DESC, label";
        let rows = self.rows(sql).await?;
        Ok(rows.texts(0)?.into_iter().zip(rows.counts(1)?).collect())
    }

    async fn over_time(&self, labels: &[(String, u64)]) -> Result<Option<OverTime>> {
        let ends = self.rows("SELECT min(time), max(time) FROM labeled WHERE label IS NOT NULL").await?;
        let (Some(first), Some(last)) = (ends.seconds(0)?[0], ends.seconds(1)?[0]) else { return Ok(None) };
        let (unit, seconds, shown) = unit_for(last - first);
        let sql = format!(
            "SELECT date_trunc('{unit}', time) AS start, label, count(*) FROM labeled \
             WHERE label IS NOT NULL AND time IS NOT NULL GROUP BY 1, 2 ORDER BY 1"
        );
        let rows = self.rows(&sql).await?;
        let starts: Vec<i64> = rows.seconds(0)?.into_iter().flatten().collect();
        let start = starts.first().copied().unwrap_or(first);
        let whole = (last - start + seconds) as f64;
        let mut columns: Vec<(i64, Counts)> = Vec::new();
        let cells = starts.into_iter().zip(rows.texts(0)?).zip(rows.texts(1)?.into_iter().zip(rows.counts(2)?));
        for ((at, name), (label, texts)) in cells {
            if columns.last().is_none_or(|(last, _)| *last < at) {
                let name = name.replace('T', " ").chars().take(shown).collect();
                columns.push((at, Counts::new(name, labels)));
            }
            if let Some((_, column)) = columns.last_mut() {
                column.count(labels, &label, texts);
            }
        }
        let columns = columns.into_iter().map(|(at, counts)| ((at - start) as f64 / whole, counts)).collect();
        Ok(Some(OverTime { unit, width: seconds as f64 / whole, columns }))
    }

    async fn without_time(&self) -> Result<u64> {
        let rows = self.rows("SELECT count(*) FROM labeled WHERE label IS NOT NULL AND no_time").await?;
        Ok(rows.counts(0)?[0])
    }

    /// The largest groups, and how many more there are.
    async fn groups(&self, labels: &[(String, u64)]) -> Result<(Vec<Counts>, u64)> {
        let all =
            self.rows("SELECT count(DISTINCT \"group\") FROM labeled WHERE label IS NOT NULL").await?.counts(0)?[0];
        let sql = format!(
            "SELECT a.\"group\", a.label, count(*) FROM labeled AS a JOIN (SELECT \"group\", count(*) AS texts FROM labeled \
             WHERE label IS NOT NULL GROUP BY 1 ORDER BY texts DESC, 1 LIMIT {MOST_GROUPS}) AS b ON a.\"group\" = b.\"group\" \
             WHERE a.label IS NOT NULL GROUP BY a.\"group\", a.label, b.texts ORDER BY b.texts DESC, 1"
        );
        let rows = self.rows(&sql).await?;
        let mut groups: Vec<Counts> = Vec::new();
        for ((name, label), texts) in rows.texts(0)?.into_iter().zip(rows.texts(1)?).zip(rows.counts(2)?) {
            if groups.last().is_none_or(|group| group.name != name) {
                groups.push(Counts::new(name, labels));
            }
            if let Some(group) = groups.last_mut() {
                group.count(labels, &label, texts);
            }
        }
        let others = all - groups.len() as u64;
        Ok((groups, others))
    }

    async fn scores(&self) -> Result<Vec<u64>> {
        let sql = format!(
            "SELECT least(CAST(floor(score * {SCORE_BINS}) AS BIGINT), {SCORE_BINS} - 1), count(*) FROM labeled \
             WHERE score BETWEEN 0 AND 1 GROUP BY 1"
        );
        let rows = self.rows(&sql).await?;
        let mut bins = vec![0; SCORE_BINS];
        for (bin, texts) in rows.counts(0)?.into_iter().zip(rows.counts(1)?) {
            if let Some(count) = usize::try_from(bin).ok().and_then(|bin| bins.get_mut(bin)) {
                *count = texts;
            }
        }
        Ok(bins)
    }

    /// The texts of each label with the highest or the lowest scores, each text once.
    async fn examples(&self, labels: &[(String, u64)], order: &str) -> Result<Vec<Example>> {
        let sql = format!(
            "SELECT label, score, text FROM (SELECT label, score, text, \
             row_number() OVER (PARTITION BY label ORDER BY score {order}, text) AS place \
             FROM (SELECT DISTINCT label, score, text FROM labeled \
             WHERE holds AND score IS NOT NULL AND text <> '')) WHERE place <= {EXAMPLES} ORDER BY label, place"
        );
        let rows = self.rows(&sql).await?;
        let cells = rows.texts(0)?.into_iter().zip(rows.floats(1)?).zip(rows.texts(2)?);
        let mut examples: Vec<_> = cells.map(|((label, score), text)| Example { label, score, text }).collect();
        examples.sort_by_key(|example| labels.iter().position(|(label, _)| *label == example.label));
        Ok(examples)
    }
}

impl Counts {
    fn new(name: String, labels: &[(String, u64)]) -> Self {
        Self { name, counts: vec![0; labels.len()] }
    }

    fn count(&mut self, labels: &[(String, u64)], label: &str, texts: u64) {
        if let Some(id) = labels.iter().position(|(known, _)| known == label) {
            self.counts[id] += texts;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The shortest unit in which so many seconds have few enough columns, its length in seconds, and
/// how much of a time's text tells two apart.
fn unit_for(seconds: i64) -> (&'static str, i64, usize) {
    let units =
        [("minute", 60, 16), ("hour", 3600, 16), ("day", 86_400, 10), ("week", 604_800, 10), ("month", 2_678_400, 7)];
    units.into_iter().find(|(_, length, _)| seconds / length < MOST_BINS).unwrap_or(("year", 31_622_400, 4))
}

/// All rows of a query's result.
struct Rows(RecordBatch);

impl Rows {
    fn column(&self, index: usize, data_type: &DataType) -> Result<ArrayRef> {
        Ok(cast(self.0.column(index), data_type)?)
    }

    fn texts(&self, column: usize) -> Result<Vec<String>> {
        let column = self.column(column, &DataType::Utf8)?;
        Ok(column.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_string()).collect())
    }

    /// Whole numbers that are never NULL or negative.
    fn counts(&self, column: usize) -> Result<Vec<u64>> {
        Ok(self.column(column, &DataType::UInt64)?.as_primitive::<UInt64Type>().values().to_vec())
    }

    fn floats(&self, column: usize) -> Result<Vec<f64>> {
        Ok(self.column(column, &DataType::Float64)?.as_primitive::<Float64Type>().values().to_vec())
    }

    /// Times in seconds since 1970.
    fn seconds(&self, column: usize) -> Result<Vec<Option<i64>>> {
        let column = self.column(column, &DataType::Timestamp(TimeUnit::Second, None))?;
        Ok(column.as_primitive::<TimestampSecondType>().iter().collect())
    }
}
