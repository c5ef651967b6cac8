use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// Runs `work` so that what it does in parallel uses this many threads, or all of the machine's.
///
/// There is one pool of each size in the process, made when first asked for.
pub(crate) fn install<R: Send>(threads: Option<NonZeroUsize>, work: impl FnOnce() -> R + Send) -> Result<R> {
    match threads {
        None => Ok(work()),
        Some(threads) => Ok(pool(threads)?.install(work)),
    }
}

fn pool(threads: NonZeroUsize) -> Result<Arc<ThreadPool>> {
    static POOLS: Mutex<Option<HashMap<NonZeroUsize, Arc<ThreadPool>>>> = Mutex::new(None);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_default();
    if let Some(pool) = pools.get(&threads) {
        return Ok(Arc::clone(pool));
    }
    let pool =
        ThreadPoolBuilder::new().num_threads(threads.get()).build().map_err(|e| Error::Threads(e.to_string()))?;
    let pool = Arc::new(pool);
    pools.insert(threads, Arc::clone(&pool));
    Ok(pool)
}
