//! Throughput of a model over the lines of a file: `throughput MODEL_FOLDER FILE [OPTION=VALUE]…`.
//!
//! The options are `threads`, `precision`, `backend`, `device`, `batch_tokens` and `texts_a_call`. By default, one call
//! classifies all texts. Equal lines of a call are inferred once and counted once.
//!
//! Prints one JSON object; `bench/compare.py` and `bench/gpu.py` run it and the other libraries. The figures are those
//! of the best of three passes, without the time to load the model and without the cache.

use std::error::Error;
use std::time::Instant;

use emotion_classifier::{Classifier, Compute};

struct Options {
    threads: Option<usize>,
    compute: Compute,
    batch_tokens: Option<usize>,
    texts_a_call: usize,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut options =
            Self { threads: None, compute: Compute::default(), batch_tokens: None, texts_a_call: usize::MAX };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("threads", value)) => options.threads = Some(value.parse()?),
                Some(("precision", value)) => options.compute.precision = value.parse()?,
                Some(("backend", value)) => options.compute.backend = value.parse()?,
                Some(("device", value)) => options.compute.device = value.parse()?,
                Some(("batch_tokens", value)) => options.batch_tokens = Some(value.parse()?),
                Some(("texts_a_call", value)) => options.texts_a_call = value.parse()?,
                _ => return Err(format!("'{argument}' is not an option: see the top of throughput.rs").into()),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, file, options @ ..] = arguments.as_slice() else {
        return Err("usage: throughput MODEL_FOLDER FILE [OPTION=VALUE]…".into());
    };
    let options = Options::parse(options)?;
    if let Some(threads) = options.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let classifier = Classifier::builder().compute(options.compute).load(model)?;
    let lines = std::fs::read_to_string(file)?;
    let texts: Vec<&str> = lines.lines().collect();
    let mut best = f64::INFINITY;
    let (mut texts_inferred, mut tokens) = (0_u64, 0_u64);
    for _ in 0..3 {
        let started = Instant::now();
        (texts_inferred, tokens) = (0, 0);
        for texts in texts.chunks(options.texts_a_call.clamp(1, texts.len().max(1))) {
            let mut request = classifier.request(texts).cache(false);
            if let Some(tokens) = options.batch_tokens {
                request = request.batch_tokens(tokens);
            }
            let counts = request.run()?.counts;
            texts_inferred += counts.forward_passes;
            tokens += counts.tokens;
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    let (texts, tokens) = (texts_inferred as f64 / best, tokens as f64 / best);
    println!("{{\"texts_per_second\": {texts:.1}, \"tokens_per_second\": {tokens:.0}}}");
    Ok(())
}
