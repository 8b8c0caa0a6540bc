//! Who we are to a cluster: tokens that end, files that change, plugins, clusters that are not there.

use std::path::Path;
use std::time::Duration;

use suture::act::{ActError, Actuator as _};
use suture::platform::ClusterSettings;
use suture::platform::kubernetes::Clusters;

use super::{Rig, WEB, rollout, scale, target};
use crate::harness::kube::{ADMIN_TOKEN, FakeCluster};

async fn with_token_file() -> (Rig, std::path::PathBuf) {
    let (cluster, folder) = (FakeCluster::start().await, tempfile::tempdir().unwrap());
    cluster.user("suture").token("one").token("two").allow_all();
    cluster.deploy("prod", "web", 2);
    cluster.settled("prod", "web").await;
    let file = folder.path().join("token");
    std::fs::write(&file, "one").unwrap();
    let kubeconfig = cluster.kubeconfig_with_token_file(folder.path(), &file);
    (Rig::with(cluster, folder, &kubeconfig, Vec::new()), file)
}

#[tokio::test]
async fn a_token_file_that_was_renewed_is_read_again_as_soon_as_the_old_token_is_refused() {
    let (rig, file) = with_token_file().await;
    rig.observe(WEB).await;
    rig.cluster.expire_token("one");
    std::fs::write(&file, "two").unwrap();
    rig.act(&scale(WEB, 3)).await.receipt();
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_a_run_is_replaced_by_the_next() {
    let (rig, file) = with_token_file().await;
    rig.cluster.pace(Duration::from_millis(800));
    let action = rollout(WEB);
    let (done, ()) = tokio::join!(rig.act(&action), async {
        rig.cluster
            .until("it has begun", |c| {
                c.requests().iter().any(|r| r.method == "PATCH" && r.status == 200).then_some(())
            })
            .await;
        rig.cluster.expire_token("one");
        std::fs::write(&file, "two").unwrap();
    });
    done.receipt();
    assert_eq!(rig.changes(), 1);
}

#[tokio::test]
async fn credentials_that_are_not_accepted_are_a_denial_that_does_not_show_them() {
    let rig = Rig::of("secret-token", |_| {}).await;
    let error = rig.actuator.observe(&target(WEB)).await.unwrap_err();
    assert!(matches!(error, ActError::Denied(_)), "{error:?}");
    assert!(error.to_string().contains("does not accept our credentials (401)"), "{error}");
    assert!(!format!("{error:?}").contains("secret-token"));
    let asked = rig.cluster.requests().len();
    rig.actuator.observe(&target(WEB)).await.unwrap_err();
    // Not a new client for every call.
    assert_eq!(rig.cluster.requests().len(), asked + 1);
}

async fn with_plugin(script: &str) -> (Rig, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let (cluster, folder) = (FakeCluster::start().await, tempfile::tempdir().unwrap());
    cluster.user("suture").token("plugged").allow_all();
    cluster.deploy("prod", "web", 1);
    let plugin = folder.path().join("plugin.sh");
    std::fs::write(&plugin, format!("#!/bin/sh\necho x >> {}/ran\n{script}\n", folder.path().display())).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kubeconfig = cluster.kubeconfig(folder.path(), ADMIN_TOKEN);
    let exec = format!(
        "exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: {}\n      interactiveMode: Never",
        plugin.display()
    );
    let text = std::fs::read_to_string(&kubeconfig).unwrap().replace(&format!("token: {ADMIN_TOKEN}"), &exec);
    std::fs::write(&kubeconfig, text).unwrap();
    let ran = folder.path().join("ran");
    (Rig::with(cluster, folder, &kubeconfig, Vec::new()), ran)
}

#[tokio::test]
async fn a_credential_plugin_is_run_for_a_client_and_not_for_a_call() {
    let token =
        r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"plugged"}}"#;
    let (rig, ran) = with_plugin(&format!("echo '{token}'")).await;
    rig.observe(WEB).await;
    let for_the_client = std::fs::read_to_string(&ran).unwrap();
    rig.observe(WEB).await;
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), for_the_client);
}

#[tokio::test]
async fn what_a_credential_plugin_prints_is_never_shown() {
    let (rig, _) = with_plugin("echo very-secret; echo very-secret >&2; exit 3").await;
    let error = rig.actuator.observe(&target(WEB)).await.unwrap_err();
    assert!(matches!(error, ActError::Unavailable(..)), "{error:?}");
    assert!(error.to_string().contains("the credential plugin of the kubeconfig failed"), "{error}");
    assert!(!format!("{error:?} {error}").contains("very-secret"), "{error}");
}

#[tokio::test]
async fn a_cluster_that_is_not_in_the_config_or_has_no_kubeconfig_is_told() {
    let missing = ClusterSettings { name: "east".to_owned(), kubeconfig: Some("none".into()), context: None };
    let clusters = Clusters::new(&[missing], Path::new("/nowhere"));
    let error = clusters.client(Some("west")).await.err().unwrap();
    assert!(error.contains("there is no cluster `west`"), "{error}");
    let error = clusters.client(Some("east")).await.err().unwrap();
    assert!(error.contains("/nowhere/none cannot be read"), "{error}");
}

#[tokio::test]
async fn a_context_that_is_not_there_is_told_and_nothing_else_of_the_kubeconfig() {
    let (cluster, folder) = (FakeCluster::start().await, tempfile::tempdir().unwrap());
    let kubeconfig = cluster.kubeconfig(folder.path(), ADMIN_TOKEN);
    let of = |context: &str| ClusterSettings {
        name: "east".to_owned(),
        kubeconfig: Some(kubeconfig.clone()),
        context: Some(context.to_owned()),
    };
    let error = Clusters::new(&[of("none")], folder.path()).client(Some("east")).await.err().unwrap();
    assert!(error.contains("no context `none`"), "{error}");
    assert!(Clusters::new(&[of("test")], folder.path()).client(Some("east")).await.is_ok());
    std::fs::write(&kubeconfig, "users: [token: very-secret").unwrap();
    let error = Clusters::new(&[of("test")], folder.path()).client(Some("east")).await.err().unwrap();
    assert!(!error.contains("very-secret"), "{error}");
}
