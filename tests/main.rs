//! One integration binary: `harness` holds the fakes and builders, `cases` what must be true.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by a panic; clippy.toml says so too, but reaches only functions marked as tests"
)]

mod cases;
mod harness;
