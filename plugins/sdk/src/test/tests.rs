//! The test world against scripted playbooks: what it answers is what the host's dry run answers.

use std::cell::Cell;

use super::*;
use crate::prelude::*;

thread_local! {
    /// What the playbook of a test does: each test has a thread of its own.
    static SCRIPT: Cell<fn(&Args) -> Outcome> = const { Cell::new(|_| Ok(String::new())) };
}

struct Scripted;

impl Playbook for Scripted {
    fn describe() -> Description {
        description("scripted", "Does what the test says.")
            .with(Param::whole("by", "How many.").or(2).between(1, 20))
            .with(Param::whole("to", "How many.").at_least(1))
            .with(Param::number("share", "How much.").at_most(1))
            .with(Param::milliseconds("for-ms", "How long."))
            .with(Param::text("name", "Which."))
            .with(Param::flag("all", "All of them?"))
    }

    fn validate(settings: &Args) -> Result<(), String> {
        if settings.get::<u32>("by") == Ok(7) { Err("write by = 6".to_owned()) } else { Ok(()) }
    }

    fn remediate(args: &Args) -> Outcome {
        SCRIPT.get()(args)
    }
}

impl Verifies for Scripted {
    fn verify(args: &Args) -> Result<(), String> {
        SCRIPT.get()(args).map(|_| ()).map_err(|failure| failure.to_string())
    }
}

fn shop() -> World {
    World::new().target(target("local:shop", 2).between(1, 6).cached_for_ms(2_000))
}

fn plan(world: &World, script: fn(&Args) -> Outcome) -> Result<Plan, Failure> {
    plan_with(world, &[], script)
}

fn plan_with(world: &World, given: &[(&str, &str)], script: fn(&Args) -> Outcome) -> Result<Plan, Failure> {
    SCRIPT.set(script);
    dry_run::<Scripted>(world, given)
}

fn why(world: &World, script: fn(&Args) -> Outcome) -> String {
    plan(world, script).unwrap_err().to_string()
}

#[test]
fn each_action_is_a_line_as_approvers_see_it() {
    let plan = plan(&shop(), |_| {
        let shop = only_target()?;
        shop.scale_to(4)?;
        shop.restart("shop-2")?;
        shop.weigh([("shop-2", 25), ("shop-1", 150)])?;
        shop.isolate("shop-1")?;
        shop.take_back("shop-1")?;
        shop.cache_for_ms(3_600_000)?;
        Ok("did all there is".to_owned())
    });
    let plan = plan.unwrap().must_be([
        "local:shop workers 2 -> 4",
        "local:shop/shop-2 restart (generation 0 -> generation 1)",
        "local:shop weights shop-1=100 shop-2=100 -> shop-1=150 shop-2=25",
        "local:shop/shop-1 in traffic -> isolated",
        "local:shop/shop-1 isolated -> in traffic",
        "local:shop cache lifetime 2.0 s -> 1 h 00 min",
    ]);
    assert_eq!(plan.summary(), "did all there is");
}

#[test]
fn rollouts_settings_and_entries_are_lines_as_well() {
    let web = target("k8s:prod/deployment/web", 2).rolls_out().setting("max-conns", "100").setting("mode", "");
    let world = World::new().target(web).target(target("redis:cache", 1).stores_entries());
    let plan = plan(&world, |_| {
        let web = target_that(Target::rolls_out)?.otherwise("none rolls out")?;
        assert_eq!(web.scale_to(3)?, "planned: scale k8s:prod/deployment/web to 3");
        let receipt = "planned: roll k8s:prod/deployment/web out anew, a few instances at a time";
        assert_eq!(web.roll_out()?, receipt);
        assert!(web.state()?.instances.iter().all(|i| i.generation == 1));
        assert_eq!(web.configure("max-conns", "50")?, "planned: set max-conns of k8s:prod/deployment/web to 50");
        assert_eq!(web.configure("mode", "")?, "k8s:prod/deployment/web mode is unset already");
        web.configure("mode", "safe")?;
        web.configure("mode", "")?;
        assert_eq!(web.settings()?["max-conns"], "50");
        let cache = target_that(Target::stores_entries)?.otherwise("none stores entries")?;
        assert_eq!(cache.flush("shop:")?, "planned: throw away all entries shop:* of redis:cache");
        Ok(String::new())
    });
    plan.unwrap().must_be([
        "k8s:prod/deployment/web replicas 2 -> 3",
        "k8s:prod/deployment/web rollout (the first one)",
        "k8s:prod/deployment/web max-conns 100 -> 50",
        "k8s:prod/deployment/web mode unset -> safe",
        "k8s:prod/deployment/web mode safe -> unset",
        "redis:cache entries shop:* kept -> thrown away",
    ]);
}

