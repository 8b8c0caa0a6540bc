//! The loader as people meet it: files in `cases/`, each with the text that it gives beside it.
//!
//! `UPDATE=1 cargo test config::` writes the texts afresh; look at the difference before keeping it.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// What loading the text as `suture.toml` says, as it is shown to people.
fn said(bytes: &[u8]) -> String {
    match loader::load(bytes, Path::new("suture.toml"), &Known::default()) {
        Ok(config) => {
            let warnings: String = config.warnings.iter().map(|w| format!("{w}\n\n")).collect();
            format!("{warnings}loads, {}\n", count_in_words(&config.warnings))
        }
        Err(errors) => format!("{errors}\n"),
    }
}

#[test]
fn every_case_says_what_its_text_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    cases.sort();
    assert!(cases.len() >= 20, "the cases are not where they should be");
    let mut wrong = Vec::new();
    for case in cases {
        let said = said(&fs::read(&case).unwrap());
        let expected = case.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("--- {} says:\n{said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("suture.toml"))
}

fn only_problem(result: Result<Config, ConfigErrors>) -> Problem {
    let errors = result.unwrap_err();
    assert_eq!(errors.problems().len(), 1, "{errors}");
    errors.problems()[0].clone()
}

mod files {
    use super::*;

    #[test]
    fn a_missing_file_names_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let problem = only_problem(Config::load(&folder.path().join("suture.toml")));
        assert_eq!(problem.message, "there is no such file");
        assert!(problem.help.unwrap().contains("suture init"));
    }

    #[test]
    fn a_folder_is_not_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let problem = only_problem(Config::load(folder.path()));
        assert_eq!(problem.message, "this is a folder, not a file");
    }

    #[test]
    fn ten_megabytes_are_refused_by_size_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suture.toml");
        fs::write(&path, vec![b'#'; 10 << 20]).unwrap();
        let problem = only_problem(Config::load(&path));
        assert_eq!(problem.message, "this file is larger than 1024 KiB");
    }

    #[test]
    fn a_file_without_the_right_to_read_it_says_so() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let problem = loader::unreadable(Path::new("suture.toml"), &denied);
        assert_eq!(problem.message, "this file may not be read");
        let odd = loader::unreadable(Path::new("suture.toml"), &std::io::Error::other("the disk is on fire"));
        assert_eq!(odd.message, "this file cannot be read: the disk is on fire");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_not_opened() {
        let problem = only_problem(Config::load(Path::new("/dev/zero")));
        assert_eq!(problem.message, "this is not a regular file");
    }

    #[test]
    fn paths_are_relative_to_the_file_and_the_digest_is_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suture.toml");
        fs::create_dir(folder.path().join("mine")).unwrap();
        fs::write(folder.path().join("mine/dance.wasm"), b"").unwrap();
        let text = "\u{feff}[[service]]\nname = \"shop\"\nplaybooks = [\"dance\"]\n[[service.source]]\nkind = \"host\"\n\
                    [plugins]\nplaybooks_dir = \"mine\"\n";
        fs::write(&path, text).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.suture.data_dir, folder.path().join("suture-data"));
        assert_eq!(config.plugins.playbooks_dir, Some(folder.path().join("mine")));
        assert_eq!(config.digest, Digest::of(text.as_bytes()));
        assert!(config.services[0].uses_playbook("dance") && !config.services[0].uses_playbook("scale-out"));
        assert_eq!(config.place_of(&Spot::PlaybooksDir), format!("{}:7", path.display()));
    }
}

#[test]
fn a_hostile_file_is_given_up_after_a_hundred_problems() {
    let keys: String = (0..5_000).map(|n| format!("key{n} = 1\n")).collect();
    let errors = parse(&format!("[[service]]\nname = \"shop\"\n{keys}")).unwrap_err();
    assert_eq!(errors.problems().len(), 101);
    assert!(errors.to_string().contains("stopped after 100 problems"));
}

