use super::*;
use proptest::prelude::*;

fn ok(text: &str) -> Command {
    parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn refused(text: &str) -> String {
    parse(text).map(|c| panic!("{text:?} was taken for {c:?}")).unwrap_err().to_string()
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
        assert_eq!(ok(text), Command::Approve { incident: Some(inc(1)) }, "{text}");
    }
    assert_eq!(ok("approve"), Command::Approve { incident: None });
    assert_eq!(ok("keep run-12"), Command::Keep { run: RunId(12) });
    for text in
        ["approve 0", "approve -1", "approve +1", "approve 99999999999999999999", "approve RUN-1", "approve \"1\""]
    {
        assert!(refused(text).contains("is not an incident like INC-1"), "{text}");
    }
    assert!(refused("rollback INC-1").contains("is not a run like RUN-1 or 1"));
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
    for text in ["/suture status", "suture status", "@suture status", "@Suture: STATUS", "  /SUTURE\u{a0}status"] {
        assert_eq!(ok(text), Command::Status { service: None }, "{text}");
    }
    assert_eq!(ok("/suture"), Command::Help { verb: None });
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
    assert_eq!(ok("\u{feff}approve\u{a0}1\u{200b}"), Command::Approve { incident: Some(inc(1)) });
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

fn a_name() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9_.-]{0,20}"
}

/// Words with single spaces, of everything that a keyboard has, quotes and backslashes among it.
fn a_reason() -> impl Strategy<Value = String> {
    proptest::collection::vec(r#"[!-~äß€👍]{1,8}"#, 0..6).prop_map(|words| words.join(" "))
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
        proptest::option::of(1..u64::MAX),
        proptest::option::of(a_when()),
        proptest::option::of(a_when()),
        proptest::option::of(1..=1000_u32),
    )
        .prop_map(|(service, actor, kind, incident, since, until, limit)| AuditQuery {
            service: service.map(ServiceId),
            actor,
            kind,
            incident: incident.map(IncidentId),
            since,
            until,
            limit,
        })
}

fn a_command() -> impl Strategy<Value = Command> {
    let incident = || (1..u64::MAX).prop_map(IncidentId);
    let run = || (1..u64::MAX).prop_map(RunId);
    let service = || a_name().prop_map(ServiceId);
    let args = proptest::collection::btree_map("[a-z_-]{1,10}", a_reason(), 0..5);
    prop_oneof![
        proptest::option::of(service()).prop_map(|service| Command::Status { service }),
        incident().prop_map(|incident| Command::Show { incident }),
        proptest::option::of(incident()).prop_map(|incident| Command::Approve { incident }),
        (proptest::option::of(incident()), a_reason())
            .prop_map(|(incident, reason)| Command::Reject { incident, reason }),
        (run(), a_reason()).prop_map(|(run, reason)| Command::Rollback { run, reason }),
        run().prop_map(|run| Command::Keep { run }),
        (incident(), proptest::option::of((a_name(), args))).prop_map(|(incident, with)| {
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
            Just(Command::Resume),
            Just(Command::Whoami),
            Just(Command::Quit),
        ],
    ]
}

proptest! {
    #[test]
    fn what_is_written_canonically_parses_back(command in a_command()) {
        prop_assert_eq!(parse(&command.to_string()), Ok(command));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text).map_err(|e| e.to_string());
    }

    #[test]
    fn no_text_that_begins_well_makes_it_panic(
        verb in proptest::sample::select(COMMANDS.iter().map(|c| c.verb).collect::<Vec<_>>()),
        rest in "[ -~\u{a0}\u{201c}\u{2013}\n\u{1b}é]{0,40}",
    ) {
        match parse(&format!("{verb} {rest}")) {
            // Whatever it was taken for, its canonical form means the same.
            Ok(command) => prop_assert_eq!(parse(&command.to_string()), Ok(command)),
            Err(e) => prop_assert!(e.column <= MAX_CHARS + 1 && e.word.chars().count() <= 40, "{e:?}"),
        }
    }
}
