use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Runs `work` on a pool of this many threads, but not of more than the machine has, or on the current rayon pool.
///
/// After a fork, the threads of the parent's pools, the global one among them, do not exist in the child: work for them
/// would wait forever, so the child starts pools of its own.
pub(crate) fn install<R: Send>(threads: Option<NonZeroUsize>, work: impl FnOnce() -> R + Send) -> Result<R> {
    static SHARED: Pools = Pools::new();
    static FIRST_PROCESS: OnceLock<u32> = OnceLock::new();
    let process = std::process::id();
    let is_forked = *FIRST_PROCESS.get_or_init(|| process) != process;
    let threads = match threads {
        None if !is_forked || rayon::current_thread_index().is_some() => return Ok(work()),
        None => NonZeroUsize::new(rayon::current_num_threads()).unwrap_or(NonZeroUsize::MIN),
        Some(threads) => threads.min(available_parallelism().unwrap_or(NonZeroUsize::MIN)),
    };
    SHARED.install(process, threads, work)
}

/// Pools that are kept although no request uses them, because starting threads takes time.
const MOST_IDLE: usize = 2;

/// Thread pools of a process by size, the least recently used first.
struct Pools(Mutex<(u32, Vec<Arc<ThreadPool>>)>);

impl Pools {
    const fn new() -> Self {
        Self(Mutex::new((0, Vec::new())))
    }

    fn install<R: Send>(&self, process: u32, threads: NonZeroUsize, work: impl FnOnce() -> R + Send) -> Result<R> {
        let pool = self.get(process, threads)?;
        let result = pool.install(work);
        drop(pool);
        self.drop_idle();
        Ok(result)
    }

    fn get(&self, process: u32, threads: NonZeroUsize) -> Result<Arc<ThreadPool>> {
        let (owner, pools) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *owner != process {
            // Those of the parent are not dropped: that would wake threads that do not exist here.
            std::mem::forget(std::mem::take(pools));
            *owner = process;
        }
        let pool = match pools.iter().position(|pool| pool.current_num_threads() == threads.get()) {
            Some(index) => pools.remove(index),
            None => Arc::new(start(threads)?),
        };
        pools.push(Arc::clone(&pool));
        Ok(pool)
    }

    /// Drops the least recently used of the idle pools, so that [`MOST_IDLE`] remain.
    fn drop_idle(&self) {
        let (_, pools) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    const PROCESS: u32 = 7;

    fn sizes(pools: &Pools) -> Vec<usize> {
        pools.0.lock().unwrap().1.iter().map(|pool| pool.current_num_threads()).collect()
    }

    fn run(pools: &Pools, threads: usize) {
        let threads = NonZeroUsize::new(threads).unwrap();
        assert_eq!(pools.install(PROCESS, threads, rayon::current_num_threads).unwrap(), threads.get());
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
            .install(PROCESS, used, || {
                for threads in 1..=5 {
                    run(&pools, threads);
                }
                assert_eq!(sizes(&pools), [7, 4, 5]);
                assert_eq!(Arc::strong_count(&pools.get(PROCESS, used).unwrap()), 3);
            })
            .unwrap();
        assert_eq!(sizes(&pools).len(), MOST_IDLE);
    }

    #[test]
    fn a_child_has_pools_of_its_own() {
        let pools = Pools::new();
        let threads = NonZeroUsize::new(2).unwrap();
        let parents = pools.get(PROCESS, threads).unwrap();
        assert!(Arc::ptr_eq(&pools.get(PROCESS, threads).unwrap(), &parents));
        let childs = pools.get(PROCESS + 1, threads).unwrap();
        assert!(!Arc::ptr_eq(&childs, &parents));
        assert_eq!(sizes(&pools), [2]);
        assert_eq!(Arc::strong_count(&parents), 2, "the pool of the parent is kept, but not used");
    }

    #[test]
    fn no_more_threads_than_the_machine_has() {
        let most = available_parallelism().unwrap().get();
        for threads in [1, 2, 1000, usize::MAX] {
            let given = install(NonZeroUsize::new(threads), rayon::current_num_threads).unwrap();
            assert_eq!(given, threads.min(most));
        }
    }
}
