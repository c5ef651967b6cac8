//! How far the labels of a model agree between precisions: `precisions MODEL_FOLDER LABELLED_FILE`.
//!
//! After a header, each line of the file is `text;label`. Prints, for each precision, the number of texts
//! with the label of float32, the number with the label of the file, and the largest change of a score.

use emotion_classifier::{Classifier, Precision, Prediction};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, file] = arguments.as_slice() else {
        return Err("usage: precisions MODEL_FOLDER LABELLED_FILE".into());
    };
    let file = std::fs::read_to_string(file)?;
    let (texts, labels): (Vec<_>, Vec<_>) = file.lines().skip(1).filter_map(|line| line.rsplit_once(';')).unzip();
    let classify = |precision| {
        let classifier = Classifier::builder().precision(precision).load(model)?;
        classifier.request(&texts).cache(false).run().map(|answer| answer.predictions)
    };
    let float32 = classify(Precision::Float32)?;
    for precision in [Precision::Float32, Precision::Bfloat16, Precision::Int8] {
        let predictions = classify(precision)?;
        let agree = predictions.iter().zip(&float32).filter(|(a, b)| a.label == b.label).count();
        let right = predictions.iter().zip(&labels).filter(|(a, label)| *a.label == ***label).count();
        let change = predictions.iter().zip(&float32).map(|(a, b)| largest_change(a, b)).fold(0.0, f32::max);
        println!("{precision:9} {agree} agree, {right} right of {}; scores change by {change:.4} at most", texts.len());
    }
    Ok(())
}

fn largest_change(a: &Prediction, b: &Prediction) -> f32 {
    let pairs = a.probabilities.iter().zip(&b.probabilities);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
