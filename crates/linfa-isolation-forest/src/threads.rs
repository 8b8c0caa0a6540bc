//! Dividing work among scoped threads. Results never depend on how many there were.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

/// 0 stands for as many as the machine offers.
pub(crate) fn resolve(threads: usize) -> usize {
    match threads {
        0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        n => n,
    }
}

/// Runs `work` on consecutive parts of `0..count` and joins the results in order. A thread that the system refuses to
/// start is not missed: its part is done here.
pub(crate) fn in_parallel<T: Send>(
    threads: usize,
    count: usize,
    work: impl Fn(Range<usize>) -> Vec<T> + Sync,
) -> Vec<T> {
    let threads = resolve(threads).min(count).max(1);
    if threads == 1 {
        return work(0..count);
    }
    let part = count.div_ceil(threads);
    let parts = (0..threads).map(|i| (i * part).min(count)..((i + 1) * part).min(count));
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = parts
            .map(|range| {
                let handed = range.clone();
                thread::Builder::new()
                    .name("isolation-forest".to_owned())
                    .spawn_scoped(scope, move || work(handed))
                    .map_err(|_| range)
            })
            .collect();
        let mut results = Vec::with_capacity(count);
        for handle in running {
            results.extend(match handle {
                Ok(handle) => handle.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(range) => work(range),
            });
        }
        results
    })
}
