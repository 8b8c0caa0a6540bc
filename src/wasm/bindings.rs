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
            "suture:observe/observe": super::playbook::suture::observe::observe,
            "suture:log/log": super::playbook::suture::log::log,
        },
    });
}
