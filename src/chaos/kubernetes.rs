//! Faults on Kubernetes: pods are deleted directly; everything else is asked of Chaos Mesh, where that is installed, by its
//! own resources. There is no fault engine of ours in the cluster.
//!
//! What ends a fault, in this order: `take_out`; this adapter, when nobody has renewed the lease for
//! [`LEASE`](super::LEASE), as long as the process lives; and, when Suture is gone, Chaos Mesh itself at the object's
//! `spec.duration`, which is the time that the fault was approved for. That last one cannot be shorter: since 2.0 the
//! admission webhook of Chaos Mesh refuses every change of a live `spec`, so a short duration cannot be prolonged; and two
//! objects that overlap would add up (twice the delay, twice the load). A daemon that starts again takes out at once what
//! its ledger says.
//!
//! Must never put in what was not aimed at, remove a finalizer, force a deletion, or delete an object that is not ours: a
//! finalizer that stays means that Chaos Mesh has not cleaned up. Called by the experiment runner.

mod aim;
mod errors;
mod kill;
mod lease;
mod manifest;
mod mesh;
mod pods;
mod rights;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::{Aim, InjectError, Injector, Wish};
use crate::act::kubernetes::KubernetesActuator;
use crate::act::{Actuator as _, Permission};
use crate::model::{AimedFault, Fault, FaultKind, TargetId};
use crate::platform::kubernetes::{Api, Clusters, Kind, Place};
use errors::refused;
use kill::Struck;
use lease::Leases;
use manifest::{Mesh, Name};
use mesh::Object;

/// What a call is about: the cluster and the workload there.
struct Site {
    api: Api,
    place: Place,
}

/// An object of ours that is on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// For people: `NetworkChaos suture-exp-3-1-latency in namespace prod`.
    pub what: String,
    /// Of which experiment, as its label says: `EXP-3`.
    pub experiment: String,
    /// When Chaos Mesh takes it out by itself, in seconds since the epoch; 0 when its label does not say.
    pub ends: u64,
    /// It was deleted, and waits for Chaos Mesh to clean up.
    pub is_going: bool,
}

/// Makes `k8s:` targets sick.
#[derive(Debug)]
pub struct KubernetesInjector {
    clusters: Clusters,
    /// Says which pods serve, in the words that approvals have too.
    looks: KubernetesActuator,
    leases: Leases,
    struck: Struck,
}

impl KubernetesInjector {
    /// An injector for these clusters. Nothing is connected yet.
    #[must_use]
    pub fn new(clusters: Clusters) -> Self {
        let looks = KubernetesActuator::new(Vec::new(), clusters.clone());
        Self { clusters, looks, leases: Leases::default(), struck: Struck::default() }
    }

    /// The objects in the target's namespace that are ours, whatever Suture made them: for the start of the daemon, which
    /// knows from its ledger which of them should not be there any more. Changes nothing.
    ///
    /// # Errors
    /// When the target cannot be looked at.
    pub async fn leftovers(&self, target: &TargetId) -> Result<Vec<Leftover>, InjectError> {
        let site = self.site(target)?;
        mesh::leftovers(&site.api, &site.place).await
    }

    /// What the credentials at hand let us do for experiments on a target: for `suture check --live`. Changes nothing.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn permissions(&self, target: &TargetId) -> Result<Vec<Permission>, InjectError> {
        let site = self.site(target)?;
        rights::permissions(&site.api, &site.place).await
    }

    fn site(&self, target: &TargetId) -> Result<Site, InjectError> {
        let place = Place::of(target).map_err(InjectError::Refused)?;
        if !matches!(place.kind, Kind::Deployment | Kind::StatefulSet) {
            return Err(refused(format!(
                "{target} has no pods of its own: faults are put into a deployment or a statefulset"
            )));
        }
        let api = self.clusters.api(place.cluster.as_deref()).map_err(InjectError::Refused)?;
        Ok(Site { api, place })
    }

    /// The object of this fault, as it is or would be called.
    fn object(&self, id: &str, fault: &AimedFault) -> Result<(Site, Object), InjectError> {
        let site = self.site(&fault.target)?;
        let Some(mesh) = Mesh::of(fault.fault.kind()) else {
            return Err(refused(manifest::why_not(fault.fault.kind())));
        };
        let name = Name::of(id, fault.fault.kind())?;
        let object = Object::new(site.api.clone(), site.place.namespace(), mesh, name, manifest::mark(id, fault));
        Ok((site, object))
    }
}

