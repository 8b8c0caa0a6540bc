//! Scales a workload: through its scale subresource, or, where an autoscaler owns the number, through that one's bounds.
//!
//! Called by the actuator.

use serde_json::json;

use super::errors::conflict;
use super::holdup;
use super::job::{Job, TRIES};
use super::look::{Depth, Seen, count};
use super::wait::Stage;
use crate::act::ActError;
use crate::model::Facet;
use crate::platform::kubernetes::{Ask, HPAS};

impl Job<'_> {
    /// To `to` replicas, if `before` still holds.
    pub async fn scale(&self, to: u32, before: &Facet) -> Result<String, ActError> {
        match before {
            Facet::Replicas(before) => self.set_replicas(to, *before).await,
            Facet::Bounds { min, max } => self.set_bounds((to, (*max).max(to)), (*min, *max)).await,
            _ => Err(self.unsupported("a scaling changes a number of replicas")),
        }
    }

    async fn set_replicas(&self, to: u32, before: u32) -> Result<String, ActError> {
        let mut first: Option<Seen> = None;
        for _ in 0..TRIES {
            let seen = self.look(Depth::All).await?;
            if let Some(hpa) = seen.hpas.first() {
                let found = format!("owned by HorizontalPodAutoscaler {}", hpa.metadata.name);
                return Err(conflict(&self.subject, before, found));
            }
            let (now, resource) = (seen.workload.wanted(), self.place.kind.resource());
            if now == to {
                return Ok(format!("{} are {to} already", self.subject));
            }
            if now != before {
                return Err(conflict(&self.subject, before, now));
            }
            let version = &seen.workload.metadata.resource_version;
            let body = json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": to}});
            let ask = Ask::patch(resource, self.place.namespace.as_deref(), &self.place.name, body).of("scale");
            if self.change(&ask).await?.is_some() {
                first = Some(seen);
                break;
            }
        }
        let seen = first.ok_or_else(|| self.restless())?;
        self.wait_for_replicas(to, &seen, before).await?;
        Ok(format!("{} scaled from {before} to {to}", self.place.in_words()))
    }

    /// Up: as many more pods are ready as were asked for; what was not ready before need not be now. Down: no more are
    /// left than wanted.
    async fn wait_for_replicas(&self, to: u32, first: &Seen, before: u32) -> Result<(), ActError> {
        let needed = if to > before { (first.ready().saturating_add(to - before)).min(to) } else { 0 };
        let selector = first.workload.spec.selector.query();
        let done = format!("scaled to {to}");
        let stage = |seen: &Seen| {
            let wanted = seen.workload.wanted();
            if wanted != to {
                return Stage::Stuck(format!("somebody has set it to {wanted} since"));
            }
            let (there, ready) = (count(seen.owned().count()), seen.ready());
            if seen.is_noted() && there <= to && ready >= needed {
                return Stage::Done;
            }
            Stage::Going(format!("{there} of {to} replicas, {ready} ready"), holdup::of(&seen.workload, seen.owned()))
        };
        self.wait_for_pods(&done, selector, stage).await
    }

    /// Sets the bounds of the autoscaler, if those it has still are `before`.
    pub async fn set_bounds(&self, (min, max): (u32, u32), before: (u32, u32)) -> Result<String, ActError> {
        let mut first: Option<(Seen, bool)> = None;
        for _ in 0..TRIES {
            let seen = self.look(Depth::All).await?;
            let facet = |(min, max)| Facet::Bounds { min, max };
            let Some(hpa) = seen.hpas.first() else {
                return Err(conflict(&self.subject, facet(before), "without an autoscaler"));
            };
            let now = (hpa.min(), hpa.spec.max_replicas);
            if now == (min, max) {
                first = Some((seen, true));
                break;
            }
            if now != before {
                return Err(conflict(&self.subject, facet(before), facet(now)));
            }
            let body = json!({
                "metadata": {"resourceVersion": hpa.metadata.resource_version},
                "spec": {"minReplicas": min, "maxReplicas": max},
            });
            let ask = Ask::patch(&HPAS, self.place.namespace.as_deref(), &hpa.metadata.name, body);
            if self.change(&ask).await?.is_some() {
                first = Some((seen, false));
                break;
            }
        }
        let (seen, already) = first.ok_or_else(|| self.restless())?;
        let name = seen.hpas.first().map(|hpa| hpa.metadata.name.clone()).unwrap_or_default();
        self.wait_for_bounds((min, max), &seen).await?;
        let keeps = format!("HorizontalPodAutoscaler {name} keeps {} between {min} and {max}", self.place.in_words());
        Ok(if already { format!("{keeps} already") } else { keeps })
    }

    /// The autoscaler looks every 15 s by default; it is done when the number lies within the bounds and, where it had to
    /// go up, that many more pods are ready.
    async fn wait_for_bounds(&self, (min, max): (u32, u32), first: &Seen) -> Result<(), ActError> {
        let before = first.workload.wanted();
        if before == 0 {
            // An autoscaler leaves alone what was scaled to nothing.
            return Ok(());
        }
        let needed = if min > before { (first.ready().saturating_add(min - before)).min(min) } else { 0 };
        let selector = first.workload.spec.selector.query();
        let done = format!("the autoscaler's bounds were set to {min} and {max}");
        let stage = |seen: &Seen| {
            let (wanted, ready) = (seen.workload.wanted(), seen.ready());
            if (min..=max).contains(&wanted) && seen.is_noted() && ready >= needed {
                return Stage::Done;
            }
            let line = format!("{wanted} replicas wanted, {ready} ready, the autoscaler keeps {min} to {max}");
            Stage::Going(line, holdup::of(&seen.workload, seen.owned()))
        };
        self.wait_for_pods(&done, selector, stage).await
    }
}
