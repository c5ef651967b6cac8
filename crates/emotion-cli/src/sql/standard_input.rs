//! The standard input, which is either the SQL or a table of it.

use std::io::{IsTerminal, Read, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context, Result, bail};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::SessionContext;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// The names of the standard input as a file.
const NAMES: [&str; 3] = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether a file is the standard input.
pub fn is_named(file: &std::path::Path) -> bool {
    NAMES.iter().any(|name| file == std::path::Path::new(name))
}

/// All bytes of the standard input; an error if they were taken before.
pub fn take() -> Result<Vec<u8>> {
    if IS_TAKEN.swap(true, Relaxed) {
        bail!("the standard input can be read once: it was the SQL, or another table of it");
    }
    let mut bytes = Vec::new();
    stdin().read_to_end(&mut bytes).context("cannot read the standard input")?;
    Ok(bytes)
}

/// The address of a table's location, which is its name, or, if that is the standard input, a file in memory with
/// the same bytes. The name of the file ends as those of its type do.
pub async fn address_of(context: &SessionContext, location: &str, file_type: &str) -> Result<String> {
    if !is_named(location.as_ref()) {
        return Ok(location.into());
    }
    if stdin().is_terminal() {
        bail!("'{location}' is the terminal: pipe the rows of the table into the program");
    }
    let store = InMemory::new();
    let name = format!("stdin.{}", file_type.to_ascii_lowercase());
    store.put(&Path::from(name.as_str()), take()?.into()).await?;
    let url = ObjectStoreUrl::parse("stdin://")?;
    context.register_object_store(url.as_ref(), Arc::new(store) as Arc<dyn ObjectStore>);
    Ok(format!("{}{name}", url.as_str()))
}
