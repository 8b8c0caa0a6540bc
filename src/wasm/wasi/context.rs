//! One run's WASI, made when the component first asks for any of it.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::{cli, filesystem};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_io::bindings::wasi::io;
use wasmtime_wasi_io::poll::DynPollable;

use super::CALLS;
use super::clock::{Clock, STEP_NS};
use super::printed::Printed;
use super::random::Numbers;
use crate::model::{LogLevel, Timestamp};
use crate::wasm::IncidentView;
use crate::wasm::host::RunState;

/// Streams, pollables and errors that a component may hold at once; a language's start needs a dozen.
const HANDLES: usize = 256;

/// A run's WASI, or the place for it.
#[derive(Default)]
pub(in crate::wasm) struct Slot(Option<Box<Wasi>>);

/// Everything that there is of a system in one run.
pub(in crate::wasm) struct Wasi {
    /// Empty but for where prints go. Its clocks and random numbers are the machine's: they are not in the linker.
    ctx: WasiCtx,
    table: ResourceTable,
    since: Timestamp,
    clock: Clock,
    view: Arc<IncidentView>,
    numbers: Option<Box<[Numbers; 3]>>,
    printed: Printed,
    calls_left: u32,
}

impl Slot {
    /// Has the run made more calls than it may?
    pub(in crate::wasm) fn flooded(&self) -> bool {
        self.0.as_ref().is_some_and(|wasi| wasi.calls_left == 0)
    }

    /// Lines that were printed since the last time, and how many did not fit. `at_end`: also a line without its end.
    pub(in crate::wasm) fn take_printed(&mut self, at_end: bool) -> (Vec<(LogLevel, String)>, usize) {
        self.0.as_ref().map_or_else(Default::default, |wasi| wasi.printed.take(at_end))
    }

    /// Counts one call.
    fn get(&mut self, view: &Arc<IncidentView>, log_bytes: usize) -> &mut Wasi {
        let wasi = self.0.get_or_insert_with(|| Box::new(Wasi::new(Arc::clone(view), log_bytes)));
        wasi.calls_left = wasi.calls_left.saturating_sub(1);
        wasi
    }
}

impl Wasi {
    fn new(view: Arc<IncidentView>, log_bytes: usize) -> Self {
        let printed = Printed::new(log_bytes);
        // Said although it is what a builder begins with: none of it may change by an update.
        let ctx = WasiCtx::builder()
            .stdin(tokio::io::empty())
            .stdout(printed.stream(LogLevel::Info))
            .stderr(printed.stream(LogLevel::Warn))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .socket_addr_check(|_, _| Box::pin(async { false }))
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let (since, clock) = (view.since, Clock::default());
        Self { ctx, table, since, clock, view, numbers: None, printed, calls_left: CALLS }
    }

    /// What ends a flood at once; calls that do not ask end it at the engine's next tick.
    fn counted(&self) -> wasmtime::Result<()> {
        if self.calls_left == 0 {
            return Err(wasmtime::Error::msg("out of the run's calls to WASI"));
        }
        Ok(())
    }

    /// The secure, the insecure and the seeding sequence. A digest of the whole view is not for nothing, so it waits
    /// until somebody asks.
    fn numbers(&mut self) -> wasmtime::Result<&mut [Numbers; 3]> {
        self.counted()?;
        let view = &self.view;
        Ok(self.numbers.get_or_insert_with(|| {
            // Texts, numbers and lists: serialising cannot fail. Should it, the numbers are the same for every view.
            let seed = serde_json::to_vec(view.as_ref()).unwrap_or_default();
            Box::new(["random", "insecure", "insecure-seed"].map(|name| Numbers::new(&seed, name)))
        }))
    }
}

impl RunState {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get(&self.view, self.log_left)
    }
}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

/// Defines exactly the interfaces of `STUBBED`: a component that imports any other cannot even be linked.
pub(in crate::wasm) fn add_to_linker(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    type Table = HasSelf<ResourceTable>;
    type Own = HasSelf<Wasi>;
    let l = linker;
    io::error::add_to_linker::<_, Table>(l, |s| &mut s.wasi().table)?;
    io::poll::add_to_linker::<_, Table>(l, |s| &mut s.wasi().table)?;
    io::streams::add_to_linker::<_, Table>(l, |s| &mut s.wasi().table)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, RunState::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, RunState::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, RunState::filesystem)?;
    wall_clock::add_to_linker::<_, Own>(l, RunState::wasi)?;
    monotonic_clock::add_to_linker::<_, Own>(l, RunState::wasi)?;
    random::add_to_linker::<_, Own>(l, RunState::wasi)?;
    insecure::add_to_linker::<_, Own>(l, RunState::wasi)?;
    insecure_seed::add_to_linker::<_, Own>(l, RunState::wasi)?;
    Ok(())
}

/// The status that the component ended itself with, if that is how it ended.
pub(in crate::wasm) fn exit_status(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

impl wall_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.counted()?;
        let ms = u64::try_from(self.since.0).unwrap_or_default();
        let nanoseconds = u32::try_from(ms % 1000).unwrap_or_default() * 1_000_000;
        Ok(wall_clock::Datetime { seconds: ms / 1000, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.counted()?;
        Ok(self.clock.look())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.counted()?;
        self.clock.at(&mut self.table, when)
    }

    fn subscribe_duration(&mut self, ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.counted()?;
        self.clock.after(&mut self.table, ns)
    }
}

impl random::Host for Wasi {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let [secure, ..] = self.numbers()?;
        secure.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let [secure, ..] = self.numbers()?;
        Ok(secure.number())
    }
}

impl insecure::Host for Wasi {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let [_, insecure, _] = self.numbers()?;
        insecure.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        let [_, insecure, _] = self.numbers()?;
        Ok(insecure.number())
    }
}

impl insecure_seed::Host for Wasi {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let [.., seed] = self.numbers()?;
        Ok((seed.number(), seed.number()))
    }
}
