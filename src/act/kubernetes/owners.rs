//! Who else has a say in an object, in words for who approves a change of it.
//!
//! Pure. Called by the looks.

use crate::platform::kubernetes::{Budget, Hpa, Meta, Selector, shown};

/// GitOps controllers that keep an object as their source has it.
pub(super) fn gitops(what: &str, meta: &Meta) -> Vec<String> {
    let annotation = |key: &str| meta.annotations.get(key).map(String::as_str);
    let label = |key: &str| meta.labels.get(key).map(String::as_str);
    let mut notes = Vec::new();
    let mut owned = |owner: String| {
        notes.push(format!("{owner} owns {what} and may put the change back: change its source as well"));
    };
    // `app:group/kind:namespace/name`, as Argo CD marks what is its.
    let application = annotation("argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next());
    if let Some(name) = application.or_else(|| label("argocd.argoproj.io/instance")) {
        owned(format!("Argo CD application {}", shown(name, 80)));
    }
    for (group, kind) in [("kustomize", "Kustomization"), ("helm", "HelmRelease")] {
        let Some(name) = label(&format!("{group}.toolkit.fluxcd.io/name")) else { continue };
        if annotation(&format!("{group}.toolkit.fluxcd.io/reconcile")) == Some("disabled") {
            continue;
        }
        let namespace = label(&format!("{group}.toolkit.fluxcd.io/namespace")).unwrap_or("?");
        owned(format!("Flux {kind} {}/{}", shown(namespace, 80), shown(name, 80)));
    }
    notes
}

/// The autoscaler, and who owns that.
pub(super) fn autoscaler(hpa: &Hpa) -> Vec<String> {
    let name = &hpa.metadata.name;
    let mut notes =
        vec![format!("HorizontalPodAutoscaler {name} owns the number of replicas: what changes is its floor")];
    if let Some(owner) = hpa.metadata.owner_references.iter().find(|owner| owner.kind == "ScaledObject") {
        let owner = shown(&owner.name, 80);
        notes.push(format!("KEDA's ScaledObject {owner} owns that autoscaler and may put the change back"));
    }
    notes.extend(gitops(&format!("HorizontalPodAutoscaler {name}"), &hpa.metadata));
    notes
}

/// Budgets that let no pod go now.
pub(super) fn budgets<'a>(
    budgets: impl IntoIterator<Item = &'a Budget>,
    labels: &std::collections::BTreeMap<String, String>,
) -> Vec<String> {
    let selects = |selector: &Selector| selector.selects(labels);
    let spent = budgets.into_iter().filter(|b| b.status.disruptions_allowed <= 0);
    let spent = spent.filter(|b| b.spec.selector.as_ref().is_some_and(selects));
    spent
        .map(|b| {
            let (name, has, needs) = (&b.metadata.name, b.status.current_healthy, b.status.desired_healthy);
            format!("PodDisruptionBudget {name} allows no disruption now ({has} healthy pods, {needs} needed): no pod is restarted")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn notes(meta: serde_json::Value) -> Vec<String> {
        gitops("Deployment web", &from_value(meta).unwrap())
    }

    #[test]
    fn gitops_owners_are_named() {
        let argo = notes(json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:prod/web"}}));
        assert!(argo[0].starts_with("Argo CD application shop owns Deployment web"), "{argo:?}");
        let flux = notes(json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps",
            "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}));
        assert!(flux[0].starts_with("Flux Kustomization flux-system/apps owns"), "{flux:?}");
        let off = notes(json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"},
            "annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}}));
        assert_eq!(off, [""; 0]);
        assert_eq!(notes(json!({})), [""; 0]);
    }

    #[test]
    fn a_spent_budget_of_these_pods_is_told_and_that_of_others_is_not() {
        let budget: Budget = from_value(json!({
            "metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2}
        }))
        .unwrap();
        let labels = |app: &str| [("app".to_owned(), app.to_owned())].into_iter().collect();
        assert_eq!(budgets([&budget], &labels("web")).len(), 1);
        assert_eq!(budgets([&budget], &labels("db")).len(), 0);
    }
}