#[test]
fn nothing_of_a_secret_is_ever_shown() {
    let text = "[[service]]\nname = \"shop\"\npassword = hunter2\ntoken = \"hunter2\"\n";
    let broken = parse(text).unwrap_err().to_string();
    let text = text.replace("= hunter2", "= \"hunter2\"");
    let whole = parse(&format!(
        "{text}mode = \"http://u:hunter2@x/\"\n[[service.source]]\nkind = \"http://u:hunter2@x/ http://v:hunter2@y/\"\n"
    ))
    .unwrap_err();
    let json = serde_json::to_string(whole.problems()).unwrap();
    for said in [broken, whole.to_string(), json] {
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn any_bytes_give_problems_and_no_panic() {
    use proptest::prelude::*;
    let piece = prop_oneof![
        Just("[[service]]\n".to_owned()),
        Just("[service.detect]\n".to_owned()),
        Just("[[service.source]]\n".to_owned()),
        Just("[[target]]\n".to_owned()),
        Just("[[grant]]\n".to_owned()),
        "(name|kind|interval|targets|who|raise|floor|metric|labels|detect|source|allow|max_share)(\\.[a-z]{1,6})? = ",
        "(\"[^\"\\\\]{0,9}\"|-?[0-9]{1,22}|nan|\\[\\]|\\[\"local:x\", 3\\]|\\{ a = 1 \\}|true)\n",
        "\\PC{0,12}",
        Just("\n".to_owned()),
    ];
    proptest!(|(pieces in proptest::collection::vec(piece, 0..40))| {
        let text = pieces.concat();
        for bytes in [text.as_bytes(), text.as_bytes().get(1..).unwrap_or_default()] {
            if let Err(errors) = loader::load(bytes, Path::new("suture.toml"), &Known::default()) {
                prop_assert!(!errors.problems().is_empty());
                prop_assert!(errors.problems().iter().any(|p| p.level == Level::Error), "{}", text);
                prop_assert!(!errors.to_string().chars().any(|c| c.is_control() && c != '\n'));
            }
        }
    });
}

mod starter {
    use super::*;
    use crate::act::{AsgSettings, KubernetesSettings};
    use crate::collect::{
        CloudwatchMetric, CloudwatchSettings, HostSettings, KubernetesSourceSettings, MetricSettings, ProbeSettings,
        PromqlMetric, PromqlSettings, ScrapeSettings,
    };
    use crate::platform::ClusterSettings;
    use serde::de::{self, Deserialize, Deserializer, Visitor};

    /// The starter with every setting that is off switched on.
    fn everything() -> String {
        let on = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '-']) => setting.to_owned(),
            _ => line.to_owned(),
        };
        STARTER.lines().map(|line| on(line) + "\n").collect()
    }

    #[test]
    fn it_runs_as_it_is() {
        let config = parse(STARTER).unwrap();
        assert_eq!(config.warnings, []);
        assert_eq!(config.services[0].mode, Mode::Observe);
        assert_eq!(config.services[0].sources, [SourceSettings::Host(HostSettings::default())]);
        assert!(config.targets.is_empty());
    }

    #[test]
    fn the_defaults_it_shows_are_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        for dir in ["playbooks", "rules", "chaos"] {
            fs::create_dir(folder.path().join(dir)).unwrap();
        }
        let path = folder.path().join("suture.toml");
        let shown = Config::parse(&everything(), &path).unwrap_or_else(|e| panic!("{e}"));
        let as_is = Config::parse(STARTER, &path).unwrap();
        assert_eq!(shown.warnings, []);
        assert_eq!(shown.suture, as_is.suture);
        assert_eq!(shown.chat.console, as_is.chat.console);
        assert!(shown.chat.slack.is_some() && shown.chat.discord.is_some() && shown.chat.reader.is_some());
        assert_eq!((shown.people.len(), shown.freezes.len()), (1, 1));
        let mut host = shown.services[0].clone();
        (host.approval.escalate_after, host.approval.escalate_to, host.windows) = (None, Vec::new(), Vec::new());
        host.playbooks = None;
        host.rules = None;
        host.sources = as_is.services[0].sources.clone();
        assert_eq!(host, as_is.services[0]);
        let shortest = "[[target]]\nname = \"local:shop\"\ncommand = [\"./shop\", \"{port}\"]\n";
        let shortest = Config::parse(&format!("{STARTER}\n{shortest}"), &path).unwrap();
        let TargetConfig::Local(mut target) = shown.targets[0].clone() else { panic!() };
        let TargetConfig::Local(default) = shortest.targets[0].clone() else { panic!() };
        target.cache = None;
        target.faults = None;
        target.command = default.command.clone();
        assert_eq!(target, default);
    }

    #[test]
    fn every_key_of_every_table_is_in_it() {
        let text = everything();
        let mut missing = Vec::new();
        let mut check = |table: &str, fields: &'static [&'static str]| {
            assert!(!fields.is_empty(), "{table} has no fields: is it a struct still?");
            for field in fields {
                let is_there = text.lines().any(|line| {
                    line.starts_with(&format!("{field} = "))
                        || line.starts_with('[') && line.split(['[', ']', '.']).any(|part| part == *field)
                });
                if !is_there {
                    missing.push(format!("{table}: {field}"));
                }
            }
        };
        check("suture", fields_of::<Daemon>());
        check("service", fields_of::<ServiceSettings>());
        check("service.source host", fields_of::<HostSettings>());
        check("service.source scrape", fields_of::<ScrapeSettings>());
        check("service.source.metric", fields_of::<MetricSettings>());
        check("service.source promql", fields_of::<PromqlSettings>());
        check("service.source.metric of promql", fields_of::<PromqlMetric>());
        check("service.source probe", fields_of::<ProbeSettings>());
        check("service.source cloudwatch", fields_of::<CloudwatchSettings>());
        check("service.source.metric of cloudwatch", fields_of::<CloudwatchMetric>());
        check("service.source kubernetes", fields_of::<KubernetesSourceSettings>());
        check("service.detect", fields_of::<DetectSettings>());
        check("service.guard", fields_of::<GuardSettings>());
        check("service.approve", fields_of::<ApproveSettings>());
        check("service.verify", fields_of::<VerifySettings>());
        check("target local", fields_of::<LocalSettings>());
        check("target k8s", fields_of::<KubernetesSettings>());
        check("target asg", fields_of::<AsgSettings>());
        check("cluster", fields_of::<ClusterSettings>());
        check("discover", fields_of::<DiscoverSettings>());
        check("grant", fields_of::<Grant>());
        check("plugins", fields_of::<Plugins>());
        check("plugins.limits", fields_of::<LimitSettings>());
        check("chat", fields_of::<Chat>());
        check("chat.slack", fields_of::<SlackSettings>());
        check("chat.discord", fields_of::<DiscordSettings>());
        check("chat.reader", fields_of::<ReaderTable>());
        check("allow", fields_of::<AllowSettings>());
        check("person", fields_of::<PersonSettings>());
        check("freeze", fields_of::<Freeze>());
        check("chaos", fields_of::<ChaosSettings>());
        check("chaos.schedule", fields_of::<ScheduleSettings>());
        assert!(missing.is_empty(), "not in starter.toml: {missing:?}");
    }

    /// The keys that serde knows for a settings struct.
    fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
        let mut fields: &'static [&'static str] = &[];
        let _ = T::deserialize(Fields(&mut fields));
        fields
    }

    /// Writes down the fields it is asked for, and fails.
    struct Fields<'f>(&'f mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("only structs have fields"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(de::Error::custom("seen"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
}
