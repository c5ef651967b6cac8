//! Finds the folder of the model that the feature `default-model` embeds.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

const VARIABLE: &str = "EMOTION_MODEL_DIR";
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    if env::var_os("CARGO_FEATURE_DEFAULT_MODEL").is_none() {
        return;
    }
    match model_folder() {
        Ok(folder) => {
            for file in FILES {
                println!("cargo::rerun-if-changed={}", folder.join(file).display());
            }
            println!("cargo::rustc-env=EMOTION_DEFAULT_MODEL={}", folder.display());
            if let Err(error) = write_digests(&folder) {
                println!("cargo::error=the digests of the model cannot be written: {error}");
            }
        }
        Err(message) => println!("cargo::error={message}"),
    }
}

/// Writes the SHA-256 digests of the files as an array of Rust, so that no start of a program computes them.
fn write_digests(folder: &Path) -> io::Result<()> {
    let digest = |file| Ok(<[u8; 32]>::from(Sha256::digest(std::fs::read(folder.join(file))?)));
    let digests: Vec<[u8; 32]> = FILES.into_iter().map(digest).collect::<io::Result<_>>()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("digests.rs"), format!("{digests:?}"))
}

/// The folder that the variable names, or else the model of the repository.
fn model_folder() -> Result<PathBuf, String> {
    if let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        if folder.is_relative() {
            return Err(format!("{VARIABLE} is '{}', but must be an absolute path", folder.display()));
        }
        return match missing_file(&folder) {
            Some(file) => Err(format!("{VARIABLE} is '{}', a folder without {file}", folder.display())),
            None => Ok(folder),
        };
    }
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("Cargo sets no CARGO_MANIFEST_DIR")?);
    let repository = package.join("../../data/model");
    if missing_file(&repository).is_none() {
        return Ok(repository);
    }
    if env::var_os("DOCS_RS").is_some() {
        return empty_model();
    }
    Err(format!(
        "the feature default-model embeds a model, but the package contains none: set {VARIABLE} to the absolute \
         path of a folder with {}",
        FILES.join(", ")
    ))
}

fn missing_file(folder: &Path) -> Option<&'static str> {
    FILES.into_iter().find(|file| !folder.join(file).is_file())
}

/// Files without content: docs.rs builds the documentation, but runs nothing.
fn empty_model() -> Result<PathBuf, String> {
    let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or("Cargo sets no OUT_DIR")?);
    for file in FILES {
        std::fs::write(folder.join(file), []).map_err(|error| format!("{file} cannot be written: {error}"))?;
    }
    Ok(folder)
}
