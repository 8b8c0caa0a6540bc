//! WASI for components whose toolchain imports it whether they use it or not: every interface answers, and none of them
//! leads anywhere.
//!
//! | interface | what a component finds |
//! |---|---|
//! | cli | no arguments, no environment, an input that is at its end; what it prints becomes log lines of the run |
//! | filesystem | no directory is open, so nothing can be opened |
//! | clocks | a wall clock that stands at the beginning of the incident; a monotonic one that counts its readings |
//! | random | numbers that follow from the incident |
//! | sockets, http and all others | refused when the component is loaded |
//!
//! Nothing here may depend on the machine or on real time: a component that is told the same must do the same, or it
//! could not be replayed. `load` asks what is stubbed, `host` keeps a run's [`Slot`], `run` ends what makes too many
//! calls. Without the cargo feature `wasi` there is none of it, and components that import it are refused.

#[cfg(feature = "wasi")]
mod clock;
#[cfg(feature = "wasi")]
mod context;
#[cfg(feature = "wasi")]
mod printed;
#[cfg(feature = "wasi")]
mod random;

#[cfg(feature = "wasi")]
pub(super) use context::{Slot, add_to_linker, exit_status};
#[cfg(not(feature = "wasi"))]
pub(super) use without::{Slot, add_to_linker, exit_status};

/// Calls into WASI that one run may make: a hundred times what a talkative component needs, and a few milliseconds of
/// the host's time.
pub(super) const CALLS: u32 = 20_000;

/// What a printed line takes of the log's budget besides its bytes: prints are not counted as calls to the log are, and
/// a flood of short ones must not be a way around it.
pub(super) const PER_LINE: usize = 64;

/// The interfaces that are there, with what is in them.
const STUBBED: [(&str, &[&str], &str); 5] = [
    (
        "cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
        "no arguments, environment or input; what it prints becomes log lines",
    ),
    ("clocks", &["monotonic-clock", "wall-clock"], "a clock that stands at the beginning of the incident"),
    ("filesystem", &["preopens", "types"], "a file system without files"),
    ("io", &["error", "poll", "streams"], "streams that lead to the log"),
    (
        "random",
        &["insecure", "insecure-seed", "random"],
        "random numbers that are the same in every run of an incident",
    ),
];

/// Is this import (`wasi:cli/exit@0.2.6`) one that is stubbed? The error completes "it imports ..., which".
pub(super) fn prove(import: &str) -> Result<(), String> {
    if cfg!(not(feature = "wasi")) {
        return Err("is the system interface WASI; this build of Suture was made without its empty stand-in (cargo \
                    feature `wasi`)"
            .to_owned());
    }
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let (package, name) = interface.trim_start_matches("wasi:").split_once('/').unwrap_or((interface, ""));
    if matches!(package, "sockets" | "http") {
        return Err("would lead to a network, and components get none: build without it (componentize-py: \
                    `--stub-wasi`; componentize-js: `disableFeatures` with \"http\" and \"fetch-event\")"
            .to_owned());
    }
    let stubbed = STUBBED.iter().any(|(p, interfaces, _)| *p == package && interfaces.contains(&name));
    if !stubbed {
        let packages: Vec<_> = STUBBED.iter().map(|(package, ..)| *package).collect();
        return Err(format!(
            "is a part of WASI that this host does not stand in for; it does for {}",
            packages.join(", ")
        ));
    }
    if !version.starts_with("0.2.") {
        return Err("this host stands in for in version 0.2: build for wasm32-wasip2".to_owned());
    }
    Ok(())
}

/// What a component with these imports finds of a system, one phrase a package; empty when it imports no WASI.
pub(super) fn in_words(imports: &[String]) -> Vec<&'static str> {
    let of = |package: &str| imports.iter().any(|i| i.starts_with(&format!("wasi:{package}/")));
    STUBBED.iter().filter(|(package, ..)| of(package)).map(|(.., words)| *words).collect()
}

#[cfg(not(feature = "wasi"))]
mod without {
    use wasmtime::component::Linker;

    use crate::model::LogLevel;
    use crate::wasm::host::RunState;

    /// Nothing: no component gets as far as asking.
    #[derive(Default)]
    pub(in crate::wasm) struct Slot;

    impl Slot {
        pub(in crate::wasm) fn flooded(&self) -> bool {
            false
        }

        pub(in crate::wasm) fn take_printed(&mut self, _at_end: bool) -> (Vec<(LogLevel, String)>, usize) {
            (Vec::new(), 0)
        }
    }

    pub(in crate::wasm) fn add_to_linker(_: &mut Linker<RunState>) -> wasmtime::Result<()> {
        Ok(())
    }

    pub(in crate::wasm) fn exit_status(_: &wasmtime::Error) -> Option<i32> {
        None
    }
}
