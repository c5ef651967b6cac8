//! Texts a second of a model over the lines of a file: `throughput MODEL_FOLDER FILE [THREADS] [PRECISION]
//! [TEXTS_A_CALL]`.
//!
//! Prints one JSON object; `bench/compare.py` runs it beside the peers. The best of three passes
//! counts, and loading the model does not. Without a number of texts a call, all go in one.

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
    let mut tokens = 0;
    for _ in 0..3 {
        let started = Instant::now();
        tokens = 0;
        for texts in texts.chunks(texts_a_call.max(1)) {
            tokens += classifier.classify(texts)?.iter().map(|prediction| prediction.tokens).sum::<usize>();
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    let (texts, tokens) = (texts.len() as f64 / best, tokens as f64 / best);
    println!("{{\"texts_per_second\": {texts:.1}, \"tokens_per_second\": {tokens:.0}}}");
    Ok(())
}
