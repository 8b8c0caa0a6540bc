//! A playbook with a word of its own in the verdict, and with notes. Built by the test of components.

use suture_playbook_sdk::prelude::*;

struct Drain;

impl Playbook for Drain {
    fn describe() -> Description {
        description("drain", "Adds instances, one a run, until the queue is empty.")
    }

    fn remediate(_: &Args) -> Outcome {
        let (target, now) = find_target(TargetState::can_grow)?.otherwise("no target may have another instance")?;
        let runs = note("runs").and_then(|runs| runs.parse().ok()).unwrap_or(0_u32) + 1;
        remember("runs", runs)?;
        target.scale_to(now.replicas + 1)?;
        Ok(format!("added an instance to {target}, for the {runs}. time"))
    }
}

impl Verifies for Drain {
    fn verify(_: &Args) -> Result<(), String> {
        match metric("queue_length") {
            Some(waiting) if waiting > 0.0 => Err(format!("{waiting} jobs are still waiting")),
            _ => Ok(()),
        }
    }
}

suture_playbook_sdk::export_playbook!(Drain, verifies);
