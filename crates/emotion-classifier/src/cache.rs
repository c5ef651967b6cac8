use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, UnitWeighter};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::{Error, LongText, Prediction, Result};

/// How long a thread that waits for another's inference goes without asking whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(20);

type Entries = Cache<u128, Arc<Prediction>>;
type Promise<'a> = PlaceholderGuard<
    'a,
    u128,
    Arc<Prediction>,
    UnitWeighter,
    DefaultHashBuilder,
    DefaultLifecycle<u128, Arc<Prediction>>,
>;

/// The predictions of texts that this process has seen, whoever asked for them; bounded.
///
/// A key is a keyed 128-bit hash of the text and of all else that a prediction depends on, so no
/// text is kept. Texts that several threads want at once are inferred by the first of them.
pub struct TextCache {
    entries: Entries,
    keys: (u64, u64),
}

/// What the cache knows of a text.
enum Known<'a> {
    Hit(Arc<Prediction>),
    /// Nothing: whoever holds this is to infer it.
    Promised(Promise<'a>),
    /// Another thread is inferring it.
    Awaited,
}

impl TextCache {
    /// Entries that the cache holds unless told otherwise: about 20 MB when full.
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

    /// Makes room for this many entries; drops some if there are more.
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

    /// The predictions behind `keys`, and how many were there already.
    ///
    /// `infer` gets the positions that nobody has inferred yet and answers in their order. It is
    /// called once, and again only for what another thread had begun and given up.
    pub(crate) fn get_or_infer(
        &self,
        keys: &[u128],
        cancelled: &AtomicBool,
        infer: impl Fn(&[usize]) -> Result<Vec<Prediction>>,
    ) -> Result<(Vec<Arc<Prediction>>, usize)> {
        let mut found = vec![None; keys.len()];
        let mut wanted: Vec<usize> = (0..keys.len()).collect();
        let mut inferred = 0;
        while !wanted.is_empty() {
            let (mut promised, mut guards, mut awaited) = (Vec::new(), Vec::new(), Vec::new());
            for at in wanted {
                match self.look_up(keys[at]) {
                    Known::Hit(prediction) => found[at] = Some(prediction),
                    Known::Promised(promise) => {
                        promised.push(at);
                        guards.push(promise);
                    }
                    Known::Awaited => awaited.push(at),
                }
            }
            // Nobody waits while holding a promise, so no two threads wait for each other.
            if !promised.is_empty() {
                inferred += promised.len();
                for ((at, promise), prediction) in promised.iter().zip(guards).zip(infer(&promised)?) {
                    let prediction = Arc::new(prediction);
                    // Refused only if the entry was removed meanwhile: then it is simply not kept.
                    let _ = promise.insert(Arc::clone(&prediction));
                    found[*at] = Some(prediction);
                }
            }
            if let Some(&first) = awaited.first() {
                self.wait(keys[first], cancelled)?;
            }
            wanted = awaited;
        }
        let hits = keys.len() - inferred;
        Ok((found.into_iter().flatten().collect(), hits))
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
            match self.entries.get_value_or_guard(&key, Some(PATIENCE)) {
                GuardResult::Value(_) | GuardResult::Guard(_) => return Ok(()),
                GuardResult::Timeout => {}
            }
        }
        Err(Error::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    fn prediction(score: f32) -> Prediction {
        Prediction { label: "a".into(), label_id: 0, score, probabilities: vec![score], tokens: 2, truncated: false }
    }

    fn infer(cache: &TextCache, keys: &[u128], count: &AtomicUsize) -> Vec<f32> {
        let infer = |at: &[usize]| {
            count.fetch_add(at.len(), Relaxed);
            std::thread::sleep(Duration::from_millis(1));
            Ok(at.iter().map(|&at| prediction(keys[at] as f32)).collect())
        };
        let (predictions, _) = cache.get_or_infer(keys, &NEVER, infer).unwrap();
        predictions.iter().map(|prediction| prediction.score).collect()
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
    fn what_failed_is_inferred_by_the_next() {
        let cache = TextCache::new(10);
        let failed = cache.get_or_infer(&[1], &NEVER, |_| Err(Error::NotFinite));
        assert!(matches!(failed, Err(Error::NotFinite)));
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
    }

    #[test]
    fn who_is_cancelled_stops_waiting() {
        let cache = TextCache::new(10);
        let cancelled = AtomicBool::new(false);
        let outcome = cache.get_or_infer(&[1], &NEVER, |_| {
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| cache.get_or_infer(&[1], &cancelled, |_| unreachable!()));
                std::thread::sleep(Duration::from_millis(5));
                cancelled.store(true, Relaxed);
                assert!(matches!(waiting.join().unwrap(), Err(Error::Cancelled)));
            });
            Ok(vec![prediction(1.0)])
        });
        assert_eq!(outcome.unwrap().1, 0);
    }
}
