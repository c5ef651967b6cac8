//! Whether an Avro file is complete: `DataFusion` takes one that ends within a block for a shorter one.

use bytes::{Buf, Bytes};

use crate::job::error::{LabelError, Result};
use crate::object::{Object, ObjectReader};

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
/// Longest encoding of a number.
const LONGEST_NUMBER: usize = 10;
const CUT: &str = "the file ends within a block: write it again, or download it again";

/// Reads the file to its end, from block to block.
pub async fn check(object: &Object) -> Result<()> {
    let mut file = File { object: object.open(), rest: Bytes::new() };
    if file.take(MAGIC.len()).await? != MAGIC {
        return damaged("the file is no Avro file: it does not begin with 'Obj'");
    }
    file.skip_metadata().await?;
    let sync = file.take(SYNC_BYTES).await?;
    while !file.is_at_end().await? {
        file.number().await?;
        let bytes = file.length().await?;
        file.skip(bytes).await?;
        if file.take(SYNC_BYTES).await? != sync {
            return damaged("a block of the file is damaged: write it again, or download it again");
        }
    }
    Ok(())
}

fn damaged<T>(what: &str) -> Result<T> {
    Err(LabelError::Damaged(what.into()))
}

struct File {
    object: ObjectReader,
    /// Bytes that were fetched and not read.
    rest: Bytes,
}

impl File {
    /// A map of keys and values, in parts.
    async fn skip_metadata(&mut self) -> Result<()> {
        loop {
            let entries = self.number().await?;
            if entries == 0 {
                return Ok(());
            }
            if entries < 0 {
                let bytes = self.length().await?;
                self.skip(bytes).await?;
                continue;
            }
            let Some(strings) = entries.checked_mul(2) else {
                return damaged("the metadata of the file has no valid length: the file is damaged");
            };
            for _ in 0..strings {
                let bytes = self.length().await?;
                self.skip(bytes).await?;
            }
        }
    }

    async fn is_at_end(&mut self) -> Result<bool> {
        while self.rest.is_empty() {
            match self.object.chunk().await? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn skip(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            if self.is_at_end().await? {
                return damaged(CUT);
            }
            let here = self.rest.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.rest.advance(here);
            bytes -= here as u64;
        }
        Ok(())
    }

    async fn take(&mut self, bytes: usize) -> Result<Vec<u8>> {
        let mut taken = Vec::new();
        while taken.len() < bytes {
            if self.is_at_end().await? {
                return damaged(CUT);
            }
            let here = self.rest.len().min(bytes - taken.len());
            taken.extend_from_slice(&self.rest.split_to(here));
        }
        Ok(taken)
    }

    async fn length(&mut self) -> Result<u64> {
        u64::try_from(self.number().await?).or_else(|_| damaged("a block of the file has no valid length"))
    }

    /// A number in the zigzag encoding of variable length.
    async fn number(&mut self) -> Result<i64> {
        let mut number = 0_u64;
        for at in 0..LONGEST_NUMBER {
            let byte = self.take(1).await?[0];
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        damaged("a number in the file is too long: the file is damaged")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{ObjectStore, ObjectStoreExt};

    use super::*;

    #[tokio::test]
    async fn a_count_of_metadata_that_overflows_is_damage() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("a.avro");
        // The largest count in the zigzag encoding.
        let file = [MAGIC, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]].concat();
        store.put(&path, file.into()).await.unwrap();
        let error = check(&Object::new(&store, &store.head(&path).await.unwrap())).await.unwrap_err();
        assert!(error.to_string().contains("no valid length"), "{error}");
    }
}
