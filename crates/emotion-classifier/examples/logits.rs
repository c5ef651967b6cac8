//! The logits of texts: `logits MODEL_FOLDER TEXTS [PRECISION] [DEVICE]`, where TEXTS is a file with a JSON array of
//! strings.
//!
//! Prints a JSON array with the token ids and the logits of each text, to compare a model with another
//! implementation of it: `tests/golden/full_size.py` and `bench/gpu.py` compare it with Hugging Face transformers.

use emotion_classifier::{Classifier, Device, Precision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, rest @ ..] = arguments.as_slice() else {
        return Err("usage: logits MODEL_FOLDER TEXTS [PRECISION] [DEVICE]".into());
    };
    let precision = rest.first().map_or(Ok(Precision::default()), |name| name.parse())?;
    let device = rest.get(1).map_or(Ok(Device::default()), |name| name.parse())?;
    let classifier = Classifier::builder().precision(precision).device(device).load(model)?;
    let texts: Vec<String> = serde_json::from_reader(std::fs::File::open(texts)?)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ids = texts
        .iter()
        .map(|text| Ok(classifier.tokenize(text)?.ids))
        .collect::<Result<Vec<_>, emotion_classifier::Error>>()?;
    let rows: Vec<_> = ids.into_iter().zip(classifier.logits(&texts)?).collect();
    println!("{}", serde_json::to_string(&rows)?);
    Ok(())
}
