use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use rayon::prelude::*;

use crate::batch::{Batch, groups, micro_batches, padded_batches};
use crate::classifier::Classifier;
use crate::error::{Error, Result};
use crate::options::{ClassifyOptions, LongText};
use crate::prediction::Prediction;
use crate::statistics::{Counts, Statistics};
use crate::threads::install;
use crate::tokenizer::TokenIds;

/// The settings of a request and its counters.
pub(crate) struct Job<'a> {
    pub options: &'a ClassifyOptions,
    /// Tokens the model sees at once.
    pub max_length: usize,
    pub cancelled: &'a AtomicBool,
    /// The counters of this job alone.
    pub counts: Statistics,
    /// The caller's counters, to which everything is added as well.
    pub live: Option<&'a Statistics>,
}

/// The flag of requests that cannot be cancelled.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

impl Job<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        if self.cancelled.load(Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn count(&self, counts: &Counts) {
        self.counts.add(counts);
        Statistics::of_process().add(counts);
        if let Some(live) = self.live {
            live.add(counts);
        }
    }
}

impl Classifier {
    /// The raw scores of every label, before softmax or sigmoid: one list for each text, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenize`], [`Error::NotFinite`] or [`Error::Forward`], as for [`Self::classify`].
    pub fn logits(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let options = ClassifyOptions::default();
        let job = Job {
            options: &options,
            max_length: self.max_length(),
            cancelled: &NEVER,
            counts: Statistics::default(),
            live: None,
        };
        install(None, || {
            let sequences: Vec<_> = texts.par_iter().map(|text| self.tokenize(text)).collect::<Result<_>>()?;
            self.forward(&sequences.iter().map(|sequence| &sequence.ids[..]).collect::<Vec<_>>(), &job)
        })?
    }

    /// Infers every text, without the cache; one prediction for each, in order.
    pub(crate) fn infer(&self, texts: &[&str], job: &Job<'_>) -> Result<Vec<Arc<Prediction>>> {
        install(job.options.threads, || match job.options.long_text {
            LongText::Truncate => self.infer_truncated(texts, job),
            LongText::Window => {
                let mut predictions = Vec::with_capacity(texts.len());
                for texts in portions(texts) {
                    predictions.extend(self.infer_windows(texts, job)?);
                }
                Ok(predictions)
            }
        })?
    }

    fn infer_truncated(&self, texts: &[&str], job: &Job<'_>) -> Result<Vec<Arc<Prediction>>> {
        let tokenize = |text: &&str| {
            job.check()?;
            let sequence = self.tokenizer.encode(text, job.max_length, &|| job.check())?;
            job.count(&Counts { truncated: sequence.truncated.into(), ..Counts::default() });
            Ok(sequence)
        };
        let sequences: Vec<TokenIds> = texts.par_iter().map(tokenize).collect::<Result<_>>()?;
        let ids: Vec<&[u32]> = sequences.iter().map(|sequence| &sequence.ids[..]).collect();
        let logits = self.forward(&ids, job)?;
        let predictions = sequences
            .iter()
            .zip(&logits)
            .map(|(TokenIds { ids, truncated }, logits)| Arc::new(self.prediction(&[logits], ids.len(), *truncated)));
        Ok(predictions.collect())
    }

