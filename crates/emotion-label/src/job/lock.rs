//! Only one run at a time works on an output.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::job::cancel::Cancel;
use crate::job::error::{Context, LabelError, Result};
use crate::job::observer::Observer;
use crate::job::storage::Storage;

/// Held until dropped, or until the process ends, however that happens.
pub enum Lock {
    /// The system forgets a file's lock with the process.
    File(#[expect(dead_code, reason = "it is held, not used")] File),
    Lease(Lease),
}

impl Lock {
    pub async fn take(storage: &Storage, observer: &dyn Observer, cancel: &Cancel) -> Result<Self> {
        let name = storage.journal("lock");
        if let Some((store, path)) = storage.remote(&name) {
            let every = Lease::RENEWED_EVERY;
            return Ok(Self::Lease(Lease::take(store, path, storage.shown(), every, observer, cancel).await?));
        }
        let Some(file) = storage.open_file(&name)? else {
            return Err(LabelError::Refused(format!("'{}' cannot be locked", storage.shown())));
        };
        match file.try_lock() {
            Ok(()) => Ok(Self::File(file)),
            Err(TryLockError::WouldBlock) => Err(refusal(storage.shown())),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock '{}'", storage.shown_file(&name)))
            }
        }
    }

    /// Whether another run holds it now, because this one did not renew it in time.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lease(lease) if lease.lost.load(Relaxed))
    }

    pub async fn release(self) {
        if let Self::Lease(lease) = self {
            lease.release().await;
        }
    }
}

fn refusal(output: &str) -> LabelError {
    LabelError::Conflict(format!("another run is labeling into '{output}': wait for it, or choose another --output"))
}

/// An object that its holder renews. One that is not renewed for a while is nobody's.
pub struct Lease {
    store: Arc<dyn ObjectStore>,
    path: Path,
    renewal: JoinHandle<()>,
    lost: Arc<AtomicBool>,
}

impl Lease {
    const RENEWED_EVERY: Duration = Duration::from_secs(10);
    /// Renewals after which nobody holds it.
    const MISSED: u32 = 3;

    async fn take(
        store: Arc<dyn ObjectStore>,
        path: Path,
        output: &str,
        every: Duration,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Self> {
        let cannot = || format!("cannot lock '{output}'");
        let version = match put(&store, &path, PutMode::Create).await {
            Ok(version) => version,
            Err(Error::AlreadyExists { .. }) => {
                let held = store.head(&path).await.with_context(cannot)?;
                observer.waiting(output, every * Self::MISSED);
                if timeout(every * Self::MISSED, cancel.cancelled()).await.is_ok() {
                    return Err(LabelError::Cancelled);
                }
                let held = UpdateVersion { e_tag: held.e_tag, version: held.version };
                match put(&store, &path, PutMode::Update(held)).await {
                    Ok(version) => version,
                    Err(Error::Precondition { .. } | Error::NotFound { .. }) => return Err(refusal(output)),
                    Err(error) => return Err(error).with_context(cannot),
                }
            }
            Err(error) => return Err(error).with_context(cannot),
        };
        let lost = Arc::new(AtomicBool::new(false));
        let renewal = tokio::spawn(renew(Arc::clone(&store), path.clone(), version, every, Arc::clone(&lost)));
        Ok(Self { store, path, renewal, lost })
    }

    async fn release(self) {
        self.renewal.abort();
        if !self.lost.load(Relaxed) {
            // If it stays, the next run waits a little and takes it.
            let _ = self.store.delete(&self.path).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

async fn renew(
    store: Arc<dyn ObjectStore>,
    path: Path,
    mut version: UpdateVersion,
    every: Duration,
    lost: Arc<AtomicBool>,
) {
    loop {
        tokio::time::sleep(every).await;
        match put(&store, &path, PutMode::Update(version.clone())).await {
            Ok(renewed) => version = renewed,
            Err(Error::Precondition { .. } | Error::NotFound { .. }) => return lost.store(true, Relaxed),
            // Perhaps the next time.
            Err(_) => {}
        }
    }
}

async fn put(store: &Arc<dyn ObjectStore>, path: &Path, mode: PutMode) -> object_store::Result<UpdateVersion> {
    // What it says differs each time, so that its tag does.
    let nonce = format!("{:?} {}", std::time::SystemTime::now(), std::process::id());
    let options = PutOptions { mode, ..PutOptions::default() };
    let put = store.put_opts(path, nonce.into_bytes().into(), options).await?;
    Ok(UpdateVersion { e_tag: put.e_tag, version: put.version })
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    const EVERY: Duration = Duration::from_millis(20);

    async fn take(store: &Arc<dyn ObjectStore>) -> Result<Lease> {
        Lease::take(Arc::clone(store), Path::from("lock"), "s3://bucket", EVERY, &(), &Cancel::default()).await
    }

    #[tokio::test]
    async fn who_waits_for_a_lease_can_be_cancelled() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let _first = take(&store).await.unwrap();
        let (hour, cancel) = (Duration::from_hours(1), Cancel::default());
        let path = Path::from("lock");
        let second = Lease::take(Arc::clone(&store), path, "s3://bucket", hour, &(), &cancel);
        let stop = async {
            tokio::time::sleep(EVERY).await;
            cancel.cancel();
        };
        let (second, ()) = timeout(EVERY * 100, futures::future::join(second, stop)).await.unwrap();
        assert!(matches!(second, Err(LabelError::Cancelled)));
    }

    #[tokio::test]
    async fn a_lease_is_held_renewed_and_released() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let first = take(&store).await.unwrap();
        let refused = take(&store).await.err().unwrap();
        assert!(refused.to_string().contains("another run is labeling into 's3://bucket'"), "{refused}");
        assert!(!first.lost.load(Relaxed));
        first.release().await;
        take(&store).await.unwrap();
    }

    #[tokio::test]
    async fn a_lease_of_the_dead_is_taken() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        drop(take(&store).await.unwrap());
        take(&store).await.unwrap();
    }

    #[tokio::test]
    async fn who_slept_too_long_learns_that_another_holds_it() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let sleeper = take(&store).await.unwrap();
        store.put(&Path::from("lock"), "another".into()).await.unwrap();
        tokio::time::sleep(EVERY * 3).await;
        assert!(sleeper.lost.load(Relaxed));
    }
}
