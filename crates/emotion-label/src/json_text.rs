//! JSON lines as other programs write them, for readers that are strict.
//!
//! `DataFusion` refuses a file that begins with a byte order mark, or that has half of a surrogate pair, as a text has
//! that was cut within an emoji. [`JsonText`] replaces the mark by spaces, and such a half by U+FFFD, which is as long.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Read};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Begins the scheme of the addresses whose files are read through [`JsonText`].
const SCHEME: &str = "json-text";
const MARK: &[u8] = b"\xef\xbb\xbf";
const REPLACEMENT: &[u8] = b"\\ufffd";
/// The length of an escape such as `\ud83d`.
const ESCAPE: usize = 6;

/// The address of the same JSON file, read through a [`JsonText`] that is registered with the runtime.
///
/// # Errors
///
/// The store of the file is not registered.
pub fn address(runtime: &RuntimeEnv, url: &ListingTableUrl) -> DataFusionResult<ListingTableUrl> {
    let inner = runtime.object_store(url)?;
    let mended = |address: &str| ListingTableUrl::parse(format!("{SCHEME}+{address}"));
    let store = mended(url.object_store().as_str())?;
    runtime.register_object_store(store.get_url(), Arc::new(JsonText(inner)));
    let mended = mended(url.as_str())?;
    match url.get_glob() {
        Some(glob) => mended.with_glob(glob.as_str()),
        None => Ok(mended),
    }
}

/// Whether a file that begins so is an array, and not JSON lines.
#[must_use]
pub fn is_array(start: &[u8]) -> bool {
    let text = start.strip_prefix(MARK).unwrap_or(start);
    text.trim_ascii_start().starts_with(b"[")
}

/// A store whose files are JSON lines.
#[derive(Debug)]
pub struct JsonText(Arc<dyn ObjectStore>);

/// Mends a part of a file.
struct Mender {
    /// Whether the next byte is the first of the file.
    is_at_start: bool,
    /// Bytes that depend on those to come.
    rest: Vec<u8>,
}

impl Mender {
    fn mend(&mut self, chunk: &[u8], is_last: bool) -> Bytes {
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(chunk);
        let mut at = 0;
        if self.is_at_start {
            if bytes.len() < MARK.len() && !is_last {
                self.rest = bytes;
                return Bytes::new();
            }
            self.is_at_start = false;
            if bytes.starts_with(MARK) {
                bytes[..MARK.len()].fill(b' ');
            }
        }
        while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
            at += found;
            // A pair is two escapes long.
            if bytes.len() - at < 2 * ESCAPE && !is_last {
                self.rest = bytes.split_off(at);
                break;
            }
            at += match surrogate(&bytes[at..]) {
                None => 2.min(bytes.len() - at),
                Some(Half::High) if matches!(surrogate(&bytes[at + ESCAPE..]), Some(Half::Low)) => 2 * ESCAPE,
                Some(_) => {
                    bytes[at..at + ESCAPE].copy_from_slice(REPLACEMENT);
                    ESCAPE
                }
            };
        }
        bytes.into()
    }
}

/// A half of a surrogate pair.
enum Half {
    High,
    Low,
}

/// The surrogate that is escaped at the start of `bytes`.
fn surrogate(bytes: &[u8]) -> Option<Half> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..ESCAPE - 2)?;
    match u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()? {
        0xd800..=0xdbff => Some(Half::High),
        0xdc00..=0xdfff => Some(Half::Low),
        _ => None,
    }
}

/// Replaces the byte order mark and unpaired surrogates, as [`JsonText`] does.
pub(crate) struct Mended<R> {
    reader: R,
    mender: Mender,
    ready: Bytes,
    is_at_end: bool,
}

impl<R: Read> Mended<R> {
    pub fn new(reader: R) -> Self {
        let mender = Mender { is_at_start: true, rest: Vec::new() };
        Self { reader, mender, ready: Bytes::new(), is_at_end: false }
    }
}

impl<R: Read> Read for Mended<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() && !self.is_at_end {
            let length = self.reader.read(buffer)?;
            self.is_at_end = length == 0;
            self.ready = self.mender.mend(&buffer[..length], self.is_at_end);
        }
        let length = buffer.len().min(self.ready.len());
        self.ready.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

fn mended(
    chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
    is_at_start: bool,
) -> BoxStream<'static, Result<Bytes>> {
    let mender = Mender { is_at_start, rest: Vec::new() };
    let state = Some((chunks.boxed(), mender));
    let next = |state: Option<(BoxStream<'static, Result<Bytes>>, Mender)>| async move {
        let (mut chunks, mut mender) = state?;
        match chunks.next().await {
            Some(Ok(chunk)) => Some((Ok(mender.mend(&chunk, false)), Some((chunks, mender)))),
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Ok(mender.mend(&[], true)), None)),
        }
    };
    let is_filled = |chunk: &Result<Bytes>| std::future::ready(!chunk.as_ref().is_ok_and(Bytes::is_empty));
    futures::stream::unfold(state, next).filter(is_filled).boxed()
}

impl Display for JsonText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for JsonText {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.0.get_opts(location, options).await;
        }
        let found = self.0.get_opts(location, options).await?;
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let payload = GetResultPayload::Stream(mended(found.into_stream(), range.start == 0));
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use proptest::prelude::*;

    use super::*;

    fn mend(text: &[u8], chunk: usize) -> Vec<u8> {
        let mut mender = Mender { is_at_start: true, rest: Vec::new() };
        let mut output: Vec<u8> = text.chunks(chunk).flat_map(|chunk| mender.mend(chunk, false)).collect();
        output.extend(mender.mend(&[], true));
        output
    }

    #[test]
    fn marks_and_halves_of_pairs_are_replaced() {
        for (before, after) in [
            ("\u{feff}{}", "   {}"),
            (r"\ud83d\ude02 \ud83d", r"\ud83d\ude02 \ufffd"),
            (r"\ud83d\ud83d\ude02\ude02", r"\ufffd\ud83d\ude02\ufffd"),
            (r"\\ud83d \\\uD83D", r"\\ud83d \\\ufffd"),
            (r"\u00e9 \ud83d\n \u12", r"\u00e9 \ufffd\n \u12"),
            (r"\", r"\"),
        ] {
            for chunk in 1..=before.len() {
                assert_eq!(String::from_utf8(mend(before.as_bytes(), chunk)).unwrap(), after, "{chunk}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_mended_is_valid_and_as_long(units in proptest::collection::vec(any::<u16>(), 0..20), chunk in 1..9_usize) {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
            let mended = String::from_utf8(mend(escapes.as_bytes(), chunk)).unwrap();
            prop_assert_eq!(mended.len(), escapes.len());
            let text: String = serde_json::from_str(&format!("\"{mended}\"")).unwrap();
            prop_assert_eq!(text, String::from_utf16_lossy(&units));
        }
    }

    #[tokio::test]
    async fn a_mark_is_replaced_at_the_start_alone() {
        let (inner, path) = (InMemory::new(), Path::from("a"));
        inner.put(&path, "\u{feff}\u{feff}".into()).await.unwrap();
        let store = JsonText(Arc::new(inner));
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "   \u{feff}");
        assert_eq!(store.get_range(&path, 3..6).await.unwrap(), "\u{feff}");
    }
}
