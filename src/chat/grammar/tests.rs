use super::*;
use proptest::prelude::*;

fn ok(text: &str) -> Command {
    parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn refused(text: &str) -> String {
    parse(text).map(|c| panic!("{text:?} was taken for {c:?}")).unwrap_err().to_string()
}

fn approve(incident: Option<u64>, code: Option<&str>) -> Command {
    Command::Approve { incident: incident.map(IncidentId), code: code.and_then(OneTimeCode::new) }
}

fn inc(n: u64) -> IncidentId {
    IncidentId(n)
}

#[test]
fn every_example_of_the_table_parses_to_its_verb() {
    for help in COMMANDS {
        let command = ok(help.example);
        assert_eq!(command.verb(), help.verb);
        assert_eq!(command.changes_something(), help.changes);
    }
}

#[test]
fn ids_as_people_type_them() {
    for text in ["approve 1", "approve INC-1", "APPROVE inc-1", "Approve  #1 ", "approve INC\u{2013}1"] {
        assert_eq!(ok(text), approve(Some(1), None), "{text}");
    }
    assert_eq!(ok("approve"), approve(None, None));
    assert_eq!(ok("keep run-12"), Command::Keep { run: RunId(12) });
    for text in
        ["approve 0", "approve -1", "approve +1", "approve 99999999999999999999", "approve RUN-1", "approve \"1\""]
    {
        assert!(refused(text).contains("is not an incident like INC-1"), "{text}");
    }
    assert!(refused("keep INC-1").contains("is not a run like RUN-1 or 1"));
}

#[test]
fn components_are_accepted_by_name_and_digest() {
    let accept = |digest: Option<&str>| Command::Accept { name: "scale-out".into(), digest: digest.map(str::to_owned) };
    assert_eq!(ok("accept scale-out"), accept(None));
    assert_eq!(ok("ACCEPT scale-out 2E8796CDB389"), accept(Some("2e8796cdb389")));
    assert_eq!(ok("enable scale-out"), Command::Enable { name: "scale-out".into() });
    assert!(refused("accept scale-out 2e8").contains("is not a digest: 8 to 64 hexadecimal digits"));
    assert!(refused("accept").contains("usage: accept NAME [DIGEST]"));
    assert!(refused("enable a b").contains("usage: enable NAME"));
}

#[test]
fn a_name_of_ours_in_front_may_stand_or_not() {
    for text in [
        "/suture status",
        "suture status",
        "@suture status",
        "@Suture: STATUS",
        "  /SUTURE\u{a0}status",
        "Suture, status",
        "<@U0BOT> status",
        "<@U0BOT|the bot>: status",
        "<@!123456> suture, status",
        "<@123456>\u{a0}status",
    ] {
        assert_eq!(ok(text), Command::Status { service: None }, "{text}");
    }
    assert_eq!(ok("/suture"), Command::Help { verb: None });
    assert_eq!(ok("<@U0BOT>"), Command::Help { verb: None });
    for text in ["<@U0BOT status", "<#C123> status", "<@U0BOT> <@U1> status", "<@U$> status", "suture suture status"] {
        assert!(refused(text).contains("is not a command"), "{text}");
    }
}

#[test]
fn a_reason_is_what_follows_the_id() {
    let reject = |n: Option<u64>, reason: &str| Command::Reject { incident: n.map(IncidentId), reason: reason.into() };
    assert_eq!(ok("reject"), reject(None, ""));
    assert_eq!(ok("reject 1"), reject(Some(1), ""));
    assert_eq!(ok("reject 1 too   risky"), reject(Some(1), "too risky"));
    assert_eq!(ok("reject too risky"), reject(None, "too risky"));
    assert_eq!(ok("reject \"5 minutes too late\""), reject(None, "5 minutes too late"));
    assert_eq!(ok("reject 1 \u{201c}too risky\u{201d}"), reject(Some(1), "too risky"));
    assert_eq!(ok("reject 1 it\u{2019}s wrong"), reject(Some(1), "it's wrong"));
    assert_eq!(ok("reject 1 he said \"no\" twice"), reject(Some(1), "he said \"no\" twice"));
    assert_eq!(ok("reject 1 'a' and 'b'"), reject(Some(1), "'a' and 'b'"));
    assert_eq!(ok("reject 'tis late"), reject(None, "'tis late"));
    assert_eq!(ok(r#"stop "a \"b\" \\ c""#), Command::Stop { reason: r#"a "b" \ c"#.into() });
    assert_eq!(ok(r"stop C:\temp is full"), Command::Stop { reason: r"C:\temp is full".into() });
}

#[test]
fn false_alarms_and_deploys() {
    let wrong = |reason: &str| Command::FalseAlarm { incident: inc(7), reason: reason.into() };
    assert_eq!(ok("false-alarm INC-7"), wrong(""));
    assert_eq!(ok("/suture FALSE-ALARM 7 the nightly   backup"), wrong("the nightly backup"));
    assert!(refused("false-alarm").contains("the incident is missing"));
    assert!(refused("false-alarm shop").contains("is not an incident like INC-1"));
    assert!(refused("false alarm INC-7").contains("did you mean `false-alarm`?"));
    assert!(refused("false\u{2013}alarm INC-7").contains("did you mean `false-alarm`?"));

    let deployed = |settle: Option<u64>, note: &str| Command::Deployed {
        service: "shop".into(),
        settle: settle.map(Duration::from_secs),
        note: note.into(),
    };
    assert_eq!(ok("deployed shop"), deployed(None, ""));
    assert_eq!(ok("deployed shop 10m"), deployed(Some(600), ""));
    assert_eq!(ok("deployed shop 10m \"release 1.4\""), deployed(Some(600), "release 1.4"));
    assert_eq!(ok("deployed shop 1h release 1.4"), deployed(Some(3600), "release 1.4"));
    assert_eq!(ok("deployed shop release 1.4"), deployed(None, "release 1.4"));
    assert_eq!(ok("deployed shop \"10m\""), deployed(None, "10m"));
    for text in ["deployed shop 90m", "deployed shop 1.4", "deployed shop 0s", "deployed shop 10", "deployed shop 2d x"]
    {
        assert!(refused(text).contains("is not a time of at most 1h, like 10m"), "{text}");
    }
    assert!(refused("deployed").contains("usage: deployed SERVICE [FOR] [NOTE]"));
    assert!(refused("deploy shop").contains("did you mean `deployed`?"));
}

#[test]
fn what_looks_like_an_id_and_is_none_never_becomes_the_reason() {
    for text in ["reject INC-x too risky", "reject RUN-1 no", "reject #a", "reject 0 no"] {
        assert!(refused(text).contains("is not an incident"), "{text}");
    }
}

#[test]
fn plans_with_arguments() {
    let Command::Plan { incident, playbook, args } = ok("plan 2 scale-out to=4 note=\"two words\" why='x y'") else {
        panic!("no plan");
    };
    assert_eq!((incident, playbook.as_deref()), (inc(2), Some("scale-out")));
    let args: Vec<_> = args.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(args, [("note", "two words"), ("to", "4"), ("why", "x y")]);
    assert!(refused("plan 2 scale-out to=4 to=5").contains("`to=5` (column 23) was already given"));
    assert!(refused("plan 2 scale-out 4").contains("is not KEY=VALUE, like to=4"));
    assert!(refused("plan 2 scale-out =4").contains("is not KEY=VALUE"));
}

fn playbook_args(args: &[(&str, &str)]) -> Args {
    args.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_dry_run_and_a_plan_are_told_apart_by_the_first_word() {
    let dry_run =
        Command::DryRun { playbook: "scale-out".into(), service: "shop".into(), args: playbook_args(&[("to", "4")]) };
    assert_eq!(ok("plan scale-out shop to=4"), dry_run);
    assert_eq!(ok("dry-run scale-out shop to=4"), dry_run);
    assert!(!dry_run.changes_something());
    for text in ["plan INC-1 scale-out to=4", "plan 1 scale-out to=4", "plan #1 scale-out to=4"] {
        assert!(matches!(ok(text), Command::Plan { .. }) && ok(text).changes_something(), "{text}");
    }
    for text in ["plan INC-x scale-out", "plan RUN-3 shop", "plan #x", "plan 0 scale-out"] {
        assert!(refused(text).contains("is not an incident like INC-1"), "{text}");
    }
    assert!(refused("plan scale-out").ends_with("usage: dry-run PLAYBOOK SERVICE [KEY=VALUE ...]"));
    assert!(refused("plan").contains("the incident or playbook is missing"));
}

#[test]
fn a_playbook_is_run_on_a_service() {
    let run =
        Command::Run { playbook: "scale-out".into(), service: "shop".into(), args: playbook_args(&[("to", "4")]) };
    assert_eq!(ok("run scale-out shop to=4"), run);
    assert!(run.changes_something());
    assert!(refused("run scale-out").contains("the service is missing"));
    assert!(refused("run scale-out shop 4").contains("is not KEY=VALUE, like to=4"));
}

#[test]
fn what_is_taken_back_is_a_run_or_the_last_of_an_incident() {
    let rollback = |of, reason: &str| Command::Rollback { of, reason: reason.into() };
    assert_eq!(ok("rollback 3"), rollback(RunOrIncident::Run(RunId(3)), ""));
    assert_eq!(ok("rollback run-3 worse"), rollback(RunOrIncident::Run(RunId(3)), "worse"));
    assert_eq!(ok("rollback inc\u{2013}7 worse"), rollback(RunOrIncident::LastOf(inc(7)), "worse"));
    for text in ["rollback shop", "rollback RUN-0", "rollback RUN-x"] {
        assert!(refused(text).contains("is not a run like RUN-1 or 1, or an incident like INC-1"), "{text}");
    }
    assert!(refused("rollback INC-x").contains("is not an incident like INC-1"));
    assert!(refused("show RUN-3").contains("did you mean `audit run:RUN-3`?"));
    assert!(!refused("show 0").contains("did you mean"));
}

#[test]
fn a_one_time_code_is_taken_and_never_shown() {
    assert_eq!(ok("approve code:123456"), approve(None, Some("123456")));
    assert_eq!(ok("approve INC-1 Code:01234567"), approve(Some(1), Some("01234567")));
    assert_eq!(ok("approve code:123456 INC-1"), approve(Some(1), Some("123456")));
    for command in [ok("approve 1 code:123456"), ok("approve code:123456")] {
        assert!(!format!("{command} {command:?}").contains("123456"), "{command:?}");
        let Command::Approve { code: Some(code), .. } = command else { panic!("no code") };
        assert_eq!(code.expose(), "123456");
    }
    assert_eq!(ok("approve 1 code:123456").to_string(), "approve INC-1");
    let secrets = ["123456", "9876543"];
    for text in [
        "approve 123456",
        "approve #123456",
        "approve 1 123456",
        "approve 1 \"123456\"",
        "approve 1 code:9876543210",
        "approve 1 code:98765 43",
        "approve 1 code:123456 code:123456",
        "approve 1 code 123456",
        "approve 1 code: 123456",
        "approve code:\"123 456\"",
    ] {
        let error = refused(text);
        assert!(!secrets.iter().any(|secret| error.contains(secret)), "{text}: {error}");
    }
    assert!(refused("approve 123456").contains("write INC- in front of an incident"));
    assert_eq!(ok("approve INC-123456"), approve(Some(123_456), None));
}

#[test]
fn muting_has_an_end() {
    let mute = |what, secs| Command::Mute { what, span: Duration::from_secs(secs) };
    let shop = || ServiceOrIncident::Service("shop".into());
    assert_eq!(ok("mute shop"), mute(shop(), 3600));
    assert_eq!(ok("mute shop 24h"), mute(shop(), 86_400));
    assert_eq!(ok("mute inc-7 30m"), mute(ServiceOrIncident::Incident(inc(7)), 1800));
    assert_eq!(ok("mute 7"), mute(ServiceOrIncident::Incident(inc(7)), 3600));
    assert_eq!(ok("unmute shop"), Command::Unmute { what: shop() });
    assert_eq!(ok("unmute INC-7"), Command::Unmute { what: ServiceOrIncident::Incident(inc(7)) });
    for text in ["mute shop 25h", "mute shop 0s", "mute shop forever", "mute shop 30", "mute shop \"1h\""] {
        assert!(refused(text).contains("is not a time of at most 24h"), "{text}");
    }
    assert!(refused("mute").contains("the service or incident is missing"));
    for text in ["mute RUN-3", "mute 0", "mute \"7\"", "mute #x"] {
        assert!(refused(text).contains("is not an incident"), "{text}");
    }
    assert!(refused("unmute shop 1h").contains("is too much here"));
}

#[test]
fn who_may_do_what() {
    let can = |who, what: &str| Command::Can { who, what: what.into(), service: "shop".into() };
    let mention = |id: &str| Who::Mention(id.into());
    assert_eq!(ok("can me restart shop"), can(Who::Me, "restart"));
    assert_eq!(ok("can @me APPROVE shop"), can(Who::Me, "approve"));
    assert_eq!(ok("can <@U123> scale shop"), can(mention("U123"), "scale"));
    assert_eq!(ok("can <@U123|Anna S> chaos run shop"), can(mention("U123"), "chaos run"));
    assert_eq!(ok("can <@!123> \"audit verify\" shop"), can(mention("123"), "audit verify"));
    assert_eq!(ok("can unix:1000 mode shop"), can(Who::Id("unix:1000".into()), "mode"));
    for text in [
        "can anna scale shop",
        "can @anna scale shop",
        "can <@> scale shop",
        "can slack: scale shop",
        "can \"me\" scale shop",
    ] {
        assert!(refused(text).contains("is not a person: me, a mention, or an id"), "{text}");
    }
    assert!(refused("can me restrat shop").contains("did you mean `restart`?"));
    assert!(refused("can me scale").contains("the service is missing"));
    assert!(refused("can me").contains("what they may do is missing"));
}

#[test]
fn faults_on_purpose() {
    let run = |secs: Option<u64>| Command::ChaosRun {
        name: "memory-leak".into(),
        service: Some("shop".into()),
        span: secs.map(Duration::from_secs),
    };
    assert_eq!(ok("chaos run memory-leak shop"), run(None));
    assert_eq!(ok("chaos run memory-leak on shop"), run(None));
    assert_eq!(ok("Chaos RUN memory-leak shop for:30s"), run(Some(30)));
    let half_a_minute = Some(Duration::from_secs(30));
    let anywhere = Command::ChaosRun { name: "latency".into(), service: None, span: half_a_minute };
    assert_eq!(ok("chaos run latency for:30s"), anywhere);
    assert_eq!(ok("chaos stop"), Command::ChaosStop { what: None });
    assert_eq!(ok("chaos stop exp-3"), Command::ChaosStop { what: Some(ExperimentOr::One(ExperimentId(3))) });
    assert_eq!(ok("chaos stop shop"), Command::ChaosStop { what: Some(ExperimentOr::All("shop".into())) });
    assert_eq!(ok("chaos report latency"), Command::ChaosReport { what: Some(ExperimentOr::All("latency".into())) });
    let one = Some(ExperimentId(3));
    assert_eq!(ok("approve EXP-3"), Command::ChaosApprove { experiment: one });
    assert_eq!(ok("chaos approve 3"), Command::ChaosApprove { experiment: one });
    assert_eq!(ok("reject exp-3 not now"), Command::ChaosReject { experiment: one, reason: "not now".into() });
    assert_eq!(ok("chaos reject not now"), Command::ChaosReject { experiment: None, reason: "not now".into() });
    assert!(refused("reject exp-x not now").contains("is not an experiment like EXP-1 or 1"));
    assert!(!ok("chaos list").changes_something() && !ok("chaos report").changes_something());
    assert!(run(None).changes_something() && ok("chaos stop").changes_something());
    for text in [
        "chaos run latency shop 30s",
        "chaos run latency shop for:2h",
        "chaos run latency shop for:",
        "chaos run a b x:1s",
    ] {
        assert!(refused(text).contains("is not a time of at most 1h, like for:30s"), "{text}");
    }
    assert!(
        refused("chaos")
            .contains("what to do (list, describe, plan, run, approve, reject, stop, report or score) is missing")
    );
    assert!(refused("chaos rnu latency shop").contains("did you mean `chaos run`?"));
    assert!(refused("chaos run").ends_with("usage: chaos run EXPERIMENT [SERVICE] [for:SPAN]"));
    assert!(refused("chaos list shop").contains("is too much here"));
    assert_eq!(ok("help chaos run"), Command::Help { verb: Some("chaos run".into()) });
    assert!(refused("help chaos").contains("did you mean `help chaos list`?"));
}

#[test]
fn audits_by_page_and_as_a_file() {
    let query =
        AuditQuery { action: Some(ActionKind::Scale), run: Some(RunId(3)), page: Some(2), ..AuditQuery::default() };
    assert_eq!(ok("audit action:Scale run:RUN-3 page:2"), Command::Audit(query.clone()));
    assert_eq!(ok("audit CSV action:scale run:3 page:2"), Command::AuditCsv(query));
    assert_eq!(ok("audit csv"), Command::AuditCsv(AuditQuery::default()));
    assert!(!ok("audit csv").changes_something());
    assert!(refused("audit page:0").contains("from page:1"));
    assert!(refused("audit run:INC-3").contains("is not a run"));
    assert!(refused("audit action:restrat").contains("did you mean `action:restart`?"));
    assert!(refused("audit csv since:soon").ends_with("usage: audit csv [FILTER ...]"));
    assert!(refused("audit since:1h csv").contains("is not a filter like service:shop"));
}

#[test]
fn charts_and_audits() {
    assert_eq!(
        ok("chart shop latency_p95 5m"),
        Command::Chart { service: "shop".into(), metric: "latency_p95".into(), since: Some(Duration::from_secs(300)) }
    );
    let Command::Audit(query) = ok("audit service:shop Actor:\"Anna S\" since:1h until:2026-11-02 limit:20") else {
        panic!("no audit");
    };
    assert_eq!(query.actor.as_deref(), Some("Anna S"));
    assert_eq!(query.since, Some(When::Ago(Duration::from_secs(3600))));
    assert_eq!(query.until, Some(When::At(Timestamp(1_793_577_600_000))));
    assert_eq!(query.limit, Some(20));
    assert_eq!(ok("audit"), Command::Audit(AuditQuery::default()));
    assert_eq!(ok("AUDIT Verify"), Command::AuditVerify);
    assert!(refused("audit servce:shop").contains("did you mean `service:shop`?"));
    assert!(refused("audit verfy").contains("did you mean `verify`?"));
    assert!(refused("audit verify now").contains("`now` (column 14) is too much here"));
    assert!(refused("audit limit:0").contains("from limit:1 to limit:1000"));
    assert!(refused("audit since:soon").contains("is not a time: write 30min"));
    assert!(refused("chart shop latency_p95 0s").contains("is not a span of time"));
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_a_way_out() {
    assert_eq!(refused("aprove 1"), "`aprove` (column 1) is not a command; did you mean `approve`?");
    assert_eq!(refused("  undo 1"), "`undo` (column 3) is not a command; did you mean `rollback`?");
    assert_eq!(refused("show"), "the incident is missing (column 5)\nusage: show INCIDENT");
    assert_eq!(
        refused("mode shop aprove"),
        "`aprove` (column 11) is not a mode: observe, approve or auto; did you mean `approve`?\n\
         usage: mode SERVICE observe|approve|auto"
    );
    assert_eq!(refused("resume now"), "`now` (column 8) is too much here\nusage: resume");
    assert_eq!(
        refused("help aprove"),
        "`aprove` (column 6) is not a command; did you mean `help approve`?\nusage: help [COMMAND]"
    );
    assert!(refused("stop \"never closed").contains("`\"never` (column 6) opens a quote that is not closed"));
    assert!(refused("status sh$op").contains("is not the name of a service"));
    assert_eq!(refused(""), "nothing to do: type `help` for what there is");
    assert_eq!(refused("xyzzy"), "`xyzzy` (column 1) is not a command");
}

#[test]
fn hidden_characters_are_refused_by_name() {
    assert!(refused("approve \u{1b}[31m1").contains("(escape, U+001B)"));
    assert!(refused("approve 1\u{202e}2").contains("(right-to-left override, U+202E)"));
    assert!(refused("approve 1\napprove 2").contains("line end: one command at a time"));
    assert!(refused("stop \0").contains("(null, U+0000)"));
    // A trailing line end is how lines arrive.
    assert_eq!(ok("resume\r\n"), Command::Resume);
    // What phones and chat clients slip in counts as a space.
    assert_eq!(ok("\u{feff}approve\u{a0}1\u{200b}"), approve(Some(1), None));
}

#[test]
fn long_texts_are_refused() {
    assert!(refused(&"a".repeat(2001)).contains("longer than the 2000 characters"));
    assert!(refused(&"é".repeat(100_000)).contains("longer than the 2000 characters"));
    assert!(refused(&format!("stop {}", "a".repeat(501))).contains("a reason of more than 500 characters"));
    let error = parse(&"a".repeat(1999)).unwrap_err();
    assert!(error.word.chars().count() <= 40);
}

#[test]
fn help_knows_every_verb() {
    assert_eq!(ok("help audit verify"), Command::Help { verb: Some("audit verify".into()) });
    assert_eq!(ok("? approve"), Command::Help { verb: Some("approve".into()) });
    for help in COMMANDS {
        assert_eq!(ok(&format!("help {}", help.verb)), Command::Help { verb: Some(help.verb.to_owned()) });
    }
}

#[test]
fn the_table_for_the_readme_has_a_line_for_each() {
    let table = super::super::command::commands_markdown();
    assert_eq!(table.lines().count(), COMMANDS.len() + 2);
    assert!(table.contains(r"| `mode SERVICE observe\|approve\|auto` |"));
}

/// Not one that is an id: of a service `inc-7` nobody could say what is meant.
fn a_name() -> impl Strategy<Value = String> {
    let is_an_id = |name: &str| ["inc-", "run-"].iter().any(|prefix| number_behind(prefix, name).is_some());
    "[a-zA-Z][a-zA-Z0-9_.-]{0,20}".prop_filter("no id", move |name| !is_an_id(name))
}

/// Words with single spaces, of everything that a keyboard has, quotes and backslashes among it.
fn a_reason() -> impl Strategy<Value = String> {
    proptest::collection::vec(r#"[!-~äß€👍]{1,8}"#, 0..6).prop_map(|words| words.join(" "))
}

fn an_experiment() -> impl Strategy<Value = ExperimentId> {
    (1..10_000_u64).prop_map(ExperimentId)
}

fn a_span() -> impl Strategy<Value = Duration> {
    (1..200_000_000_u64, 0..1_000_000_000_u32).prop_map(|(s, ns)| Duration::new(s, ns))
}

fn a_when() -> impl Strategy<Value = When> {
    prop_oneof![a_span().prop_map(When::Ago), (0..4_000_000_000_000_i64).prop_map(|ms| When::At(Timestamp(ms))),]
}

fn a_query() -> impl Strategy<Value = AuditQuery> {
    (
        proptest::option::of(a_name()),
        proptest::option::of(a_reason().prop_filter("an actor is somebody", |a| !a.is_empty())),
        proptest::option::of("[a-z][a-z-]{0,15}"),
        proptest::option::of(proptest::sample::select(ActionKind::ALL.to_vec())),
        (proptest::option::of(1..u64::MAX), proptest::option::of(1..u64::MAX)),
        proptest::option::of(a_when()),
        proptest::option::of(a_when()),
        (proptest::option::of(1..=1000_u32), proptest::option::of(1..=MAX_PAGE)),
    )
        .prop_map(|(service, actor, kind, action, (incident, run), since, until, (limit, page))| AuditQuery {
            service: service.map(ServiceId),
            actor,
            kind,
            action,
            incident: incident.map(IncidentId),
            run: run.map(RunId),
            since,
            until,
            limit,
            page,
        })
}

fn a_command() -> impl Strategy<Value = Command> {
    let incident = || (1..u64::MAX).prop_map(IncidentId);
    let run = || (1..u64::MAX).prop_map(RunId);
    let service = || a_name().prop_map(ServiceId);
    let args = || proptest::collection::btree_map("[a-z_-]{1,10}", a_reason(), 0..5);
    let muted = || {
        prop_oneof![service().prop_map(ServiceOrIncident::Service), incident().prop_map(ServiceOrIncident::Incident)]
    };
    let who = prop_oneof![
        Just(Who::Me),
        "[A-Z0-9]{1,20}".prop_map(Who::Mention),
        "(slack|discord|unix):[A-Za-z0-9_.-]{1,20}".prop_map(Who::Id),
    ];
    let verbs = COMMANDS.iter().map(|c| c.verb).chain(ActionKind::ALL.map(ActionKind::name));
    let what = proptest::sample::select(verbs.collect::<Vec<_>>()).prop_map(str::to_owned);
    prop_oneof![
        proptest::option::of(service()).prop_map(|service| Command::Status { service }),
        incident().prop_map(|incident| Command::Show { incident }),
        proptest::option::of(incident()).prop_map(|incident| Command::Approve { incident, code: None }),
        (proptest::option::of(incident()), a_reason())
            .prop_map(|(incident, reason)| Command::Reject { incident, reason }),
        (prop_oneof![run().prop_map(RunOrIncident::Run), incident().prop_map(RunOrIncident::LastOf)], a_reason())
            .prop_map(|(of, reason)| Command::Rollback { of, reason }),
        (a_name(), service(), args()).prop_map(|(playbook, service, args)| Command::DryRun { playbook, service, args }),
        (a_name(), service(), args()).prop_map(|(playbook, service, args)| Command::Run { playbook, service, args }),
        (muted(), 1..=LONGEST_MUTE.as_secs())
            .prop_map(|(what, s)| { Command::Mute { what, span: Duration::from_secs(s) } }),
        muted().prop_map(|what| Command::Unmute { what }),
        (who, what, service()).prop_map(|(who, what, service)| Command::Can { who, what, service }),
        (a_name(), proptest::option::of(service()), proptest::option::of(1..=LONGEST_FAULT.as_secs()))
            .prop_filter("filler", |(_, service, _)| service
                .as_ref()
                .is_none_or(|s| s.0 != "on" && !s.0.starts_with("for:")))
            .prop_map(|(name, service, s)| Command::ChaosRun { name, service, span: s.map(Duration::from_secs) }),
        proptest::option::of(an_experiment()).prop_map(|experiment| Command::ChaosApprove { experiment }),
        (proptest::option::of(an_experiment()), a_reason())
            .prop_map(|(experiment, reason)| Command::ChaosReject { experiment, reason }),
        proptest::option::of(prop_oneof![
            an_experiment().prop_map(ExperimentOr::One),
            service().prop_map(ExperimentOr::All)
        ])
        .prop_map(|what| Command::ChaosStop { what }),
        proptest::option::of(prop_oneof![
            an_experiment().prop_map(ExperimentOr::One),
            a_name().prop_map(ExperimentOr::All)
        ])
        .prop_map(|what| Command::ChaosReport { what }),
        a_name().prop_map(|name| Command::ChaosDescribe { name }),
        a_query().prop_map(Command::AuditCsv),
        run().prop_map(|run| Command::Keep { run }),
        (incident(), proptest::option::of((a_name(), args()))).prop_map(|(incident, with)| {
            let (playbook, args) = with.map_or((None, Args::new()), |(playbook, args)| (Some(playbook), args));
            Command::Plan { incident, playbook, args }
        }),
        (incident(), a_reason()).prop_map(|(incident, reason)| Command::Close { incident, reason }),
        (incident(), a_reason()).prop_map(|(incident, reason)| Command::FalseAlarm { incident, reason }),
        (service(), proptest::option::of((1..3600_u64, 0..1_000_000_000_u32)), a_reason()).prop_map(
            |(service, settle, note)| {
                let settle = settle.map(|(s, ns)| Duration::new(s, ns));
                Command::Deployed { service, settle, note }
            }
        ),
        (service(), a_name(), proptest::option::of(a_span())).prop_map(|(service, metric, since)| Command::Chart {
            service,
            metric,
            since
        }),
        service().prop_map(|service| Command::Metrics { service }),
        a_query().prop_map(Command::Audit),
        (service(), prop_oneof![Just(Mode::Observe), Just(Mode::Approve), Just(Mode::Auto)])
            .prop_map(|(service, mode)| Command::Mode { service, mode }),
        a_reason().prop_map(|reason| Command::Stop { reason }),
        (0..COMMANDS.len()).prop_map(|i| Command::Help { verb: Some(COMMANDS[i].verb.to_owned()) }),
        prop_oneof![
            Just(Command::Incidents),
            Just(Command::Playbooks),
            Just(Command::AuditVerify),
            Just(Command::ChaosList),
            Just(Command::ChaosScore),
            Just(Command::Resume),
            Just(Command::Whoami),
            Just(Command::Quit),
        ],
    ]
}

/// Words of the grammar, whole and broken, in any order.
fn a_line() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "INC-1",
        "run-2",
        "#3",
        "4",
        "0",
        "shop",
        "scale-out",
        "to=4",
        "key=\"a b\"",
        "=",
        "key=",
        "5m",
        "for:30s",
        "for:",
        "25h",
        "code:123456",
        "code:",
        "123456",
        "<@U1>",
        "<@U1|a b>",
        "<@!1>",
        "<@",
        ">",
        "me",
        "@me",
        "slack:U1",
        "unix:",
        "observe",
        "restart",
        "latency",
        "list",
        "report",
        "verify",
        "csv",
        "since:1h",
        "page:2",
        "limit:0",
        "action:scale",
        "run:RUN-1",
        "actor:\"A B\"",
        "\"",
        "\"two words\"",
        "'",
        "'x'",
        "\\",
        "/suture",
        "suture,",
        "\u{2013}",
        "\u{201c}",
        "\u{a0}",
        "\u{202e}",
    ];
    let verbs: Vec<&str> = COMMANDS.iter().flat_map(|c| c.verb.split(' ').chain(c.usage.split(' '))).collect();
    let part = prop_oneof![
        3 => proptest::sample::select(verbs.clone()).prop_map(str::to_owned),
        3 => proptest::sample::select(PARTS.to_vec()).prop_map(str::to_owned),
        1 => "[ -~\u{e9}]{0,6}",
    ];
    let verb = proptest::sample::select(COMMANDS.iter().map(|c| c.verb).collect::<Vec<_>>());
    (verb, proptest::collection::vec(part, 0..7)).prop_map(|(verb, parts)| format!("{verb} {}", parts.join(" ")))
}

/// Whatever a text is taken for, its canonical form means the same; what is refused is refused within bounds.
fn is_sound(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(Command::Approve { incident, code }) => {
            let canonical = Command::Approve { incident, code: None };
            let said = Command::Approve { incident, code }.to_string();
            prop_assert_eq!(parse(&said), Ok(canonical), "{}", text);
        }
        Ok(command) => prop_assert_eq!(parse(&command.to_string()), Ok(command), "{}", text),
        Err(e) => {
            prop_assert!(e.column <= MAX_CHARS + 1 && e.word.chars().count() <= 40, "{text:?}: {e:?}");
            let shown = e.to_string();
            prop_assert!(!shown.chars().any(|c| c != '\n' && c.is_control()), "{text:?}: {shown:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_written_canonically_parses_back(command in a_command()) {
        prop_assert_eq!(parse(&command.to_string()), Ok(command));
    }

    #[test]
    fn any_text_is_taken_or_refused(text in any::<String>()) {
        is_sound(&text)?;
    }

    #[test]
    fn any_words_of_the_grammar_are_taken_or_refused(line in a_line()) {
        is_sound(&line)?;
    }

    /// A command with one character changed, doubled or left out.
    #[test]
    fn a_slip_in_a_command_is_taken_or_refused(command in a_command(), at in 0..60_usize, slip in 0..4_usize, c in any::<char>()) {
        let mut chars: Vec<char> = command.to_string().chars().collect();
        let at = at % chars.len();
        match slip {
            0 => chars[at] = c,
            1 => chars.insert(at, c),
            2 => { chars.remove(at); }
            _ => chars.truncate(at),
        }
        is_sound(&chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn no_text_that_begins_well_makes_it_panic(
        verb in proptest::sample::select(COMMANDS.iter().map(|c| c.verb).collect::<Vec<_>>()),
        rest in "[ -~\u{a0}\u{201c}\u{2013}\n\u{1b}é]{0,40}",
    ) {
        is_sound(&format!("{verb} {rest}"))?;
    }
}
