use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, UnitWeighter};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::error::{Error, Result};
use crate::options::LongText;
use crate::prediction::Prediction;

/// The longest time between two checks for cancellation while a thread waits for another's inference.
const CANCELLATION_INTERVAL: Duration = Duration::from_millis(20);

type Entries = Cache<u128, Arc<Prediction>>;
type Promise<'a> = PlaceholderGuard<
    'a,
    u128,
    Arc<Prediction>,
    UnitWeighter,
    DefaultHashBuilder,
    DefaultLifecycle<u128, Arc<Prediction>>,
>;

/// The predictions of texts that this process has classified, for all requests; bounded.
///
/// A key is a keyed 128-bit hash of the text and of everything else that a prediction depends on, so that no text is
/// stored. A text that several threads request at once is inferred by the first of them, and the others wait for it.
/// Threads of a rayon pool neither wait nor make others wait: a worker that waits could block the very inference it
/// waits for. They use and keep predictions all the same.
pub struct TextCache {
    entries: Entries,
    keys: (u64, u64),
}

/// The state of a text in the cache.
enum Known<'a> {
    Hit(Arc<Prediction>),
    /// Absent: the holder of the promise is to infer it.
    Promised(Promise<'a>),
    /// Another thread has promised to infer it.
    Awaited,
}

impl TextCache {
    /// The default number of entries: about 20 MB when full.
    pub const DEFAULT_ENTRIES: usize = 100_000;

