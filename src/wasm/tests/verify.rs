//! A playbook's own check of its cure: an export it may have, and which can only look.

use super::hostile::guest;
use super::*;

async fn doubts() -> Playbook {
    host().load_playbook("doubts", guest("guests", "doubts", "verifying-playbook", |wat| wat)).await.unwrap()
}

#[tokio::test]
async fn a_check_is_asked_with_the_arguments_of_the_run() {
    let playbook = doubts().await;
    assert!(playbook.verifies());
    let without = playbook.verify(incident(shop_of(2)), &Args::new()).await.unwrap();
    assert_eq!(without.result, Ok(Err("not yet".to_owned())));
    let with = playbook.verify(incident(shop_of(2)), &args(&[("sure", "yes")])).await.unwrap();
    assert_eq!(with.result, Ok(Ok(())));
}

#[tokio::test]
async fn it_remediates_as_every_playbook_does() {
    let world = Box::new(FakeWorld::of(shop_of(2)));
    let ran = doubts().await.remediate(incident(shop_of(2)), &Args::new(), world, Limits::default().wall).await;
    assert_eq!(ran.result, Ok(String::new()));
}

#[tokio::test]
async fn most_playbooks_have_none() {
    let (catalog, _) = Catalog::load(&host(), None, None).await;
    for playbook in catalog.playbooks() {
        assert!(!playbook.verifies() && playbook.verify(incident(shop_of(2)), &Args::new()).await.is_none());
    }
}
