//! Rights, tokens, and trouble on the way.

use super::*;

#[tokio::test]
async fn rights_are_asked_for_and_refused_in_the_words_of_the_server() {
    let stage = Stage::with_web(1).await;
    stage.cluster.user("suture").token("t1").allow("get,list", "apps", "deployments", Some(NS)).allow(
        "get",
        "apps",
        "deployments/scale",
        Some(NS),
    );
    let client = client(&stage.cluster, "t1").await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NS);
    deployments.get("web").await.unwrap();
    deployments.get_scale("web").await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let (code, reason, message) = refusal(deployments.patch_scale("web", &PatchParams::default(), &patch).await);
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        "deployments.apps \"web\" is forbidden: User \"suture\" cannot patch resource \"deployments/scale\" in API group \"apps\" in the namespace \"prod\""
    );
    let (_, _, message) = refusal(Api::<Pod>::namespaced(client.clone(), NS).list(&ListParams::default()).await);
    assert_eq!(
        message,
        "pods is forbidden: User \"suture\" cannot list resource \"pods\" in API group \"\" in the namespace \"prod\""
    );
    let (_, _, message) = refusal(Api::<Node>::all(client.clone()).get("node-1").await);
    assert_eq!(
        message,
        "nodes \"node-1\" is forbidden: User \"suture\" cannot get resource \"nodes\" in API group \"\" at the cluster scope"
    );

    let may = async |verb: &str, sub: &str, namespace: &str| {
        let review: SelfSubjectAccessReview =
            serde_json::from_value(json!({"metadata": {}, "spec": {"resourceAttributes": {
                "verb": verb, "group": "apps", "resource": "deployments", "subresource": sub, "namespace": namespace,
            }}}))
            .unwrap();
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    assert!(may("get", "", NS).await && may("get", "scale", NS).await);
    assert!(!may("patch", "scale", NS).await && !may("get", "", "default").await && !may("get", "status", NS).await);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let who: Value = client.request(http_request("POST", path, "application/json", &review)).await.unwrap();
    assert_eq!(who["status"]["userInfo"]["username"], "suture");
    assert_eq!(stage.cluster.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn rights_come_from_role_documents() {
    let stage = Stage::with_web(1).await;
    let documents = [
        json!({"kind": "Role", "metadata": {"name": "r", "namespace": NS}, "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"], "resourceNames": ["web"]}]}),
        json!({"kind": "ClusterRole", "metadata": {"name": "c"}, "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["*"]}]}),
        json!({"kind": "RoleBinding", "metadata": {"name": "r", "namespace": NS}, "roleRef": {"kind": "Role", "name": "r"}}),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "c"}, "roleRef": {"kind": "ClusterRole", "name": "c"}}),
    ];
    stage.cluster.user("suture").token("t").bound_by(&documents);
    let client = client(&stage.cluster, "t").await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NS);
    deployments.get("web").await.unwrap();
    assert_eq!(refusal(deployments.get("other").await).0, 403);
    Api::<Node>::all(client).list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_token_expires_and_is_replaced() {
    let stage = Stage::with_web(1).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first").unwrap();
    stage.cluster.user("suture").token("first").token("second").allow_all();
    let config = stage.cluster.kubeconfig_with_token_file(folder.path(), &file);
    let deployments: Api<Deployment> = Api::namespaced(client_of(&config).await, NS);
    deployments.get("web").await.unwrap();
    stage.cluster.expire_token("first");
    let (code, reason, _) = refusal(deployments.get("web").await);
    assert_eq!((code, reason.as_str()), (401, "Unauthorized"));
    std::fs::write(&file, "second").unwrap();
    // A client that starts now reads the file; one that runs looks once a minute.
    let deployments: Api<Deployment> = Api::namespaced(client_of(&config).await, NS);
    deployments.get("web").await.unwrap();
}

#[tokio::test]
async fn there_is_trouble_before_and_after_an_effect() {
    let stage = Stage::with_web(1).await;
    let deployments = stage.deployments();
    let scale = async |replicas: u32| {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments.patch_scale("web", &PatchParams::default(), &patch).await
    };
    let on = |fault: Fault| stage.cluster.fault(fault).on("PATCH", "*/deployments/web/scale").times(1);
    on(Fault::Status(500));
    assert_eq!(refusal(scale(2).await).0, 500);
    assert_eq!(stage.cluster.replicas(NS, "web"), 1);
    on(Fault::AfterEffect(500));
    assert_eq!(refusal(scale(2).await).0, 500);
    assert_eq!(stage.cluster.replicas(NS, "web"), 2, "it was done all the same");
    on(Fault::Drop);
    assert!(!matches!(scale(3).await, Ok(_) | Err(Error::Api(_))));
    assert_eq!(stage.cluster.replicas(NS, "web"), 2);
    on(Fault::DropAfterEffect);
    assert!(!matches!(scale(3).await, Ok(_) | Err(Error::Api(_))));
    assert_eq!(stage.cluster.replicas(NS, "web"), 3);
    on(Fault::Throttle(7));
    match scale(4).await {
        Err(Error::Api(status)) => {
            assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 7));
        }
        other => panic!("{other:?}"),
    }
    on(Fault::Meanwhile { path: WEB.to_owned(), patch: json!({"metadata": {"labels": {"by": "somebody"}}}) });
    let stale = deployments.get("web").await.unwrap().metadata.resource_version;
    let patch = Patch::Merge(json!({"metadata": {"resourceVersion": stale}, "spec": {"replicas": 4}}));
    assert_eq!(refusal(deployments.patch_scale("web", &PatchParams::default(), &patch).await).0, 409);
    for fault in [Fault::Hang, Fault::HangAfterEffect] {
        on(fault);
        assert!(tokio::time::timeout(Duration::from_millis(200), scale(4)).await.is_err());
    }
    assert_eq!(stage.cluster.replicas(NS, "web"), 4);
    stage.cluster.down(true);
    assert!(!matches!(scale(5).await, Ok(_) | Err(Error::Api(_))));
    stage.cluster.down(false);
    scale(5).await.unwrap();
}
