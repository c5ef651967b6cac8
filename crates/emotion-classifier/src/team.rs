use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static WORKS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` while up to `workers - 1` other threads of the rayon pool stay awake to share its parallel parts.
///
/// A forward pass over few rows forks and joins dozens of times, each for less time than it takes to wake a thread.
/// While it runs, these workers therefore poll for work instead of going to sleep.
pub(crate) fn with_helpers<R: Send>(workers: usize, work: impl FnOnce() -> R + Send) -> R {
    if workers < 2 {
        return work();
    }
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|_| help_until(&done));
        }
        let _guard = Guard { done: &done, before: WORKS.replace(true) };
        work()
    })
}

fn help_until(done: &AtomicBool) {
    // This worker took the task while it waited for a part of its own `work`, to which it must return: two workers that
    // helped each other this way would never finish.
    if WORKS.get() {
        return;
    }
    while !done.load(Ordering::Acquire) {
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            std::hint::spin_loop();
        }
    }
}

/// Releases the helpers, even if `work` panics.
struct Guard<'a> {
    done: &'a AtomicBool,
    before: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        WORKS.set(self.before);
        self.done.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use rayon::prelude::*;

    use super::*;

    fn sum(depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        (0..4)
            .into_par_iter()
            .map(|_| with_helpers(3, || (0..3).into_par_iter().map(|_| sum(depth - 1)).sum::<u64>()))
            .sum()
    }

    #[test]
    fn nested_teams_finish() {
        for threads in 1..5 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for _ in 0..20 {
                assert_eq!(pool.install(|| sum(3)), 12_u64.pow(3));
            }
        }
    }

    #[test]
    fn a_panic_releases_the_helpers() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let result =
            std::panic::catch_unwind(AssertUnwindSafe(|| pool.install(|| with_helpers(2, || panic!("as intended")))));
        assert!(result.is_err());
        assert_eq!(pool.install(|| with_helpers(2, || 7)), 7);
    }
}
