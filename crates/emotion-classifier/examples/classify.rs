//! Classifies texts with the model of a folder or of a hub id.
//!
//!     cargo run -p emotion-classifier --example classify -- FOLDER_OR_ID TEXT…

use emotion_classifier::Classifier;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("give a model's folder or hub id, and texts")?;
    let texts: Vec<String> = arguments.collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let classifier = Classifier::open(&model)?;
    for (text, prediction) in texts.iter().zip(classifier.classify(&texts)?) {
        println!("{}\t{:.6}\t{} tokens\t{text}", prediction.label, prediction.score, prediction.tokens);
    }
    Ok(())
}
