//! The sample service: each fault does what it says, where it can be seen.

use suture::sample::{Fault, Shop};
use tempfile::TempDir;

use super::local_bench::{all_gone, ask, program, until};

/// One value of a worker's metrics page.
async fn metric(shop: &Shop, instance: &str, name: &str) -> f64 {
    let report = shop.report().await.unwrap();
    let addr = report.workers.iter().find(|w| w.name == instance).unwrap().addr.unwrap();
    let (status, page) = ask(addr, "GET", "/metrics", "").await;
    assert_eq!(status, 200);
    let line = page.lines().find(|l| l.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no {name}: {page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn start() -> (Shop, TempDir) {
    let dir = TempDir::new().unwrap();
    (Shop::start(&program(), dir.path()).await.unwrap(), dir)
}

#[tokio::test]
async fn faults_of_a_worker_are_seen_on_its_page_and_can_be_lifted() {
    let (shop, _dir) = start().await;
    let slow = r#"shop_request_duration_seconds_bucket{le="0.3"}"#;
    let total = "shop_request_duration_seconds_count";

    // Nothing is wrong: the load is answered, and nothing takes 300 ms or fails.
    until("answers", async || metric(&shop, "shop-2", "shop_requests_total").await > 20.0).await;
    assert_eq!(metric(&shop, "shop-2", "shop_errors_total").await, 0.0);

    assert_eq!(shop.inject(Fault::Errors, None).await.unwrap(), "shop-2");
    until("errors", async || metric(&shop, "shop-2", "shop_errors_total").await > 5.0).await;
    assert_eq!(metric(&shop, "shop-1", "shop_errors_total").await, 0.0);
    shop.lift().await.unwrap();

    let fast_before = metric(&shop, "shop-2", total).await - metric(&shop, "shop-2", slow).await;
    shop.inject(Fault::Latency, None).await.unwrap();
    let slow_now = async || metric(&shop, "shop-2", total).await - metric(&shop, "shop-2", slow).await;
    until("slow answers", async || slow_now().await > fast_before + 5.0).await;
    shop.lift().await.unwrap();

    let (cpu, requests) = ("process_cpu_seconds_total", "shop_requests_total");
    let before = (metric(&shop, "shop-2", cpu).await, metric(&shop, "shop-2", requests).await);
    shop.inject(Fault::Cpu, None).await.unwrap();
    until("requests", async || metric(&shop, "shop-2", cpu).await > before.0 + 0.3).await;
    shop.lift().await.unwrap();
    shop.stop().await.unwrap();
}

#[tokio::test]
async fn leaks_grow_by_themselves_and_end_when_lifted() {
    let (shop, _dir) = start().await;
    let memory = "process_resident_memory_bytes";
    let before = metric(&shop, "shop-1", memory).await;
    shop.inject(Fault::MemoryLeak, Some("shop-1")).await.unwrap();
    shop.inject(Fault::PoolExhaustion, Some("shop-2")).await.unwrap();
    until("memory", async || metric(&shop, "shop-1", memory).await > before + 5e6).await;
    until("waiters", async || metric(&shop, "shop-2", "shop_pool_waiters").await > 5.0).await;
    shop.lift().await.unwrap();
    until("no waiters", async || metric(&shop, "shop-2", "shop_pool_waiters").await < 1.0).await;
    shop.stop().await.unwrap();
}

#[tokio::test]
async fn a_surge_fills_the_pools_and_a_crash_is_a_crash() {
    let (shop, _dir) = start().await;
    assert_eq!(shop.inject(Fault::Load, None).await.unwrap(), "the load");
    until("waiters", async || metric(&shop, "shop-1", "shop_pool_waiters").await > 10.0).await;
    let stats = shop.load_stats().await.unwrap();
    assert!(stats.factor == 3.0 && stats.rate > 300.0, "{stats:?}");
    shop.lift().await.unwrap();
    assert_eq!(shop.load_stats().await.unwrap().factor, 1.0);

    assert_eq!(shop.inject(Fault::Crash, Some("shop-1")).await.unwrap(), "shop-1");
    until("down", async || !shop.report().await.unwrap().state.instance("shop-1").unwrap().up).await;
    assert!(shop.inject(Fault::Cpu, Some("shop-9")).await.unwrap_err().to_string().contains("no worker `shop-9`"));

    // Dropping it is enough, as when the demo is ended by force.
    let report = shop.report().await.unwrap();
    let pids: Vec<_> = report.workers.iter().filter_map(|w| w.pid).chain([report.pid]).collect();
    drop(shop);
    all_gone(&pids).await;
}

#[test]
fn every_fault_is_known_by_its_name() {
    for fault in Fault::ALL {
        assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
        assert!(!fault.describe().is_empty());
    }
    assert!("fire".parse::<Fault>().unwrap_err().to_string().contains("memory-leak"));
}
