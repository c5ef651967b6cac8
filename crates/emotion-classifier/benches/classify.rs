//! Texts per second of the built-in model, at short, medium and full length, in each precision.
//!
//! `cargo bench -p emotion-classifier --features default-model`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use emotion_classifier::{Classifier, Precision};

/// Distinct texts of `tokens` tokens each, special tokens included.
fn texts(count: usize, tokens: usize) -> Vec<String> {
    let words = ["joy", "fear", "love", "day", "rain", "house", "friend", "night", "music", "road"];
    let word = |text: usize, at: usize| words[(text * 7 + at * at + at * text) % words.len()];
    (0..count).map(|text| (0..tokens - 2).map(|at| word(text, at)).collect::<Vec<_>>().join(" ")).collect()
}

fn classify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    group.sample_size(10);
    for precision in [Precision::Float32, Precision::Bfloat16, Precision::Int8] {
        let classifier =
            Classifier::builder().precision(precision).load_default_model().expect("the built-in model loads");
        for (tokens, count) in [(22, 128), (128, 32), (512, 8)] {
            let texts = texts(count, tokens);
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(precision.name(), tokens), |bencher| {
                let infer = || classifier.request(black_box(&texts)).cache(false).run();
                bencher.iter(|| black_box(infer().expect("texts are classified")));
            });
        }
    }
    group.finish();
}

fn tokenize(criterion: &mut Criterion) {
    let classifier = Classifier::default_model().expect("the built-in model loads");
    let texts = texts(128, 22);
    let library =
        tokenizers::Tokenizer::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/model/tokenizer.json"))
            .expect("the built-in model has a tokenizer");
    let mut group = criterion.benchmark_group("tokenize");
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function(BenchmarkId::new("tokens", 22), |bencher| {
        bencher
            .iter(|| texts.iter().map(|text| classifier.tokenize(text).map(|t| t.ids.len())).sum::<Result<usize, _>>());
    });
    group.bench_function(BenchmarkId::new("tokens by the library alone", 22), |bencher| {
        bencher.iter(|| {
            texts.iter().map(|text| library.encode_fast(&**text, true).map(|t| t.len())).sum::<Result<usize, _>>()
        });
    });
    for (name, sentence) in SCRIPTS {
        let start: String = sentence.chars().cycle().take(110).collect();
        group.bench_function(BenchmarkId::new("texts of 110 characters", name), |bencher| {
            let texts = vec![&start; texts.len()];
            bencher.iter(|| {
                texts.iter().map(|text| classifier.tokenize(text).map(|t| t.ids.len())).sum::<Result<usize, _>>()
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("tokenize 1 MB");
    for (name, sentence) in SCRIPTS {
        let text = sentence.repeat((1 << 20) / sentence.len());
        group.bench_function(name, |bencher| bencher.iter(|| classifier.tokenize(&text).map(|t| t.ids.len())));
    }
    group.finish();
}

const SCRIPTS: [(&str, &str); 6] = [
    ("ASCII", "I am so happy to see you again, my dear friend! "),
    ("accents", "Je suis très heureux d'être à l'été, où élèves et café résumés. "),
    ("Cyrillic", "Я очень рад снова видеть тебя, мой дорогой друг! "),
    ("Chinese", "我很高兴再次见到你，我亲爱的朋友！"),
    ("Thai without spaces", "ฉันดีใจมากที่ได้พบคุณอีกครั้งเพื่อนรักของฉัน"),
    ("emoji", "😀👍🏽😢❤️ "),
];

criterion_group!(benches, classify, tokenize);
criterion_main!(benches);
