use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Runs `work` on a pool of this many threads, or on the current rayon pool.
pub(crate) fn install<R: Send>(threads: Option<NonZeroUsize>, work: impl FnOnce() -> R + Send) -> Result<R> {
    static SHARED: Pools = Pools::new();
    match threads {
        None => Ok(work()),
        Some(threads) => SHARED.install(threads, work),
    }
}

/// Pools that are kept although no request uses them, because starting threads takes time.
const MOST_IDLE: usize = 2;

/// Thread pools by size, the least recently used first.
struct Pools(Mutex<Vec<Arc<ThreadPool>>>);

impl Pools {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn install<R: Send>(&self, threads: NonZeroUsize, work: impl FnOnce() -> R + Send) -> Result<R> {
        let pool = self.get(threads)?;
        let result = pool.install(work);
        drop(pool);
        self.drop_idle();
        Ok(result)
    }

    fn get(&self, threads: NonZeroUsize) -> Result<Arc<ThreadPool>> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = match pools.iter().position(|pool| pool.current_num_threads() == threads.get()) {
            Some(index) => pools.remove(index),
            None => Arc::new(start(threads)?),
        };
        pools.push(Arc::clone(&pool));
        Ok(pool)
    }

    /// Drops the least recently used of the idle pools, so that [`MOST_IDLE`] remain.
    fn drop_idle(&self) {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A pool in use has another owner: `get` hands out clones under the same lock.
        let is_idle = |pool: &Arc<ThreadPool>| Arc::strong_count(pool) == 1;
        let mut excess = pools.iter().filter(|pool| is_idle(pool)).count().saturating_sub(MOST_IDLE);
        pools.retain(|pool| {
            let dropped = excess > 0 && is_idle(pool);
            excess -= usize::from(dropped);
            !dropped
        });
    }
}

fn start(threads: NonZeroUsize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads.get()).build().map_err(|e| Error::Threads(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(pools: &Pools) -> Vec<usize> {
        pools.0.lock().unwrap().iter().map(|pool| pool.current_num_threads()).collect()
    }

    fn run(pools: &Pools, threads: usize) {
        let threads = NonZeroUsize::new(threads).unwrap();
        assert_eq!(pools.install(threads, rayon::current_num_threads).unwrap(), threads.get());
    }

    #[test]
    fn few_idle_pools_are_kept() {
        let pools = Pools::new();
        for threads in 1..=20 {
            run(&pools, threads);
        }
        assert_eq!(sizes(&pools), [19, 20]);
        run(&pools, 19);
        run(&pools, 3);
        assert_eq!(sizes(&pools), [19, 3], "the least recently used is dropped");
    }

    #[test]
    fn a_pool_in_use_is_kept_and_shared() {
        let pools = Pools::new();
        let used = NonZeroUsize::new(7).unwrap();
        pools
            .install(used, || {
                for threads in 1..=5 {
                    run(&pools, threads);
                }
                assert_eq!(sizes(&pools), [7, 4, 5]);
                assert_eq!(Arc::strong_count(&pools.get(used).unwrap()), 3);
            })
            .unwrap();
        assert_eq!(sizes(&pools).len(), MOST_IDLE);
    }
}