#[test]
fn what_counts_by_time_is_a_line_with_that_time() {
    let pod = Instance { name: "web-5d9f-x7k2p".to_owned(), generation: 1_767_225_600, ..Instance::default() };
    let web = target("asg:web", 1).instances([pod]).rolled_out_at(1_767_225_601);
    let plan = plan(&World::new().target(web), |_| {
        let web = only_target()?;
        web.restart("web-5d9f-x7k2p")?;
        web.scale_to(2)?;
        Ok(web.roll_out()?)
    });
    plan.unwrap().must_be([
        "asg:web/web-5d9f-x7k2p restart (runs since 2026-01-01T00:00:00.000Z)",
        "asg:web instances 1 -> 2",
        "asg:web rollout (the last one since 2026-01-01T00:00:01.000Z)",
    ]);
}

#[test]
fn a_playbook_sees_its_own_changes() {
    plan(&shop().target(target("k8s:prod/deployment/web", 1)), |_| {
        let [shop, web] = all_targets().try_into().unwrap();
        assert_eq!((shop.name(), shop.kind()), ("local:shop".to_owned(), "local".to_owned()));
        assert_eq!(web.state()?.instances[0].name, "web-1");
        assert_eq!(shop.scale_to(3)?, "planned: scale local:shop to 3");
        shop.isolate("shop-3")?;
        shop.restart("shop-1")?;
        let state = shop.state()?;
        let instance = |name: &str| state.instance(name).cloned().unwrap();
        assert_eq!((state.replicas, state.instances.len()), (3, 3));
        assert!(instance("shop-3").isolated);
        assert_eq!(instance("shop-1").generation, 1);
        shop.scale_to(1)?;
        assert_eq!(shop.state()?.instances.len(), 1);
        Ok(String::new())
    })
    .unwrap();
}

#[test]
fn the_world_stays_as_it_was() {
    let shop = shop();
    for _ in 0..2 {
        let scaled = plan(&shop, |_| only_target()?.scale_to(3).map_err(Into::into));
        scaled.unwrap().must_be(["local:shop workers 2 -> 3"]);
    }
}

#[test]
fn an_action_that_changes_nothing_is_no_step() {
    let plan = plan(&shop(), |_| {
        let shop = only_target()?;
        assert_eq!(shop.scale_to(2)?, "local:shop workers is 2 already");
        shop.weigh([("shop-1", 100)])?;
        shop.take_back("shop-1")?;
        shop.cache_for_ms(2_000)?;
        Ok(String::new())
    });
    assert!(plan.unwrap().lines().is_empty());
}

