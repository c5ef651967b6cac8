use emotion_kernels::{AlignedBuffer, Isa};

use crate::architectures::layout;
use crate::backends::packed::norm::Norm;
use crate::batch::Batch;
use crate::error::Result;
use crate::weights::Weights;
use crate::weights::table::Table;

/// The normalized sums of word, position and token type embeddings, computed in float32.
pub(super) struct Embeddings {
    width: usize,
    words: Table,
    /// With the embedding of token type 0 added to each row.
    positions: Vec<f32>,
    first_position: usize,
    padding: Option<u32>,
    norm: Norm,
}

impl Embeddings {
    pub(super) fn load(isa: Isa, layout: &layout::Embeddings, weights: &Weights<'_>) -> Result<Self> {
        let layout::Embeddings { width, first_position, padding, .. } = *layout;
        let table = |table: &layout::Table| weights.read(&table.name, &[table.rows, width]);
        let words = weights.table(&layout.words.name, &[layout.words.rows, width])?;
        let mut positions = table(&layout.positions)?;
        if let Some(token_types) = &layout.token_types {
            let token_types = table(token_types)?;
            for (value, token_type) in positions.iter_mut().zip(token_types[..width].iter().cycle()) {
                *value += token_type;
            }
        }
        Ok(Self {
            width,
            words,
            positions,
            first_position,
            padding,
            norm: Norm::load(isa, &layout.norm, width, weights)?,
        })
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Fills `buffer` with the embeddings of all tokens, `[tokens, width]`, and returns their number of values.
    pub(super) fn run(&self, batch: &Batch, buffer: &mut AlignedBuffer) -> usize {
        let len = batch.ranges().map(|tokens| tokens.len() * self.width).sum();
        let mut rest = buffer.values(len);
        for sequence in batch.sequences() {
            let (states, next) = rest.split_at_mut(sequence.len() * self.width);
            for (state, id) in states.chunks_exact_mut(self.width).zip(sequence) {
                self.words.copy_row(*id as usize, state);
            }
            match self.padding.filter(|padding| sequence.contains(padding)) {
                None => self.norm.run(states, &self.positions[self.first_position * self.width..][..states.len()]),
                Some(padding) => self.norm.run(states, &self.positions_without(padding, sequence)),
            }
            rest = next;
        }
        len
    }

    /// The position embeddings of a sequence in which tokens with the id `padding` have no position of their own.
    fn positions_without(&self, padding: u32, sequence: &[u32]) -> Vec<f32> {
        let mut next = self.first_position;
        let position = |id: &u32| {
            if *id == padding {
                return self.first_position - 1;
            }
            next += 1;
            next - 1
        };
        let positions = sequence.iter().map(position);
        positions.flat_map(|position| row(&self.positions, position, self.width)).copied().collect()
    }
}

fn row(matrix: &[f32], index: usize, width: usize) -> &[f32] {
    &matrix[index * width..][..width]
}
