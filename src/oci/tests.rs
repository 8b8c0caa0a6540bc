//! A registry of a few lines on 127.0.0.1, honest and otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

use super::*;

/// What the registry gives out: media type and bytes by digest or tag.
type Contents = Arc<BTreeMap<String, (String, Vec<u8>)>>;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

async fn give(State(contents): State<Contents>, Path((_, key)): Path<(String, String)>) -> Response {
    match contents.get(&key) {
        Some((media, bytes)) => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, media.parse().unwrap());
            if media == MANIFEST {
                headers.insert("docker-content-digest", digest(bytes).parse().unwrap());
            }
            (headers, bytes.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such thing"}]}"#)
            .into_response(),
    }
}

/// Serves a component under the tag `1` and gives the registry's address and the manifest's digest.
async fn registry(component: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> (String, String) {
    let config = b"{}";
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(config), "size": config.len() },
        "layers": [{ "mediaType": LAYERS[0], "digest": digest(b"what is promised"), "size": component.len() }],
    });
    change(&mut manifest);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let named = digest(&manifest);
    let contents = BTreeMap::from([
        ("1".to_owned(), (MANIFEST.to_owned(), manifest.clone())),
        (named.clone(), (MANIFEST.to_owned(), manifest)),
        (digest(config), ("application/octet-stream".to_owned(), config.to_vec())),
        (digest(b"what is promised"), ("application/octet-stream".to_owned(), component.to_vec())),
    ]);
    let routes = Router::new()
        .route("/v2/", get(|| async { "{}" }))
        .route("/v2/team/{name}/manifests/{key}", get(give))
        .route("/v2/team/{name}/blobs/{key}", get(give))
        .with_state(Arc::new(contents));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, named)
}

async fn pulled(reference: &str) -> Result<Pulled, String> {
    pull(reference, RegistryAuth::Anonymous, 1_000).await.map_err(|e| e.to_string())
}

#[tokio::test]
async fn a_pinned_component_is_fetched() {
    let (at, named) = registry(b"what is promised", |_| ()).await;
    let got = pulled(&format!("{at}/team/one-more@{named}")).await.unwrap();
    assert_eq!(got.bytes, b"what is promised");
    assert_eq!(pin_line("one-more", &got.bytes), format!("one-more = \"{}\"", &digest(&got.bytes)[7..]));
}

#[tokio::test]
async fn a_tag_alone_is_refused_with_what_to_write() {
    let (at, named) = registry(b"what is promised", |_| ()).await;
    let error = pulled(&format!("{at}/team/one-more:1")).await.unwrap_err();
    assert!(error.contains(&format!("write\n\n    {at}/team/one-more@{named}")), "{error}");
}

#[tokio::test]
async fn other_bytes_than_promised_are_refused() {
    let (at, named) = registry(b"something else..", |_| ()).await;
    let error = pulled(&format!("{at}/team/one-more@{named}")).await.unwrap_err();
    assert!(error.contains("cannot be fetched") && error.to_lowercase().contains("digest"), "{error}");
    let (at, _) = registry(b"what is promised", |_| ()).await;
    let other = digest(b"another manifest");
    let error = pulled(&format!("{at}/team/one-more@{other}")).await.unwrap_err();
    assert!(error.contains("cannot be fetched"), "{error}");
}

#[tokio::test]
async fn what_is_too_large_or_no_component_is_refused() {
    let (at, named) = registry(&[0; 2_000], |_| ()).await;
    let error = pulled(&format!("{at}/team/one-more@{named}")).await.unwrap_err();
    assert!(error.ends_with("has more than 1000 bytes, which is the most that a component may have"), "{error}");
    // Announced small, sent large.
    let (at, named) = registry(&[0; 2_000], |m| m["layers"][0]["size"] = json!(10)).await;
    let error = pulled(&format!("{at}/team/one-more@{named}")).await.unwrap_err();
    assert!(error.ends_with("has more than 1000 bytes, which is the most that a component may have"), "{error}");
    let (at, named) = registry(b"x", |m| m["layers"][0]["mediaType"] = json!("application/x-tar")).await;
    let error = pulled(&format!("{at}/team/one-more@{named}")).await.unwrap_err();
    assert!(error.contains("it has a layer of type `application/x-tar`"), "{error}");
    let (at, named) = registry(b"x", |m| m["layers"] = json!([])).await;
    let error = pulled(&format!("{at}/team/one-more@{named}")).await.unwrap_err();
    assert!(error.contains("it has 0 layers"), "{error}");
}

#[tokio::test]
async fn what_is_no_reference_or_not_there_is_named() {
    let error = pulled("Not A Reference").await.unwrap_err();
    assert!(error.starts_with("`Not A Reference` is not a reference to an artefact"), "{error}");
    for (reference, why) in [
        ("nonsense", "it names no registry"),
        ("team/one-more:1", "it names no registry: that is a host's name"),
        ("https://registry.example.org/x", "it begins with the registry's name, without a scheme"),
        ("127.0.0.1:99999/x", "what follows the colon of the registry is not a port"),
        ("registry.example.org/x@sha256:abc", "its digest has not 64"),
        ("registry.example.org/x@md5:abc", "its digest does not begin with sha256:"),
    ] {
        let error = pulled(reference).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let (at, _) = registry(b"x", |_| ()).await;
    let error = pulled(&format!("{at}/team/one-more:2")).await.unwrap_err();
    assert!(error.starts_with(&format!("{at}/team/one-more:2 cannot be fetched")), "{error}");
}

#[test]
fn only_this_machine_is_spoken_to_without_tls() {
    for yes in ["127.0.0.1:5000", "localhost:5000", "localhost", "[::1]:5000"] {
        assert!(is_this_machine(yes), "{yes}");
    }
    for no in ["registry.example.org", "127.0.0.1.example.org:5000", "10.0.0.1:5000", "localhost.example.org"] {
        assert!(!is_this_machine(no), "{no}");
    }
}