#[test]
fn what_makes_no_sense_is_refused_in_the_hosts_words() {
    type Script = fn(&Args) -> Outcome;
    let cases: [(Script, &str); 17] = [
        (|_| Ok(only_target()?.restart("shop-9")?), "conflict: local:shop has no instance `shop-9`"),
        (|_| Ok(only_target()?.isolate("")?), "not found: no instance can be called ``"),
        (|_| Ok(only_target()?.scale_to(7)?), "conflict: local:shop allows 1 to 6 instances, not 7"),
        (
            |_| Ok(only_target()?.weigh::<&str>([])?),
            "conflict: weights for local:shop must name at least one instance and lie within 0 to 1000",
        ),
        (
            |_| Ok(only_target()?.weigh([("shop-1", 1001)])?),
            "conflict: weights for local:shop must name at least one instance and lie within 0 to 1000",
        ),
        (|_| Ok(only_target()?.weigh([("shop-1", 1), ("shop-1", 2)])?), "conflict: `shop-1` is given two weights"),
        (
            |_| {
                let shop = only_target()?;
                (1..40).try_for_each(|n| shop.cache_for_ms(n).map(|_| ()))?;
                Ok(String::new())
            },
            "over budget: a plan has at most 32 actions",
        ),
        (
            |_| Ok(only_target()?.roll_out()?),
            "conflict: local:shop has no platform that replaces its instances a few at a time: restart them one by one",
        ),
        (|_| Ok(only_target()?.configure("mode", "x")?), "conflict: local:shop has no setting `mode`; it has none"),
        (|_| Ok(only_target()?.configure("", "x")?), "not found: no setting can be called ``"),
        (|_| Ok(only_target()?.configure("a\nb", "x")?), "not found: no setting can be called `a b`"),
        (
            |_| Ok(only_target()?.configure("mode", &"x".repeat(257))?),
            "conflict: a value of `mode` is one line of at most 256 bytes",
        ),
        (
            |_| Ok(only_target()?.flush("shop:")?),
            "conflict: local:shop cannot throw away entries by that prefix: it stores none, or the prefix is empty",
        ),
        (|_| Ok(only_target()?.flush("")?), "conflict: `` cannot be a prefix: it is one line of 1 to 253 bytes"),
        (
            |_| Ok(only_target()?.flush("a\u{202e}b")?),
            "conflict: `a b` cannot be a prefix: it is one line of 1 to 253 bytes",
        ),
        (|_| Err(failed("no idea")), "failed: no idea"),
        (|args| args.get::<u32>("to").map(|to| to.to_string()), "wrong argument: to is not given and has no default"),
    ];
    for (script, says) in cases {
        assert_eq!(why(&shop(), script), says);
    }
    let without_cache = World::new().target(target("local:shop", 1));
    let says = "conflict: local:shop has no cache that can be steered";
    assert_eq!(why(&without_cache, |_| Ok(only_target()?.cache_for_ms(1)?)), says);
    let says = "not applicable: the service has no target to act on";
    assert_eq!(why(&World::new(), |_| Ok(only_target()?.name())), says);
}

#[test]
fn a_denial_ends_the_plan_also_when_it_is_swallowed() {
    let denied = why(&shop().deny("restart"), |_| {
        let shop = only_target()?;
        let refused = shop.restart("shop-1").unwrap_err();
        assert!(matches!(&refused, HostError::Denied(denial) if denial.capability == "restart"));
        shop.scale_to(3)?;
        Ok("did something milder".to_owned())
    });
    assert_eq!(denied, "denied: restart on local:shop: this world has no grant for it");
}

#[test]
fn calls_fail_as_the_test_says() {
    let late = HostError::TimedOut("no answer".to_owned());
    let blind = shop().fail("incident.target.state", late.clone());
    assert_eq!(
        why(&blind, |_| find_target(|_| true).map(|_| String::new()).map_err(Into::into)),
        "timed out: no answer"
    );

    let second = shop().fail_nth(2, "scale.set-replicas", late);
    let plan = plan(&second, |_| {
        let shop = only_target()?;
        shop.scale_to(3)?;
        assert!(matches!(shop.scale_to(4), Err(HostError::TimedOut(_))));
        shop.scale_to(5)?;
        Ok(String::new())
    });
    plan.unwrap().must_be(["local:shop workers 2 -> 3", "local:shop workers 3 -> 5"]);
}

#[test]
fn the_incident_is_what_the_test_says() {
    let world = shop()
        .service("web")
        .severity(Severity::Critical, 97.0)
        .since_ms(1_000)
        .driver(driver("latency_p95", 0.9, 0.1))
        .tried("scale-out")
        .metric("cpu", 0.5)
        .metric("cpu", 0.9)
        .instance_metric("shop-1", "cpu", 0.8);
    plan(&world, |_| {
        let told = incident();
        assert_eq!(
            (told.service.as_str(), told.severity, told.risk, told.since_ms),
            ("web", Severity::Critical, 97.0, 1_000)
        );
        assert_eq!((told.drivers[0].metric.as_str(), &told.tried[..]), ("latency_p95", &["scale-out".to_owned()][..]));
        assert_eq!((metric("cpu"), metric("memory"), metrics().len()), (Some(0.9), None, 1));
        assert_eq!(metrics_by_instance()[0].metric("cpu"), Some(0.8));
        Ok(String::new())
    })
    .unwrap();
}

