//! Throughput of a model over the lines of a file: `throughput MODEL_FOLDER FILE [THREADS] [PRECISION]
//! [TEXTS_A_CALL]`.
//!
//! Prints one JSON object; `bench/compare.py` runs it and the other libraries. The figures are those of the
//! best of three passes, without the time to load the model and without the cache. By default, one call
//! classifies all texts. Equal lines of a call are inferred once and counted once.

use std::time::Instant;

use emotion_classifier::{Classifier, Precision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, file, rest @ ..] = arguments.as_slice() else {
        return Err("usage: throughput MODEL_FOLDER FILE [THREADS] [PRECISION] [TEXTS_A_CALL]".into());
    };
    if let [threads, ..] = rest {
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    }
    let precision = rest.get(1).map_or(Ok(Precision::default()), |name| name.parse())?;
    let classifier = Classifier::builder().precision(precision).load(model)?;
    let lines = std::fs::read_to_string(file)?;
    let texts: Vec<&str> = lines.lines().collect();
    let texts_a_call: usize = rest.get(2).map_or(Ok(texts.len()), |number| number.parse())?;
    let mut best = f64::INFINITY;
    let (mut texts_inferred, mut tokens) = (0_u64, 0_u64);
    for _ in 0..3 {
        let started = Instant::now();
        (texts_inferred, tokens) = (0, 0);
        for texts in texts.chunks(texts_a_call.max(1)) {
            let counts = classifier.request(texts).cache(false).run()?.counts;
            texts_inferred += counts.forward_passes;
            tokens += counts.tokens;
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    let (texts, tokens) = (texts_inferred as f64 / best, tokens as f64 / best);
    println!("{{\"texts_per_second\": {texts:.1}, \"tokens_per_second\": {tokens:.0}}}");
    Ok(())
}
