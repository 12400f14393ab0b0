//! Tests that cannot prove anything on a host, and say so.

#![allow(dead_code)] // each test binary takes the half that it needs

use std::env;
use std::io::{self, Write};

/// Says loudly that a test is skipped, since the host is not of the kind that
/// the test is about.
pub fn skipped(why: &str) {
    // Not eprintln, which the test harness keeps to itself when a test passes;
    // at once, so that no other test's line comes between.
    let _ = io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

/// The same for a set-up that a test wants and that every host can have: fails
/// where `CI` is set.
#[track_caller]
pub fn lacking(what: &str) {
    assert!(
        env::var_os("CI").is_none(),
        "this test wants {what}, and `CI` is set"
    );
    skipped(&format!("this test wants {what}"));
}