#[test]
fn notes_are_read_written_and_forgotten() {
    let plan = plan(&shop().note("last", "3").note("old", "x"), |_| {
        let last: u32 = note("last").and_then(|n| n.parse().ok()).unwrap_or_default();
        remember("last", last + 1)?;
        forget("old");
        assert_eq!((note("last").as_deref(), note("old")), (Some("4"), None));
        Ok(String::new())
    });
    let notes: Vec<_> = plan.unwrap().notes().clone().into_iter().collect();
    assert_eq!(notes, [("last".to_owned(), "4".to_owned())]);
    assert_eq!(
        why(&shop(), |_| remember("k", "x".repeat(17_000)).map(|()| String::new()).map_err(Into::into)),
        "over budget: a playbook may keep 16384 bytes of notes for one service"
    );
    assert_eq!(
        why(&shop(), |_| remember("a\nb", 1).map(|()| String::new()).map_err(Into::into)),
        "conflict: no note can have the key `a b`"
    );
}

#[test]
fn what_was_logged_and_called_is_kept() {
    let shop = shop();
    plan(&shop, |_| {
        debug("looking");
        info(format!("{} target", all_targets().len()));
        warn("two\nlines");
        Ok(String::new())
    })
    .unwrap();
    assert_eq!(shop.log(), ["debug: looking", "info: 1 target", "warn: two lines"]);
    assert_eq!(shop.calls(), ["log.write", "incident.targets", "log.write", "log.write"]);
}

#[test]
fn arguments_are_completed_and_held_to_their_bounds() {
    let echo: fn(&Args) -> Outcome = |args| Ok(format!("{} {}", args.get::<u32>("by")?, args.flag("all")));
    assert_eq!(plan(&shop(), echo).unwrap().summary(), "2 false");
    assert_eq!(plan_with(&shop(), &[("by", "3"), ("all", "true")], echo).unwrap().summary(), "3 true");
    for (name, value, says) in [
        ("too", "1", "playbook scripted has no parameter `too`; it has: by, to, share, for-ms, name, all"),
        ("by", "21", "playbook scripted: by = `21` is not a whole number from 1 to 20"),
        ("to", "0", "playbook scripted: to = `0` is not a whole number of at least 1"),
        ("share", "1.5", "playbook scripted: share = `1.5` is not a number of at most 1"),
        ("for-ms", "-1", "playbook scripted: for-ms = `-1` is not a time in whole milliseconds"),
        ("name", "a\tb", "playbook scripted: name = `a\tb` is not a text of at most 253 bytes"),
        ("all", "yes", "playbook scripted: all = `yes` is not true or false"),
    ] {
        let failure = plan_with(&shop(), &[(name, value)], echo).unwrap_err();
        assert_eq!(failure, Failure::InvalidArgument(says.to_owned()));
    }
}

#[test]
fn settings_are_held_to_bounds_first_and_then_to_the_playbook() {
    assert_eq!(validate::<Scripted>(&[("by", "6")]), Ok(()));
    assert_eq!(validate::<Scripted>(&[("by", "7")]), Err("write by = 6".to_owned()));
    assert!(validate::<Scripted>(&[("by", "70")]).unwrap_err().contains("from 1 to 20"));
}

#[test]
fn a_check_and_a_rule_can_only_look() {
    SCRIPT.set(|_| Ok(only_target()?.scale_to(3)?));
    let doubt = verify::<Scripted>(&shop(), &[]).unwrap_err();
    assert_eq!(doubt, "denied: scale on local:shop: rules only propose; let a playbook do it");
    SCRIPT.set(|_| Ok(only_target()?.state()?.replicas.to_string()));
    assert_eq!(verify::<Scripted>(&shop(), &[]), Ok(()));
}

#[test]
#[should_panic(
    expected = "it decides by something besides its arguments and the host\n    local:shop workers 2 -> 3\n  - 1\n  + 2\n"
)]
fn a_playbook_that_remembers_by_itself_is_found_out() {
    thread_local! {
        static RUNS: Cell<u32> = const { Cell::new(0) };
    }
    let _ = plan(&shop(), |_| {
        only_target()?.scale_to(3)?;
        RUNS.set(RUNS.get() + 1);
        Ok(RUNS.get().to_string())
    });
}

#[test]
#[should_panic(expected = "it called the host more than 200 times")]
fn a_playbook_that_calls_without_end_is_ended() {
    let _ = plan(&shop(), |_| {
        loop {
            let _ = incident();
        }
    });
}

#[test]
#[should_panic(expected = "incident.current was called where there is no host")]
fn outside_of_a_run_there_is_no_host() {
    let _ = incident();
}

#[test]
#[should_panic(expected = "no call `incident.current` can fail; these can: incident.target.state,")]
fn a_call_that_cannot_fail_is_refused() {
    let _ = shop().fail("incident.current", HostError::NotFound(String::new()));
}
