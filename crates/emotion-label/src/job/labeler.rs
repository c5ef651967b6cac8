//! From texts to the columns that are added.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use emotion_classifier::{Classifier, ClassifyOptions, Prediction};

use crate::format::Format;
use crate::job::cancel::Cancel;
use crate::job::columns::Columns;
use crate::job::counts::Counts;
use crate::job::error::Result;

pub struct Labeler {
    classifier: Arc<Classifier>,
    options: ClassifyOptions,
    columns: Columns,
    format: Format,
    schema: SchemaRef,
}

impl Labeler {
    pub fn new(classifier: Arc<Classifier>, options: ClassifyOptions, columns: Columns, format: Format) -> Self {
        let schema = Arc::new(columns.schema(&classifier, format));
        Self { classifier, options, columns, format, schema }
    }

    #[cfg(feature = "cluster")]
    pub fn classifier(&self) -> &Arc<Classifier> {
        &self.classifier
    }

    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Names and types of the columns that are added.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns to add to rows of these texts.
    pub fn label(&self, texts: &ArrayRef, cancel: &Cancel) -> Result<(RecordBatch, Counts)> {
        // The values of a dictionary may together be longer than offsets of 32 bits reach.
        let texts = cast(texts, &DataType::LargeUtf8)?;
        let texts = texts.as_string::<i64>();
        let present: Vec<&str> = texts.iter().flatten().collect();
        let answer = self.classifier.request(&present).options(&self.options).cancelled(cancel.flag()).run()?;
        let counts = Counts {
            empty: present.iter().filter(|text| text.is_empty()).count() as u64,
            repeated: answer.counts.cache_hits + answer.counts.repeated,
            tokens: answer.counts.tokens,
            ..Counts::default()
        };
        let mut predictions = answer.predictions.into_iter();
        let rows: Vec<_> = texts.iter().map(|text| text.and_then(|_| predictions.next())).collect();
        self.write(&rows, counts)
    }

    /// The columns to add to rows of these predictions; completes what is counted of them.
    pub fn write(&self, rows: &[Option<Arc<Prediction>>], mut counts: Counts) -> Result<(RecordBatch, Counts)> {
        let predictions = || rows.iter().flatten();
        counts.rows = rows.len() as u64;
        counts.null = counts.rows - predictions().count() as u64;
        counts.truncated = predictions().filter(|prediction| prediction.truncated).count() as u64;
        let threshold = self.options.threshold;
        for label in predictions().filter_map(|prediction| self.classifier.held_label(prediction, threshold)) {
            *counts.labels.entry(label.to_string()).or_default() += 1;
        }
        let arrays = self.columns.arrays(&self.classifier, self.format, threshold, rows);
        Ok((RecordBatch::try_new(Arc::clone(&self.schema), arrays)?, counts))
    }
}
