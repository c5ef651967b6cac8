//! The logits of texts: `logits MODEL_FOLDER TEXTS`, where TEXTS is a file with a JSON array of strings.
//!
//! Prints a JSON array with the token ids and the logits of each text, to compare a model with another
//! implementation of it: `tests/golden/full_size.py` compares it with Hugging Face transformers.

use emotion_classifier::Classifier;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts] = arguments.as_slice() else { return Err("usage: logits MODEL_FOLDER TEXTS".into()) };
    let classifier = Classifier::load(model)?;
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
