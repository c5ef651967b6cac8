//! From texts to the columns that are added.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use distilbert::{Classifier, ClassifyOptions, Statistics};

use super::columns::{Columns, label};
use super::counts::Counts;
use super::format::OutputFormat;
use crate::table::strings;

pub struct Labeler {
    classifier: Arc<Classifier>,
    options: ClassifyOptions,
    columns: Columns,
    format: OutputFormat,
    schema: SchemaRef,
}

impl Labeler {
    pub fn new(classifier: Arc<Classifier>, options: ClassifyOptions, columns: Columns, format: OutputFormat) -> Self {
        let schema = Arc::new(columns.schema(&classifier, format));
        Self { classifier, options, columns, format, schema }
    }

    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    pub fn format(&self) -> OutputFormat {
        self.format
    }

    /// Names and types of the columns that are added.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns to add to rows whose texts are the one column of `batch`.
    pub fn label(&self, batch: &RecordBatch, cancelled: &AtomicBool) -> Result<(RecordBatch, Counts)> {
        let texts = strings(batch.column(0), batch.schema_ref().field(0).name())?;
        let present: Vec<&str> = texts.iter().flatten().collect();
        let statistics = Statistics::default();
        let predictions = self.classifier.classify_with(&present, &self.options, cancelled, &statistics)?;
        let statistics = statistics.snapshot();
        let mut counts = Counts {
            rows: texts.len() as u64,
            null: texts.null_count() as u64,
            empty: present.iter().filter(|text| text.is_empty()).count() as u64,
            truncated: predictions.iter().filter(|prediction| prediction.truncated).count() as u64,
            repeated: statistics.cache_hits,
            tokens: statistics.tokens,
            ..Counts::default()
        };
        for label in predictions.iter().filter_map(|prediction| label(&self.classifier, prediction)) {
            *counts.labels.entry(label.into()).or_default() += 1;
        }
        let mut predictions = predictions.into_iter();
        let rows: Vec<_> = texts.iter().map(|text| text.and_then(|_| predictions.next())).collect();
        let arrays = self.columns.arrays(&self.classifier, self.format, &rows);
        Ok((RecordBatch::try_new(Arc::clone(&self.schema), arrays)?, counts))
    }
}
