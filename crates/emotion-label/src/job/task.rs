//! A file to label, and what is known of it.

use crate::job::error::LabelError;
use crate::job::inputs::Input;
use crate::job::journal::State;
use crate::job::source::Source;
use crate::job::target::Target;

/// A file to label, and what is known of it.
pub struct Task {
    pub input: Input,
    pub target: Target,
    pub state: State,
    pub content: Content,
}

/// What a file holds, as far as it was looked at.
pub enum Content {
    /// Opening it again is cheap.
    RowGroups(Vec<u64>),
    Open(Box<Source>),
    /// It is done, so that nobody looked.
    Unread,
    Unreadable(LabelError),
}

impl Task {
    pub fn rows(&self) -> u64 {
        match (&self.state, &self.content) {
            (State::Done(counts), _) => counts.rows,
            (_, Content::RowGroups(rows)) => rows.iter().sum(),
            (_, Content::Open(source)) => source.rows(),
            (_, Content::Unread | Content::Unreadable(_)) => 0,
        }
    }

    /// Rows that are to be labeled.
    pub fn rows_left(&self) -> u64 {
        self.rows().saturating_sub(self.rows_done())
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// Rows whose labels are there.
    pub fn rows_done(&self) -> u64 {
        match &self.state {
            State::New => 0,
            State::Begun(begun) => begun.segments.iter().map(|segment| segment.rows).sum(),
            State::Done(counts) => counts.rows,
        }
    }
}
