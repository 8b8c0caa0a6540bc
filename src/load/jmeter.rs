//! JMeter as the engine: the plans of `jmeter/`, which this binary carries, run by `jmeter/run.sh`, which knows where
//! JMeter is and how to start it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::plan::Run;
use super::{LoadError, Site, Summary, read_jtl};

/// What is in `jmeter/`, but for what people read.
const FILES: [(&str, &str); 6] = [
    ("run.sh", include_str!("../../jmeter/run.sh")),
    ("JMeterOnDebian.java", include_str!("../../jmeter/JMeterOnDebian.java")),
    ("normal.jmx", include_str!("../../jmeter/normal.jmx")),
    ("stress.jmx", include_str!("../../jmeter/stress.jmx")),
    ("spike.jmx", include_str!("../../jmeter/spike.jmx")),
    ("soak.jmx", include_str!("../../jmeter/soak.jmx")),
];

/// JMeter, with the plans in a folder of its own.
#[derive(Debug)]
pub struct JMeter {
    folder: PathBuf,
}

impl JMeter {
    /// Writes the plans into this folder, which is made. What JMeter writes goes there too.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn unpack(folder: &Path) -> Result<Self, LoadError> {
        let failed = |path: &Path, e: std::io::Error| LoadError::Write { path: path.to_owned(), why: e.to_string() };
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        for (name, text) in FILES {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|e| failed(&path, e))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Is there a JMeter that can be started?
    ///
    /// # Errors
    /// When there is none, with how to get one.
    pub async fn find(&self) -> Result<(), LoadError> {
        let output = self.script(&["--find"]).output().await.map_err(cannot_start)?;
        if output.status.success() {
            return Ok(());
        }
        Err(LoadError::JMeter(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// Runs a plan to its end; `name` is what its files are called. Dropped, JMeter ends too.
    ///
    /// # Errors
    /// When JMeter does not run to its end, or its results cannot be read.
    pub async fn run(&self, run: &Run, site: &Site, name: &str) -> Result<Summary, LoadError> {
        let out = self.folder.join(name);
        std::fs::create_dir_all(&out).map_err(|e| LoadError::Write { path: out.clone(), why: e.to_string() })?;
        let words = out.join("said.txt");
        let failed = |e: std::io::Error| LoadError::Write { path: words.clone(), why: e.to_string() };
        let said = std::fs::File::create(&words).map_err(failed)?;
        let errors = said.try_clone().map_err(failed)?;
        let (port, seconds) = (site.port().to_string(), run.duration().as_secs().to_string());
        let out_text = out.display().to_string();
        // It is judged here, by the same rule as the other engine.
        let arguments =
            ["--host", site.host(), "--port", &port, "--duration", &seconds, "--out", &out_text, "--no-limits"];
        let mut command = self.script(&arguments);
        command.arg(run.plan().name).stdin(Stdio::null()).stdout(said).stderr(errors);
        let mut group = Group(command.spawn().map_err(cannot_start)?);
        let status = group.0.wait().await.map_err(cannot_start)?;
        if !status.success() {
            return Err(LoadError::JMeter(format!("it ended with {status}; what it said is in {}", words.display())));
        }
        Ok(read_jtl(&out.join(format!("{}.jtl", run.plan().name)))?.summary(run.duration()))
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("bash");
        command.arg(self.folder.join("run.sh")).args(arguments);
        // A group of its own: Ctrl-C in the terminal reaches us alone, and we end all of it.
        command.process_group(0).kill_on_drop(true);
        command
    }
}

fn cannot_start(error: std::io::Error) -> LoadError {
    LoadError::JMeter(format!("bash cannot be started: {error}"))
}

/// The script and the JVM that it started.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Not waited for yet: then the number is still its own, and so is the group's.
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{PLANS, Plan};
    use super::*;

    const SCRIPT: &str = FILES[0].1;

    #[test]
    fn the_script_has_the_limits_of_the_plans() {
        for plan in PLANS {
            let limits =
                format!("{}) echo \"{} {}\"", plan.name, plan.limits.errors_percent, plan.limits.p95.as_millis());
            assert!(SCRIPT.contains(&limits), "run.sh lacks: {limits}");
            assert!(FILES.iter().any(|(name, _)| *name == format!("{}.jmx", plan.name)));
        }
    }

    /// A JMeter that writes what it was told to, as JMeter would, or does what `body` says.
    fn fake(dir: &Path, body: &str) -> JMeter {
        let jmeter = JMeter::unpack(dir).unwrap();
        std::fs::write(dir.join("run.sh"), body).unwrap();
        jmeter
    }

    fn run() -> Run {
        Plan::named("normal").unwrap().lasting(Duration::from_secs(4)).unwrap()
    }

    fn site() -> Site {
        "http://127.0.0.1:8080".parse().unwrap()
    }

    #[tokio::test]
    async fn it_is_told_where_and_how_long_and_its_results_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let body = "[ \"$1 $2 $3 $4 $5 $6 $9 ${10}\" = '--host 127.0.0.1 --port 8080 --duration 4 --no-limits normal' ] || exit 9\n\
                    printf 'timeStamp,elapsed,responseCode,success\\n1,7,200,true\\n' > \"$8/normal.jtl\"\n";
        let got = fake(dir.path(), body).run(&run(), &site(), "normal-on").await.unwrap();
        assert_eq!((got.good, got.throughput), (1, 0.25));
        let error = fake(dir.path(), "exit 3").run(&run(), &site(), "x").await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("said.txt"), "{error}");
    }

    #[tokio::test]
    async fn dropped_it_takes_its_children_along() {
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready");
        let body = format!("sleep 600 & echo $! > {0}.part; mv {0}.part {0}; wait", ready.display());
        let jmeter = fake(dir.path(), &body);
        let (run, site) = (run(), site());
        let child = tokio::select! {
            ended = jmeter.run(&run, &site, "x") => panic!("{ended:?}"),
            pid = async {
                loop {
                    if let Ok(pid) = std::fs::read_to_string(&ready) {
                        break pid;
                    }
                    tokio::task::yield_now().await;
                }
            } => pid,
        };
        let stat = PathBuf::from(format!("/proc/{}/stat", child.trim()));
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z"));
        while lives() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_machine_without_jmeter_is_told_how_to_get_one() {
        let dir = tempfile::tempdir().unwrap();
        let jmeter = fake(dir.path(), "echo 'no JMeter here: apt-get install jmeter' >&2; exit 2");
        assert!(jmeter.find().await.unwrap_err().to_string().contains("apt-get install jmeter"));
    }
}