    /// The cache of this process.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<TextCache> = LazyLock::new(|| TextCache::new(TextCache::DEFAULT_ENTRIES));
        &SHARED
    }

    fn new(entries: usize) -> Self {
        let random = RandomState::new();
        Self { entries: Cache::new(entries), keys: (random.hash_one(0), random.hash_one(1)) }
    }

    /// Sets the largest number of entries; excess entries are dropped.
    pub fn resize(&self, entries: usize) {
        self.entries.set_capacity(entries as u64);
    }

    pub(crate) fn key(&self, model: u64, max_length: usize, long_text: LongText, text: &str) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write_u64(model);
        hasher.write_u64(max_length as u64);
        hasher.write_u8(long_text as u8);
        hasher.write(text.as_bytes());
        hasher.finish128().as_u128()
    }

    /// The predictions of `keys`, which differ.
    ///
    /// `infer` receives the indices of absent keys and returns their predictions in order. It is called at most once,
    /// and again only for keys that another thread had promised and given up. `on_hits` receives the number of
    /// predictions that were not inferred by this call, as they are found.
    pub(crate) fn get_or_infer(
        &self,
        keys: &[u128],
        cancelled: &AtomicBool,
        on_hits: impl Fn(usize),
        infer: impl Fn(&[usize]) -> Result<Vec<Arc<Prediction>>>,
    ) -> Result<Vec<Arc<Prediction>>> {
        if rayon::current_thread_index().is_some() {
            return self.get_or_infer_unpromised(keys, on_hits, infer);
        }
        let mut found = vec![None; keys.len()];
        let mut wanted: Vec<usize> = (0..keys.len()).collect();
        while !wanted.is_empty() {
            let (mut absent, mut promises, mut awaited) = (Vec::new(), Vec::new(), Vec::new());
            for &index in &wanted {
                match self.look_up(keys[index]) {
                    Known::Hit(prediction) => found[index] = Some(prediction),
                    Known::Promised(promise) => {
                        absent.push(index);
                        promises.push(promise);
                    }
                    Known::Awaited => awaited.push(index),
                }
            }
            on_hits(wanted.len() - absent.len() - awaited.len());
            // No thread waits while it holds a promise, so no two threads wait for each other.
            if !absent.is_empty() {
                let inferred = infer(&absent)?;
                for ((index, promise), prediction) in absent.into_iter().zip(promises).zip(inferred) {
                    // Fails if the entry was removed or filled meanwhile: there is nothing to keep then.
                    let _ = promise.insert(Arc::clone(&prediction));
                    found[index] = Some(prediction);
                }
            }
            if let Some(&first) = awaited.first() {
                self.wait(keys[first], cancelled)?;
            }
            wanted = awaited;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// As [`Self::get_or_infer`], without waiting for other threads and without making them wait.
    fn get_or_infer_unpromised(
        &self,
        keys: &[u128],
        on_hits: impl Fn(usize),
        infer: impl Fn(&[usize]) -> Result<Vec<Arc<Prediction>>>,
    ) -> Result<Vec<Arc<Prediction>>> {
        let mut found: Vec<_> = keys.iter().map(|key| self.entries.get(key)).collect();
        let absent: Vec<usize> = (0..keys.len()).filter(|&index| found[index].is_none()).collect();
        on_hits(keys.len() - absent.len());
        if !absent.is_empty() {
            for (&index, prediction) in absent.iter().zip(infer(&absent)?) {
                self.entries.insert(keys[index], Arc::clone(&prediction));
                found[index] = Some(prediction);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn look_up(&self, key: u128) -> Known<'_> {
        match self.entries.get_value_or_guard(&key, Some(Duration::ZERO)) {
            GuardResult::Value(prediction) => Known::Hit(prediction),
            GuardResult::Guard(promise) => Known::Promised(promise),
            GuardResult::Timeout => Known::Awaited,
        }
    }

    /// Returns when another thread has inferred `key` or given it up.
    fn wait(&self, key: u128, cancelled: &AtomicBool) -> Result<()> {
        while !cancelled.load(Relaxed) {
            match self.entries.get_value_or_guard(&key, Some(CANCELLATION_INTERVAL)) {
                GuardResult::Value(_) | GuardResult::Guard(_) => return Ok(()),
                GuardResult::Timeout => {}
            }
        }
        Err(Error::Cancelled)
    }
}

impl fmt::Debug for TextCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("TextCache");
        debug.field("entries", &self.entries.len()).field("capacity", &self.entries.capacity()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    fn prediction(score: f32) -> Arc<Prediction> {
        Arc::new(Prediction::from_probabilities(&["a".into()], vec![score], 2, false))
    }

    fn infer(cache: &TextCache, keys: &[u128], count: &AtomicUsize) -> Vec<f32> {
        let infer = |indices: &[usize]| {
            count.fetch_add(indices.len(), Relaxed);
            std::thread::sleep(Duration::from_millis(1));
            Ok(indices.iter().map(|&index| prediction(keys[index] as f32)).collect())
        };
        let predictions = cache.get_or_infer(keys, &NEVER, |_| {}, infer).unwrap();
        predictions.iter().map(|prediction| prediction.score).collect()
    }

    fn in_a_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap().install(work)
    }

    #[test]
    fn keys_differ_by_all_that_a_prediction_depends_on() {
        let cache = TextCache::new(10);
        let key = cache.key(1, 512, LongText::Truncate, "a");
        assert_eq!(key, cache.key(1, 512, LongText::Truncate, "a"));
        for other in [
            cache.key(2, 512, LongText::Truncate, "a"),
            cache.key(1, 511, LongText::Truncate, "a"),
            cache.key(1, 512, LongText::Window, "a"),
            cache.key(1, 512, LongText::Truncate, "b"),
            cache.key(1, 512, LongText::Truncate, ""),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn a_key_is_inferred_once_by_any_number_of_threads() {
        let cache = TextCache::new(1000);
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (cache, count) = (&cache, &count);
                scope.spawn(move || {
                    for round in 0..20_u128 {
                        let keys: Vec<u128> = (0..20).map(|i| round * 10 + (i * (thread + 1)) % 20).collect();
                        let expected: Vec<f32> = keys.iter().map(|&key| key as f32).collect();
                        assert_eq!(infer(cache, &keys, count), expected);
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 210);
    }

    #[test]
    fn a_key_that_failed_is_inferred_by_the_next_request() {
        let cache = TextCache::new(10);
        let failed = cache.get_or_infer(&[1], &NEVER, |_| {}, |_| Err(Error::Cancelled));
        assert!(matches!(failed, Err(Error::Cancelled)));
        assert_eq!(infer(&cache, &[1], &AtomicUsize::new(0)), [1.0]);
    }

    #[test]
    fn more_texts_than_entries() {
        let cache = TextCache::new(3);
        let keys: Vec<u128> = (0..100).chain(0..100).collect();
        let expected: Vec<f32> = keys.iter().map(|&key| key as f32).collect();
        assert_eq!(infer(&cache, &keys, &AtomicUsize::new(0)), expected);
        cache.resize(1);
        assert_eq!(infer(&cache, &keys, &AtomicUsize::new(0)), expected);
        assert_eq!(in_a_pool(|| infer(&cache, &keys, &AtomicUsize::new(0))), expected);
    }

    #[test]
    fn a_cancelled_request_stops_waiting() {
        let cache = TextCache::new(10);
        let cancelled = AtomicBool::new(false);
        let hits = AtomicUsize::new(0);
        let on_hits = |count| _ = hits.fetch_add(count, Relaxed);
        let outcome = cache.get_or_infer(&[1], &NEVER, on_hits, |_| {
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| cache.get_or_infer(&[1], &cancelled, on_hits, |_| unreachable!()));
                std::thread::sleep(Duration::from_millis(5));
                cancelled.store(true, Relaxed);
                assert!(matches!(waiting.join().unwrap(), Err(Error::Cancelled)));
            });
            Ok(vec![prediction(1.0)])
        });
        assert_eq!(outcome.unwrap().len(), 1);
        assert_eq!(hits.into_inner(), 0);
    }

    #[test]
    fn a_pool_uses_and_keeps_predictions() {
        let cache = TextCache::new(10);
        let count = AtomicUsize::new(0);
        assert_eq!(infer(&cache, &[1], &count), [1.0]);
        assert_eq!(in_a_pool(|| infer(&cache, &[1, 2], &count)), [1.0, 2.0]);
        assert_eq!(infer(&cache, &[2], &count), [2.0]);
        assert_eq!(count.into_inner(), 2);
    }

    #[test]
    fn a_pool_does_not_wait_for_another_thread() {
        let cache = TextCache::new(10);
        let outcome = cache.get_or_infer(
            &[1],
            &NEVER,
            |_| {},
            |_| {
                let count = AtomicUsize::new(0);
                assert_eq!(in_a_pool(|| infer(&cache, &[1], &count)), [1.0]);
                assert_eq!(count.into_inner(), 1);
                Ok(vec![prediction(1.0)])
            },
        );
        assert_eq!(outcome.unwrap()[0].score.to_bits(), 1.0_f32.to_bits());
        assert_eq!(infer(&cache, &[1], &AtomicUsize::new(0)), [1.0]);
    }

    #[test]
    fn threads_and_pools_that_infer_the_same_keys_finish() {
        let cache = TextCache::new(1000);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let barrier = Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8_u128 {
                let (cache, pool, barrier) = (&cache, &pool, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for round in 0..20_u128 {
                        let keys: Vec<u128> = (0..10).map(|i| round * 5 + (i * (thread + 1)) % 11).collect();
                        let expected: Vec<f32> = keys.iter().map(|&key| key as f32).collect();
                        let run = || infer(cache, &keys, &AtomicUsize::new(0));
                        let scores = if thread % 2 == 0 { run() } else { pool.install(run) };
                        assert_eq!(scores, expected);
                    }
                });
            }
        });
    }
}
