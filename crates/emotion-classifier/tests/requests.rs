//! What a request infers, looks up and counts.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier};

use emotion_classifier::{Classifier, ClassifyOptions, Counts, Error, LongText, Prediction, Statistics};
use rayon::prelude::*;

fn model(name: &str) -> Classifier {
    Classifier::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)).unwrap()
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("text number {i}")).collect()
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn scores(predictions: &[Arc<Prediction>]) -> Vec<u32> {
    predictions.iter().map(|prediction| prediction.score.to_bits()).collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// The number of cache hits, of repeated texts and of forward passes.
fn work(counts: &Counts) -> (u64, u64, u64) {
    (counts.cache_hits, counts.repeated, counts.forward_passes)
}

#[test]
fn equal_texts_are_inferred_once_with_and_without_the_cache() {
    for cache in [false, true] {
        for in_a_pool in [false, true] {
            let classifier = model("gelu-json");
            let run = || classifier.request(&["a", "b", "a", "a"]).cache(cache).run().unwrap();
            let answer = if in_a_pool { pool(2).install(run) } else { run() };
            assert_eq!(work(&answer.counts), (0, 2, 2), "cache: {cache}, in a pool: {in_a_pool}");
            assert!(Arc::ptr_eq(&answer.predictions[0], &answer.predictions[2]));
            assert_ne!(answer.predictions[0], answer.predictions[1]);
        }
    }
    let answer = model("gelu-json").request(&["a", "a"]).cache(false).run().unwrap();
    assert_eq!(answer.counts.forward_passes, 1);
}

#[test]
fn classify_looks_up_the_cache() {
    let classifier = model("gelu-json");
    let first = classifier.classify(&["a", "b"]).unwrap();
    let second = classifier.classify(&["b", "a"]).unwrap();
    assert!(Arc::ptr_eq(&first[0], &second[1]) && Arc::ptr_eq(&first[1], &second[0]));
    let answer = classifier.request(&["a"]).run().unwrap();
    assert_eq!(work(&answer.counts), (1, 0, 0));
}

#[test]
fn without_the_cache_nothing_is_looked_up_or_kept() {
    let classifier = model("gelu-json");
    for _ in 0..2 {
        let answer = classifier.request(&["a"]).cache(false).run().unwrap();
        assert_eq!(work(&answer.counts), (0, 0, 1));
    }
    assert_eq!(work(&classifier.request(&["a"]).run().unwrap().counts), (0, 0, 1));
    assert_eq!(work(&classifier.request(&["a"]).cache(false).run().unwrap().counts), (0, 0, 1));
}

#[test]
fn the_cache_works_inside_a_rayon_pool() {
    let classifier = model("gelu-json");
    let run = |texts: &[&str]| pool(2).install(|| classifier.request(texts).run().unwrap());
    assert_eq!(work(&run(&["a", "b"]).counts), (0, 0, 2));
    assert_eq!(work(&run(&["a", "b", "c"]).counts), (2, 0, 1));
    let outside = classifier.request(&["c", "d"]).run().unwrap();
    assert_eq!(work(&outside.counts), (1, 0, 1));
    assert_eq!(work(&run(&["d"]).counts), (1, 0, 0));
}

#[test]
fn threads_and_rayon_workers_that_request_the_same_texts_finish() {
    let classifier = model("gelu-json");
    let texts = texts(60);
    let texts = borrowed(&texts);
    let expected = scores(&classifier.request(&texts).cache(false).run().unwrap().predictions);
    let pool = pool(3);
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (classifier, texts, expected, pool, barrier) = (&classifier, &texts, &expected, &pool, &barrier);
            scope.spawn(move || {
                barrier.wait();
                if thread % 2 == 0 {
                    assert_eq!(scores(&classifier.classify(texts).unwrap()), *expected);
                } else {
                    // Several requests in one pool, whose workers run parts of one another's.
                    pool.install(|| {
                        (0..6).into_par_iter().for_each(|_| {
                            assert_eq!(scores(&classifier.classify(texts).unwrap()), *expected);
                        });
                    });
                }
            });
        }
    });
}

