//! What Suture's own work costs: judging a sample, learning a model, running a playbook, writing the ledger, and the
//! whole way from a scrape to a card. `cargo bench`; the figures and what they mean are in docs/PERFORMANCE.md.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to report and may as well end")]

mod detect;
mod host;
mod ledger;
mod playbook;
mod sample;
mod scrape_to_card;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    detect::judging(&mut criterion);
    detect::learning(&mut criterion);
    playbook::running(&mut criterion);
    playbook::loading(&mut criterion);
    host::overhead(&mut criterion);
    ledger::appending(&mut criterion);
    scrape_to_card::whole_way(&mut criterion);
    criterion.final_summary();
}
