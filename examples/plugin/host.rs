//! An engine that loads the emotion functions from a shared library.
//!
//! Run it from the root of the repository: `cargo run --example host`. An argument is the path of another build of the
//! library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, config_err, exec_datafusion_err};
use datafusion::logical_expr::{ScalarUDF, ScalarUDFImpl};
use datafusion::prelude::*;
use datafusion_ffi::ffi_option::FFI_Option;
use datafusion_ffi::udf::FFI_ScalarUDF;
use libloading::{Library, library_filename};

type Version = extern "C" fn() -> u64;
type Function = extern "C" fn(usize) -> FFI_Option<FFI_ScalarUDF>;

/// The functions of a library with the exports of `src/lib.rs`.
#[allow(unsafe_code, reason = "loading a library runs its code")]
fn load(path: &Path) -> Result<Vec<ScalarUDF>> {
    let failed = |error| exec_datafusion_err!("cannot load {}: {error}", path.display());
    // SAFETY: the user trusts the library, which runs no code when it is loaded.
    let library = unsafe { Library::new(path) }.map_err(failed)?;
    // The code of the functions must stay loaded as long as a session may hold them.
    let library = Box::leak(Box::new(library));
    // SAFETY: the symbol has this type in every version of the library.
    let version = unsafe { library.get::<Version>(b"emotion_datafusion_version") }.map_err(failed)?();
    if version != datafusion_ffi::version() {
        return config_err!(
            "{} is built for DataFusion {version}, this engine for {}",
            path.display(),
            datafusion_ffi::version()
        );
    }
    // SAFETY: the versions are equal, so the symbol has this type.
    let function = unsafe { library.get::<Function>(b"emotion_function") }.map_err(failed)?;
    let functions = (0..).map_while(|position| Option::from(function(position)));
    Ok(functions
        .map(|function: FFI_ScalarUDF| Arc::<dyn ScalarUDFImpl>::from(function))
        .map(ScalarUDF::new_from_shared_impl)
        .collect())
}

/// The path at which cargo builds the library of a package when it builds an example of the package.
fn built_library() -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(DataFusionError::from)?;
    let folder = program.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
    Ok(folder.join("deps").join(library_filename("emotion_plugin")))
}

#[tokio::main]
async fn main() -> Result<()> {
    let library = std::env::args_os().nth(1).map_or_else(built_library, |path| Ok(path.into()))?;
    let ctx = SessionContext::new();
    for function in load(&library)? {
        println!("registered {}", function.name());
        ctx.register_udf(function);
    }
    let reviews = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/reviews.parquet");
    ctx.register_parquet("reviews", reviews, ParquetReadOptions::default()).await?;
    let query = "SELECT emotion_classify(text) AS emotion, count(*) AS texts FROM reviews GROUP BY 1 ORDER BY 2 DESC";
    ctx.sql(query).await?.show().await
}