#[async_trait]
impl Injector for KubernetesInjector {
    fn kind(&self) -> &'static str {
        "k8s"
    }

    async fn offers(&self, target: &TargetId) -> Result<Vec<FaultKind>, InjectError> {
        let place = Place::of(target).map_err(InjectError::Refused)?;
        if !matches!(place.kind, Kind::Deployment | Kind::StatefulSet) {
            return Ok(Vec::new());
        }
        let site = self.site(target)?;
        let served = mesh::served(&site.api).await?;
        let offered = |kind: &FaultKind| {
            *kind == FaultKind::PodKill || Mesh::of(*kind).is_some_and(|mesh| served.contains(&mesh))
        };
        Ok(FaultKind::ALL.into_iter().filter(offered).collect())
    }

    async fn aim(&self, wish: &Wish<'_>) -> Result<Aim, InjectError> {
        let site = self.site(wish.target)?;
        manifest::can(wish.fault).map_err(InjectError::Refused)?;
        let kind = wish.fault.kind();
        if let Some(mesh) = Mesh::of(kind)
            && !mesh::served(&site.api).await?.contains(&mesh)
        {
            return Err(refused(format!(
                "{kind} is put in by Chaos Mesh, and {} has no {}: install Chaos Mesh 2 there (chaos-mesh.org), or use \
                 pod-kill, which needs nothing",
                site.api.who(),
                mesh.kind()
            )));
        }
        let state = self.looks.observe(wish.target).await.map_err(errors::look)?;
        aim::aim(&site, wish, &state).await
    }

    async fn put_in(&self, id: &str, fault: &AimedFault) -> Result<String, InjectError> {
        if fault.fault == Fault::PodKill {
            let site = self.site(&fault.target)?;
            manifest::check_id(id)?;
            return kill::strike(&site, &self.struck, id, fault).await;
        }
        let (site, object) = self.object(id, fault)?;
        let pods = pods::find(&site.api, site.place.namespace(), &fault.instances).await?;
        let held = aim::Held::of(fault)?;
        held.check(&site.place, &pods)?;
        let (name, lasts) = (object.name().clone(), fault.until.saturating_sub(fault.from));
        let body = manifest::object(&name, &site.place, &fault.fault, &pods, &held, lasts, object.mark())?;
        // It goes out again by the lease also when what follows fails, or when nobody waits for it any more.
        self.leases.hold(id, object.clone(), lasts);
        let made = object.put_in(&body, || self.leases.renew(id, &object, lasts)).await;
        if matches!(made, Err(InjectError::Refused(_))) {
            self.leases.let_go(id);
        }
        made
    }

    async fn renew(&self, id: &str, fault: &AimedFault, _: Duration) -> Result<(), InjectError> {
        if fault.fault == Fault::PodKill {
            return Err(InjectError::Gone(format!("{id}: a pod that was deleted is not held")));
        }
        let (site, object) = self.object(id, fault)?;
        // How long it lasts stands in the object and cannot be changed; see the head of this module.
        // Where it is gone, the lease runs out and sees to what is left of it.
        object.check(&site.place).await?;
        self.leases.renew(id, &object, fault.until.saturating_sub(fault.from));
        Ok(())
    }

    async fn take_out(&self, id: &str, fault: &AimedFault) -> Result<String, InjectError> {
        if fault.fault == Fault::PodKill {
            self.struck.forget(id);
            return Ok("a pod that was deleted is not put back by us: its controller makes another".to_owned());
        }
        let (_, object) = self.object(id, fault)?;
        let out = object.take_out().await?;
        self.leases.let_go(id);
        Ok(out)
    }
}

/// Pods by name.
type Pods = BTreeMap<String, pods::Seen>;
