//! What several integration tests share.

// Each test is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub mod capture;
pub mod skip;
pub mod stub;
pub mod truth;

use std::path::{Path, PathBuf};

/// The captures that may be handed on: `testdata/capture`.
pub fn own_captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/capture")
}

/// A folder of more captures, from `EPMAPPER_CAPTURES`; says loudly when there
/// is none.
pub fn more_captures() -> Option<PathBuf> {
    let folder = std::env::var_os("EPMAPPER_CAPTURES").map(PathBuf::from);
    if folder.is_none() {
        skip::skipped("EPMAPPER_CAPTURES names no folder of captures");
    }
    folder
}

/// The captures of `folder`, by name.
pub fn captures_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut captures: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|e| e == "pcap" || e == "pcapng")
        })
        .collect();
    captures.sort();
    captures
}
