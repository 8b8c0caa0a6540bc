//! A cargo inside a cargo: what of the outer one must not reach the inner one. No dependency on the rest: `build.rs` uses this
//! file as well.

use std::ffi::OsStr;

/// Would this variable make the guests' build differ from one that is started by hand? The flags and the wrapper of
/// the outer build (clippy among them) are for the host, and its target folder is locked while we run.
pub fn is_of_the_outer_build(name: &OsStr) -> bool {
    const NAMES: [&str; 15] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_PRIMARY_PACKAGE",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "OPT_LEVEL",
        "DEBUG",
        "PROFILE",
        "NUM_JOBS",
        "LD_LIBRARY_PATH",
        "DYLD_FALLBACK_LIBRARY_PATH",
    ];
    const PREFIXES: [&str; 7] =
        ["CARGO_BUILD_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PROFILE_", "DEP_"];
    let name = name.to_string_lossy();
    NAMES.contains(&name.as_ref()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
