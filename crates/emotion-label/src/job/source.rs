//! A file to label: its texts, and the way in which its other columns come into the output.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
#[cfg(feature = "cluster")]
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use crate::error::FileError;
use crate::format::{FileType, Format, stored};
use crate::job::avro_blocks;
use crate::job::choices::{Choices, opened_as};
use crate::job::error::{LabelError, Result};
use crate::job::failure::Failure;
use crate::job::inputs::Input;
use crate::job::labeler::Labeler;
use crate::job::texts::{Texts, failure, row_groups};
use crate::job::typed::Typed;
use crate::lfs;
use crate::object::Object;
use crate::open;
use crate::options::Options;
use crate::step::Copier;

/// A file that can be read.
pub struct Source {
    /// Rows of each row group; a file that is not Parquet is one.
    pub row_groups: Vec<u64>,
    pub object: Object,
    file: FileType,
    options: Options,
    typed: Option<Typed>,
    /// The types of all columns in the output, where the file is not copied.
    stored: Option<SchemaRef>,
    /// The column of texts in `typed`.
    text: Option<usize>,
}

impl Source {
    /// Opens a file that is to be labeled into one of type `output`; refuses what the output cannot hold.
    pub async fn open(
        context: &SessionContext,
        input: &Input,
        output: FileType,
        choices: &Choices,
        labeler: &Labeler,
    ) -> Result<Self, Failure> {
        let object = Object::new(&input.store, &input.meta);
        let options = choices.options(&input.shown, input.file.format, labeler.schema());
        let file = opened_as(input.file);
        if object.size() <= lfs::LONGEST && lfs::is_pointer(&start(&object).await?) {
            let what = format!("the file is {}: {}", lfs::WHAT, lfs::ADVICE);
            return Err(Failure::Input(None, LabelError::Refused(what)));
        }
        let is_avro = file.format == Format::Avro;
        let row_groups = if is_avro { Vec::new() } else { row_groups(&object, file, &options).await? };
        let mut source = Self { row_groups, object, file, options, typed: None, stored: None, text: None };
        let copies = choices.copies(input.file.format, output.format);
        if copies && !choices.on_cluster {
            return Ok(source);
        }
        let opened = source.open_typed(context, input, output.format, choices, labeler, copies).await;
        opened.map_err(|error| Failure::Input(None, error))?;
        Ok(source)
    }

    async fn open_typed(
        &mut self,
        context: &SessionContext,
        input: &Input,
        output: Format,
        choices: &Choices,
        labeler: &Labeler,
        copies: bool,
    ) -> Result<()> {
        let is_avro = self.file.format == Format::Avro;
        if is_avro {
            avro_blocks::check(&self.object).await?;
        }
        let typed = Typed::open(context, input, choices, output).await?;
        if choices.on_cluster || is_avro {
            self.text = Some(typed.text_column(&choices.text, &input.shown)?);
        }
        if !copies {
            labeler.columns().check(labeler.schema(), &typed.schema, &input.shown)?;
            let all = joined(&stored(&input.shown, &typed.schema, output)?, labeler.schema());
            self.stored = Some(Arc::new(all));
        }
        // A blank line of a CSV file of one column is a row here, and is not one to DataFusion.
        let may_have_blank_rows = self.file.format == Format::Csv && typed.schema.fields().len() == 1;
        if self.file.format != Format::Parquet && (is_avro || choices.on_cluster || may_have_blank_rows) {
            let rows = typed.count().await?;
            if !is_avro && rows != self.rows() {
                return Err(LabelError::Refused(unread(rows, self.rows(), choices.on_cluster)));
            }
            self.row_groups = vec![rows];
        }
        self.typed = Some(typed);
        Ok(())
    }

    pub fn rows(&self) -> u64 {
        self.row_groups.iter().sum()
    }

    /// Whether it costs hardly anything to open it again, and much memory to keep it open.
    pub fn is_cheap_to_open(&self) -> bool {
        self.file.format == Format::Parquet
    }

    /// The texts from a row of a row group, in batches of at most `batch_rows`.
    pub async fn texts(&self, row_group: usize, row: u64, batch_rows: usize) -> Result<Texts, Failure> {
        if let (Format::Avro, Some(typed), Some(text)) = (self.file.format, &self.typed, self.text) {
            let texts = typed.texts(text, row, batch_rows).await;
            return Ok(Texts::of_table(texts.map_err(|error| Failure::Input(None, error))?, row));
        }
        let mut options = self.options.clone();
        options.start = (row_group, row);
        options.batch_rows = batch_rows;
        Texts::of_file(&self.object, self.file, &options)
    }

    /// A plan of the texts of a row group, for another machine to run.
    #[cfg(feature = "cluster")]
    pub async fn plan(&self, row_group: usize) -> Result<Arc<dyn ExecutionPlan>> {
        match self.typed.as_ref().zip(self.text) {
            Some((typed, text)) => typed.plan(row_group, text).await,
            None => Err(LabelError::Refused("the file was not opened for a cluster".into())),
        }
    }

    /// The rows as types, and the types that they are stored in, where the file is not copied.
    pub fn typed(&self) -> Option<(&Typed, &SchemaRef)> {
        self.typed.as_ref().zip(self.stored.as_ref())
    }

    /// Opens the file to copy it without some row groups.
    pub fn copier(&self, output: FileType, left_out: BTreeSet<usize>) -> Result<Box<dyn Copier>, Failure> {
        let mut options = self.options.clone();
        options.left_out = left_out;
        let copier = open::copier(self.file, Some(self.object.size()), output.compression, &options);
        copier.map_err(|error| failure(self.file.format, error))
    }

    /// Who is at fault for an error of the copier.
    pub fn failure(&self, error: FileError) -> Failure {
        failure(self.file.format, error)
    }

    /// The error of a row group that has other rows than it said.
    pub fn miscounted(&self, row_group: usize, rows: u64) -> Failure {
        let announced = self.row_groups[row_group];
        let what = format!("it has {rows} rows where {announced} were announced");
        Failure::Input(Some(row_group), LabelError::Damaged(what))
    }
}

/// Why a file is refused of whose rows `DataFusion` reads so many.
fn unread(read: u64, rows: u64, on_cluster: bool) -> String {
    if on_cluster {
        return format!("a cluster reads {read} of its {rows} rows: label it without --cluster");
    }
    let what = "blank lines of a single column are rows that only a copy keeps";
    format!("{read} of its {rows} rows can be converted, because {what}: choose a CSV output, or write \"\" for them")
}

/// The bytes at the start of a file.
async fn start(object: &Object) -> Result<Bytes, Failure> {
    let chunk = object.open().chunk().await.map_err(|error| Failure::Input(None, error.into()))?;
    Ok(chunk.unwrap_or_default())
}

fn joined(input: &Schema, added: &Schema) -> Schema {
    let fields = input.fields().iter().chain(added.fields()).cloned();
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), input.metadata().clone())
}
