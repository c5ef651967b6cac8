//! `emotion report`: one page that shows what emotions a table of texts holds.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use emotion_label::analysis::{Report, ReportColumns};
use emotion_label::job::Cancel;
use emotion_label::numbers::counted;

use crate::atomic_file;
use crate::model::ModelArguments;
use crate::session::session;
use crate::standard_error::say;
use crate::table::TableArguments;

/// The options of the model, which has no effect on labels that the table already has.
const OF_MODEL: [&str; 6] = ["model", "max_length", "precision", "threshold", "backend", "device"];

/// Write an HTML page about the emotions in texts: counts, shares over time and by group, and scores
///
/// The labels are those of the column --label. Without it, the texts of --text are labeled; the options of the model,
/// such as --threshold, can be used only then. Texts with a score and no label, whose most probable label is below the
/// threshold, are shown as 'none'. The page is one file that needs no network.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    table: TableArguments,

    /// The column that holds the labels; without it, the texts of --text are labeled
    #[arg(long, value_name = "COLUMN", required_unless_present = "text", conflicts_with_all = OF_MODEL)]
    label: Option<String>,

    /// The column that holds the scores of the labels, for the histogram
    #[arg(long, value_name = "COLUMN", requires = "label")]
    score: Option<String>,

    /// The column that holds the texts; the page shows those with the highest and the lowest scores
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,

    /// The column that holds times or dates, for the chart over time
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,

    /// The column to group by; the groups are shown side by side
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,

    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,

    /// The title of the page
    #[arg(long, default_value = "Emotions")]
    title: String,

    #[command(flatten)]
    model: ModelArguments,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { table, label, score, text, time, by, output, title, model } = arguments;
    atomic_file::check(&output, table.names())?;
    let context = session(model.options()).await?;
    let files = table.open(&context).await?;
    let columns = ReportColumns { label, score, text, time, by };
    let report = Report::of(&context, &files, &columns, &title, &Cancel::default()).await?;
    atomic_file::write(&output, &files.names, report.html.as_bytes())?;
    say(format_args!("{}: see {}", counted(report.texts, "text"), output.display()));
    Ok(())
}
