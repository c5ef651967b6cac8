//! What tells one content of an input file from another.

use object_store::{ObjectMeta, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::job::error::{Context, Result};
use crate::job::inputs::Input;
use crate::job::seal::hexadecimal;

/// Bytes at the start and at the end of a file that are digested. Smaller files are digested as a whole.
const END: u64 = 1 << 18;

/// What tells one content of an input file from another: its size, its time, and its tag in a store, or the digest of
/// the first and last bytes of a local file, which hold the header or footer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    bytes: u64,
    modified: String,
    tag: Option<String>,
    ends_sha256: Option<String>,
}

impl Fingerprint {
    /// The fingerprint of an input as it was listed.
    pub async fn of(input: &Input) -> Result<Self> {
        Self::with(input, &input.meta).await
    }

    /// The fingerprint of an input as it is now.
    pub async fn now(input: &Input) -> Result<Self> {
        let meta = input.store.head(&input.meta.location).await;
        let meta = meta.with_context(|| format!("cannot look at '{}'", input.shown))?;
        Self::with(input, &meta).await
    }

    /// The fingerprint as the journal keeps it.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    async fn with(input: &Input, meta: &ObjectMeta) -> Result<Self> {
        // The tag of a local file is made of its size and time, and changes when the file is moved. A server of HTTP may
        // send neither a tag nor ranges.
        let is_local = input.url.scheme() == "file";
        let tag = meta.e_tag.clone().filter(|_| !is_local);
        let ends_sha256 = if is_local { Some(ends(input, meta.size).await?) } else { None };
        Ok(Self { bytes: meta.size, modified: meta.last_modified.to_rfc3339(), tag, ends_sha256 })
    }
}

/// The digest of the first and last bytes of a file of this size.
async fn ends(input: &Input, size: u64) -> Result<String> {
    let ranges = [0..size.min(END), size.saturating_sub(END).max(END).min(size)..size];
    // A store refuses ranges of no bytes.
    let ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
    let ends = input.store.get_ranges(&input.meta.location, &ranges).await;
    let ends = ends.with_context(|| format!("cannot read '{}'", input.shown))?;
    Ok(hexadecimal(ends.iter().fold(Sha256::new(), Digest::chain_update)))
}
