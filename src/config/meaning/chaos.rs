//! What the `[chaos]` table means: a folder that is there, and schedules of what exists.

use super::super::chaos::{ChaosAllow, ChaosSettings};
use super::super::explain::did_you_mean;
use super::super::problem::value;
use super::super::reader::{Findings, Section};
use crate::chaos::Library;

/// The `[chaos]` table. `resolved` has its paths relative to the config file; `services` are those that the file has, where no
/// others will be found.
pub(in crate::config) fn chaos(
    findings: &mut Findings<'_>,
    section: &Section<'_, ChaosSettings>,
    resolved: &ChaosSettings,
    allowed: ChaosAllow,
    services: Option<&[&str]>,
) {
    let mut library = Library::stock();
    if let Some(dir) = resolved.dir.as_ref().filter(|_| section.sound(&["dir"])) {
        if dir.is_dir() {
            library = Library::with_folder(dir);
            for problem in library.problems() {
                let message = format!("`dir`: {}: {}", problem.place(), problem.message);
                // No reason not to heal.
                findings.warn(
                    section.at("dir"),
                    &message,
                    "it is left out: mend that file, or take it out of the folder",
                );
            }
        } else {
            let message = format!("`dir`: there is no folder {}", dir.display());
            let help = "make it, or leave the key out; the path is relative to this file";
            findings.error(section.at("dir"), &message, help);
        }
    }
    if !section.sound(&["schedule"]) {
        return;
    }
    for schedule in &section.settings.schedules {
        let at = || section.at("schedule");
        if let Err(why) = library.find(&schedule.experiment) {
            findings.error(at(), &format!("[[chaos.schedule]]: {why}"), "`suture chaos list` has all there are");
        }
        let name = schedule.service.0.as_str();
        if let Some(services) = services.filter(|services| !services.contains(&name)) {
            let message = format!("[[chaos.schedule]]: there is no service `{}`", value(name));
            findings.error(at(), &message, &did_you_mean(name, services, "there are"));
        }
    }
    if allowed == ChaosAllow::Never && !section.settings.schedules.is_empty() {
        let help = "take the schedules out, or `chaos = \"never\"` in [suture]";
        findings.warn(section.at("schedule"), "experiments are scheduled where none is ever done", help);
    }
}