#[test]
fn options_and_their_setters_are_the_same() {
    let classifier = model("gelu-json");
    let long = "one two three four five six seven eight nine ten ".repeat(4);
    let options = ClassifyOptions::default().max_length(8).long_text(LongText::Window).cache(false);
    let stored = classifier.request(&[&long]).options(&options).run().unwrap();
    let set = classifier.request(&[&long]).max_length(8).long_text(LongText::Window).cache(false).run().unwrap();
    assert_eq!(stored.predictions, set.predictions);
    assert!(stored.counts.forward_passes > 1 && !stored.predictions[0].truncated);
    let truncated = classifier.request(&[&long]).max_length(8).run().unwrap();
    assert_eq!((truncated.counts.tokens, truncated.counts.truncated), (8, 1));
}

#[test]
fn threads_and_batch_tokens_change_no_prediction() {
    let classifier = model("gelu-json");
    let texts = texts(40);
    let texts = borrowed(&texts);
    let expected = scores(&classifier.request(&texts).cache(false).run().unwrap().predictions);
    for (threads, batch_tokens) in [(1, 0), (1, 1), (2, 64), (3, usize::MAX)] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let request = classifier.request(&texts).cache(false).threads(threads).batch_tokens(batch_tokens);
        let answer = request.run().unwrap();
        assert_eq!(scores(&answer.predictions), expected, "{threads} threads, {batch_tokens} tokens");
        assert_eq!(answer.counts.forward_passes, 40);
    }
}

#[test]
fn live_statistics_add_up_over_requests() {
    let classifier = model("gelu-json");
    let live = Statistics::default();
    let first = classifier.request(&["a", "a"]).statistics(&live).run().unwrap();
    assert_eq!(live.snapshot(), first.counts);
    let second = classifier.request(&["a", "b"]).statistics(&live).run().unwrap();
    assert_eq!(work(&live.snapshot()), (1, 1, 2));
    assert_eq!(live.snapshot().busy, first.counts.busy + second.counts.busy);
}

#[test]
fn live_statistics_count_what_a_failed_request_did() {
    let classifier = model("gelu-json");
    classifier.classify(&["known"]).unwrap();
    let (live, cancelled) = (Statistics::default(), AtomicBool::new(true));
    let error = classifier.request(&["a"]).cancelled(&cancelled).statistics(&live).run().unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(live.snapshot(), Counts::default());

    let texts = texts(10_000);
    let texts = [&["known", "known"], &borrowed(&texts)[..]].concat();
    cancelled.store(false, Relaxed);
    let error = std::thread::scope(|scope| {
        let request = classifier.request(&texts).batch_tokens(1).cancelled(&cancelled).statistics(&live);
        let running = scope.spawn(|| request.run());
        while live.snapshot().forward_passes == 0 && !running.is_finished() {
            std::thread::yield_now();
        }
        cancelled.store(true, Relaxed);
        running.join().unwrap().unwrap_err()
    });
    assert!(matches!(error, Error::Cancelled), "{error}");
    let counts = live.snapshot();
    assert_eq!((counts.cache_hits, counts.repeated), (1, 1));
    assert!((1..10_000).contains(&counts.forward_passes) && counts.tokens > 0);
}

#[test]
fn max_length_is_checked() {
    let classifier = model("gelu-json");
    let error = classifier.request(&["a"]).max_length(1000).run().unwrap_err();
    assert!(matches!(error, Error::MaxLength { given: 1000, least: 3, most: 64 }), "{error}");
}

#[test]
fn a_threshold_decides_which_labels_hold_and_changes_no_prediction() {
    let classifier = model("gelu-json");
    let without = classifier.request(&["a", "b"]).run().unwrap();
    assert!(without.labels().all(|label| label.is_some()));
    let highest = without.predictions[0].score.max(without.predictions[1].score);
    let answer = classifier.request(&["a", "b"]).threshold(highest).run().unwrap();
    assert_eq!(answer.predictions, without.predictions);
    assert_eq!(work(&answer.counts), (2, 0, 0), "the cache holds for every threshold");
    let expected: Vec<_> = answer.predictions.iter().map(|row| (row.score >= highest).then_some(&row.label)).collect();
    assert_eq!(answer.labels().collect::<Vec<_>>(), expected);
    assert_eq!(expected.iter().flatten().count(), 1);
}

#[test]
fn the_threshold_is_checked() {
    let classifier = model("gelu-json");
    for wrong in [-0.1, 1.1, f32::NAN] {
        let error = classifier.request(&["a"]).threshold(wrong).run().unwrap_err();
        assert!(matches!(error, Error::Threshold(_)), "{error}");
    }
}