    /// Infers texts in windows, of which only some exist at a time.
    fn infer_windows<'t>(&self, texts: &[&'t str], job: &Job<'_>) -> Result<Vec<Arc<Prediction>>> {
        let check = || job.check();
        let windows = |text: &'t str| self.tokenizer.windows(text, job.max_length, &check);
        let mut windows: Box<dyn Iterator<Item = (usize, Result<Vec<u32>>)>> = match texts {
            [text] => Box::new(windows(text).map(|ids| (0, ids))),
            texts => {
                let all = texts.par_iter().map(|text| windows(text).collect::<Vec<_>>()).collect::<Vec<_>>();
                let numbered = all.into_iter().enumerate();
                Box::new(numbered.flat_map(|(text, windows)| windows.into_iter().map(move |ids| (text, ids))))
            }
        };
        let mut logits: Vec<Vec<Vec<f32>>> = vec![Vec::new(); texts.len()];
        let mut tokens = vec![0; texts.len()];
        loop {
            let part = windows.by_ref().take(MOST_WINDOWS).map(|(text, ids)| Ok((text, ids?)));
            let part: Vec<(usize, Vec<u32>)> = part.collect::<Result<_>>()?;
            if part.is_empty() {
                break;
            }
            let ids: Vec<&[u32]> = part.iter().map(|(_, ids)| &ids[..]).collect();
            for ((text, ids), window) in part.iter().zip(self.forward(&ids, job)?) {
                tokens[*text] += ids.len();
                logits[*text].push(window);
            }
        }
        let predictions = logits.iter().zip(tokens).map(|(windows, tokens)| {
            let windows: Vec<&[f32]> = windows.iter().map(Vec::as_slice).collect();
            Arc::new(self.prediction(&windows, tokens, false))
        });
        Ok(predictions.collect())
    }

    /// The logits of each sequence, in order.
    fn forward(&self, sequences: &[&[u32]], job: &Job<'_>) -> Result<Vec<Vec<f32>>> {
        let mut logits = vec![Vec::new(); sequences.len()];
        let workers = rayon::current_num_threads();
        let lengths: Vec<usize> = sequences.iter().map(|ids| ids.len()).collect();
        let total: usize = lengths.iter().sum();
        let budget = job.options.batch_tokens;
        let rows = if self.backend.pads() {
            padded_batches(&lengths, budget.unwrap_or(ClassifyOptions::GPU_BATCH_TOKENS))
        } else {
            micro_batches(&lengths, budget.unwrap_or(ClassifyOptions::BATCH_TOKENS), workers)
        };
        let run = |rows: Vec<usize>| -> Result<_> {
            job.check()?;
            let batch = Batch::pack(rows.iter().map(|&row| sequences[row]));
            let logits = self.micro_batch(&batch, batch.fair_workers(total, workers), job)?;
            Ok((rows, logits))
        };
        let groups: Vec<Vec<_>> = groups(rows, &lengths, self.backend.most_parallel_tokens())
            .into_par_iter()
            .map(|group| group.into_iter().map(&run).collect::<Result<_>>())
            .collect::<Result<_>>()?;
        for (rows, batch) in groups.into_iter().flatten() {
            for (row, values) in rows.into_iter().zip(batch.chunks_exact(self.labels().len())) {
                logits[row] = values.to_vec();
            }
        }
        Ok(logits)
    }

    /// The logits of each sequence of a batch, row-major.
    fn micro_batch(&self, batch: &Batch, workers: usize, job: &Job<'_>) -> Result<Vec<f32>> {
        let started = Instant::now();
        let logits = self.backend.logits(batch, workers, job.cancelled)?;
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(Error::NotFinite { origin: self.origin().to_string() });
        }
        job.count(&Counts {
            forward_passes: batch.len() as u64,
            tokens: batch.tokens() as u64,
            unknown_tokens: batch.sequences().map(|ids| self.tokenizer.count_unknown(ids) as u64).sum(),
            // The other workers are not available for other work meanwhile.
            busy: started.elapsed() * u32::try_from(workers).unwrap_or(u32::MAX),
            ..Counts::default()
        });
        Ok(logits)
    }

    /// The prediction of a text from the logits of its windows.
    fn prediction(&self, windows: &[&[f32]], tokens: usize, truncated: bool) -> Prediction {
        Prediction::from_logits(self.labels(), self.config().problem_type, windows, tokens, truncated)
    }
}

/// The windows that exist at a time: enough work to keep many cores busy.
const MOST_WINDOWS: usize = 1024;

/// The bytes of the texts that are divided into windows at a time, unless one text has more.
const PORTION: usize = 1 << 20;

/// Texts in portions of at most [`PORTION`] bytes, or of one text.
fn portions<'a, 'b>(texts: &'a [&'b str]) -> impl Iterator<Item = &'a [&'b str]> {
    let mut rest = texts;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |text: &&&str| {
            bytes += text.len();
            bytes <= PORTION
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (portion, next) = rest.split_at_checked(count)?;
        rest = next;
        Some(portion)
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::backends::Backend;

    /// Counts the most passes that run at once over sequences of more than `MOST_TOKENS` tokens.
    #[derive(Default)]
    struct Probe {
        running: AtomicUsize,
        most_at_once: Arc<AtomicUsize>,
        lengths: Arc<Mutex<Vec<usize>>>,
    }

    const MOST_TOKENS: usize = 8;

    impl Backend for Probe {
        fn logits(&self, batch: &Batch, _workers: usize, _cancelled: &AtomicBool) -> Result<Vec<f32>> {
            let lengths: Vec<usize> = batch.sequences().map(<[u32]>::len).collect();
            let is_long = lengths.iter().any(|&tokens| tokens > MOST_TOKENS);
            if is_long {
                self.most_at_once.fetch_max(self.running.fetch_add(1, Relaxed) + 1, Relaxed);
                std::thread::sleep(Duration::from_millis(5));
                self.running.fetch_sub(1, Relaxed);
            }
            self.lengths.lock().unwrap().extend(&lengths);
            // Two labels, whose logits differ from length to length.
            let logit = |tokens: usize| f32::from(u16::try_from(tokens).unwrap()) / 16.0;
            Ok(lengths.into_iter().flat_map(|tokens| [0.0, logit(tokens)]).collect())
        }

        fn most_parallel_tokens(&self) -> usize {
            MOST_TOKENS
        }
    }

    #[test]
    fn long_sequences_run_one_after_another() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/one-head");
        let mut classifier = Classifier::load(folder).unwrap();
        assert_eq!(classifier.labels().len(), 2);
        let probe = Probe::default();
        let (most_at_once, lengths) = (Arc::clone(&probe.most_at_once), Arc::clone(&probe.lengths));
        classifier.backend = Box::new(probe);
        let texts: Vec<String> =
            (0..40).map(|number| format!("{number} {}", "I like you ".repeat(number % 8))).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let request = || classifier.request(&texts).cache(false).batch_tokens(1);
        let answer = request().threads(NonZeroUsize::new(4).unwrap()).run().unwrap();
        assert_eq!(most_at_once.load(Relaxed), 1);
        assert!(lengths.lock().unwrap().iter().any(|&tokens| tokens <= MOST_TOKENS));
        let alone = request().threads(NonZeroUsize::MIN).run().unwrap();
        assert_eq!(answer.predictions, alone.predictions);
    }
}
