//! What becomes of a playbook on Wasm: it exports what it was asked to, and imports what it uses. Read from the core
//! module, in which an export is `INTERFACE#FUNCTION`; nothing else in it has that form.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// The folder that modules are built into: the one that this test was built in.
fn release() -> PathBuf {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--release", "--locked", "--lib", "--example", "verifying", "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target_dir.join(TARGET).join("release")
}

fn has(module: &[u8], text: &str) -> bool {
    module.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn only_a_playbook_that_verifies_exports_a_check() {
    const REMEDY: &str = "suture:plugin/remedy@1.1.0#remediate";
    const CHECK: &str = "suture:plugin/check@1.1.0#verify";
    let folder = release();
    let plain = std::fs::read(folder.join("suture_playbook_template.wasm")).unwrap();
    let verifying = std::fs::read(folder.join("examples/verifying.wasm")).unwrap();
    assert!(has(&plain, REMEDY) && !has(&plain, CHECK));
    assert!(has(&verifying, REMEDY) && has(&verifying, CHECK));
}
