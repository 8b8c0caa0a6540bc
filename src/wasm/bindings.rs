//! What wasmtime makes of wit/next: traits that `host` implements, and typed calls of the exports.

/// The world of playbooks.
pub(super) mod playbook {
    wasmtime::component::bindgen!({
        path: "wit/next",
        world: "suture:plugin/playbook",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "suture:incident/incident.target": crate::wasm::host::Handle },
    });
}

/// The world of playbooks that check their cure; but for that export, the other world.
pub(super) mod verifying {
    wasmtime::component::bindgen!({
        path: "wit/next",
        world: "suture:plugin/verifying-playbook",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "suture:types/types": super::playbook::suture::types::types,
            "suture:incident/incident": super::playbook::suture::incident::incident,
            "suture:metrics/metrics": super::playbook::suture::metrics::metrics,
            "suture:scale/scale": super::playbook::suture::scale::scale,
            "suture:restart/restart": super::playbook::suture::restart::restart,
            "suture:traffic/traffic": super::playbook::suture::traffic::traffic,
            "suture:isolate/isolate": super::playbook::suture::isolate::isolate,
            "suture:cache/cache": super::playbook::suture::cache::cache,
            "suture:rollout/rollout": super::playbook::suture::rollout::rollout,
            "suture:configure/configure": super::playbook::suture::configure::configure,
            "suture:flush/flush": super::playbook::suture::flush::flush,
            "suture:state/state": super::playbook::suture::state::state,
            "suture:log/log": super::playbook::suture::log::log,
        },
    });
}

/// The world of rules; it shares everything it imports with the other.
pub(super) mod rule {
    wasmtime::component::bindgen!({
        path: "wit/next",
        world: "suture:plugin/rule",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "suture:types/types": super::playbook::suture::types::types,
            "suture:incident/incident": super::playbook::suture::incident::incident,
            "suture:metrics/metrics": super::playbook::suture::metrics::metrics,
            "suture:log/log": super::playbook::suture::log::log,
        },
    });
}
