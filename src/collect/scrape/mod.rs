//! Scrape: one page or several in the Prometheus text format, each an instance of the service.
//!
//! Must never fail as a whole because one instance does, hand on what an instance that is gone once said, or compare a
//! counter with that of another process. Called by the collector, once a round.
//!
//! Elapsed time is taken from the monotonic clock at which each page's answer began, not from the wall clock: a clock that
//! is set must not turn into a rate. When no time has passed there is no rate.

mod family;
mod fetch;
mod page;
mod recipe;
mod since;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use reqwest::Url;
use tokio::time::Instant;

use super::{Gathered, ScrapeSettings, Source, SourceError, names};
use crate::model::{Badness, MetricSpec, SourceFault};
use family::Families;
use fetch::{FetchError, Fetcher, Target};
use page::Page;
use recipe::{MOST_METRICS, Nothing, Pages, Part, Recipe};

/// Pages that answered, out of those that are known; always made.
pub const UP_RATIO: &str = "up_ratio";
/// Pages asked at once: enough that a round of hundreds is short, few enough to need no more descriptors than a server.
const AT_ONCE: usize = 16;
/// Most series of one round over all pages: each is some 300 bytes until the round is over, so some 60 MB.
const MOST_SERIES: usize = 200_000;
/// Rounds for which the last page of an instance that does not answer is kept: a restart takes one or two.
const KEPT_ROUNDS: u32 = 10;

/// Pages in the Prometheus text format: one source of a service.
#[derive(Debug)]
pub struct ScrapeSource {
    name: String,
    settings: ScrapeSettings,
    fetcher: Fetcher,
    /// What one read may take; a little less than the collector's deadline, so that one page that stalls is one fault.
    budget: Duration,
    discover: Option<Url>,
    /// From the config, and behind them those that were discovered last.
    fixed: Vec<Target>,
    discovered: Vec<Target>,
    /// Metrics to make; grows with what the pages show when the config names none.
    recipes: BTreeMap<String, Recipe>,
    automatic: bool,
    /// Families that were left out, so that it is said once.
    left_out: BTreeSet<String>,
    /// The last page of each instance.
    earlier: BTreeMap<String, Earlier>,
    /// What was already said in the log.
    said: BTreeSet<String>,
    complaints: Vec<String>,
    /// [`MOST_SERIES`]; less in a test.
    most_series: usize,
}

/// What is kept of an instance for the next round.
#[derive(Debug)]
struct Earlier {
    url: Url,
    at: Instant,
    families: Families,
    silent_rounds: u32,
}

/// An instance's page of this round.
struct Answer {
    target: Target,
    at: Instant,
    families: Families,
}

impl ScrapeSource {
    /// A source that asks the pages of `settings`, each read within `timeout`.
    ///
    /// # Errors
    /// When there is no page to ask, an address is none, a label's value is no glob, or TLS cannot be set up.
    pub fn new(settings: &ScrapeSettings, timeout: Duration) -> Result<Self, SourceError> {
        let first = settings.urls.first().or(settings.discover.as_ref());
        let shown =
            first.and_then(|url| fetch::parse(url).ok()).map_or_else(|| "?".to_owned(), |url| fetch::shown(&url));
        let name = match (settings.urls.len(), &settings.discover) {
            (0, _) => format!("scrape (listed by {shown})"),
            (1, None) => format!("scrape {shown}"),
            (n, None) => format!("scrape {shown} and {} more", n - 1),
            (_, Some(_)) => format!("scrape {shown} and more"),
        };
        let wrong = |why: String| SourceError { source_name: name.clone(), why };
        if first.is_none() {
            return Err(wrong("no page to ask: give `urls`, or `discover`".to_owned()));
        }
        // `up_ratio` is made anyway; its table in the config only says how to read it.
        let asked = settings.metric.iter().filter(|(metric, s)| *metric != UP_RATIO || s.from.is_some());
        let recipes: BTreeMap<String, Recipe> = asked
            .map(|(metric, settings)| Ok((metric.clone(), Recipe::of(metric, settings)?)))
            .collect::<Result<_, String>>()
            .map_err(wrong)?;
        Ok(Self {
            fetcher: Fetcher::new().map_err(wrong)?,
            discover: settings.discover.as_deref().map(fetch::parse).transpose().map_err(wrong)?,
            fixed: fetch::of_urls(&settings.urls).map_err(wrong)?,
            budget: timeout.mul_f64(0.9),
            settings: settings.clone(),
            discovered: Vec::new(),
            automatic: recipes.is_empty(),
            recipes,
            left_out: BTreeSet::new(),
            earlier: BTreeMap::new(),
            said: BTreeSet::new(),
            complaints: Vec::new(),
            most_series: MOST_SERIES,
            name,
        })
    }

    /// The pages to ask in this round. The list may cost a third of the time. When it cannot be had, the last one
    /// stands: pages that are gone fail by themselves.
    async fn targets(&mut self, began: Instant, faults: &mut Vec<SourceFault>) -> Result<Vec<Target>, SourceError> {
        if let Some(url) = &self.discover {
            match self.fetcher.targets(url, began + self.budget / 3).await {
                Ok(found) => self.discovered = found,
                Err(e) if self.fixed.is_empty() && self.discovered.is_empty() => {
                    return Err(SourceError {
                        source_name: self.name.clone(),
                        why: format!("the list at {}: {e}", fetch::shown(url)),
                    });
                }
                Err(e) => faults.push(fault(url, format!("the list of instances: {e}; asking those of the last list"))),
            }
        }
        let fixed: BTreeSet<&str> = self.fixed.iter().map(|target| target.url.as_str()).collect();
        let more = self.discovered.iter().filter(|target| !fixed.contains(target.url.as_str()));
        Ok(self.fixed.iter().chain(more).cloned().collect())
    }

    /// What every instance gives to every metric, and the service's values of that.
    fn make(&mut self, answers: &[Answer], gathered: &mut Gathered) {
        if self.automatic {
            self.learn_recipes(answers);
        }
        for recipe in self.recipes.values_mut() {
            answers.iter().for_each(|answer| recipe.settle(&answer.families));
        }
        self.complaints = Vec::new();
        for recipe in self.recipes.values() {
            let (mut parts, mut wrong_take) = (Vec::new(), false);
            for answer in answers {
                let earlier = self.earlier.get(&answer.target.instance).filter(|e| e.url == answer.target.url);
                let before = earlier.and_then(|earlier| {
                    let seconds = answer.at.saturating_duration_since(earlier.at).as_secs_f64();
                    (seconds > 0.0).then_some((&earlier.families, seconds))
                });
                match recipe.part(Pages { now: &answer.families, before }) {
                    Ok(part) => parts.push((&answer.target.instance, part)),
                    Err(nothing) => wrong_take |= nothing == Nothing::WrongTake,
                }
            }
            for (instance, part) in &parts {
                if let Some(value) = part.value() {
                    gathered.by_instance.entry((*instance).clone()).or_default().insert(recipe.name.clone(), value);
                }
            }
            let parts: Vec<&Part> = parts.iter().map(|(_, part)| part).collect();
            if let Some(value) = recipe.service(&parts) {
                gathered.values.insert(recipe.name.clone(), value);
            }
            let guess = names::guess(&recipe.spoken_name());
            let spec = names::with_settings(guess, self.settings.metric.get(&recipe.name));
            gathered.specs.insert(recipe.name.clone(), spec);
            if wrong_take {
                self.complaints.push(format!(
                    "metric `{}`: that cannot be taken of `{}`; gauges have a value, counters a rate, histograms and \
                     summaries a rate, mean, p50, p95 and p99",
                    recipe.name, recipe.from
                ));
            } else if !self.automatic && !answers.is_empty() && !answers.iter().any(|a| recipe.is_on(&a.families)) {
                self.complaints.push(format!("metric `{}`: no page has the family `{}`", recipe.name, recipe.from));
            }
        }
        for complaint in &self.complaints {
            if self.said.insert(complaint.clone()) {
                tracing::warn!(source = %self.name, "{complaint}");
            }
        }
    }

    /// Takes up what the pages show for the first time. What was once taken up stays, so that a metric does not come and
    /// go with its neighbours.
    fn learn_recipes(&mut self, answers: &[Answer]) {
        let known: BTreeSet<String> = self.recipes.values().map(|recipe| recipe.from.clone()).collect();
        let mut new_left_out = BTreeSet::new();
        let families = answers.iter().flat_map(|answer| &answer.families.by_name);
        for (name, family) in families.filter(|(name, _)| !known.contains(*name) && !self.left_out.contains(*name)) {
            let usual = Recipe::usual(name, family);
            let fresh = usual.iter().filter(|recipe| !self.recipes.contains_key(&recipe.name)).count();
            if self.recipes.len() + fresh > MOST_METRICS {
                // Only so many names: an exporter that makes up new ones forever must not fill the memory.
                if self.left_out.len() + new_left_out.len() < 1000 {
                    new_left_out.insert(name.clone());
                }
                continue;
            }
            for recipe in usual {
                self.recipes.entry(recipe.name.clone()).or_insert(recipe);
            }
        }
        if !new_left_out.is_empty() {
            let some: Vec<&str> = new_left_out.iter().take(10).map(String::as_str).collect();
            tracing::warn!(
                source = %self.name, left_out = new_left_out.len(), some = %some.join(", "),
                "more than {MOST_METRICS} metrics on the page: the rest is left out; name those you want under `metric`"
            );
            self.left_out.append(&mut new_left_out);
        }
    }

    /// Keeps of this round what the next one needs, and lets go of instances that are gone.
    fn remember(&mut self, answers: Vec<Answer>, asked: &BTreeSet<String>) {
        let answered: BTreeSet<String> = answers.iter().map(|answer| answer.target.instance.clone()).collect();
        self.earlier.retain(|instance, earlier| {
            earlier.silent_rounds = if answered.contains(instance) { 0 } else { earlier.silent_rounds + 1 };
            earlier.silent_rounds <= KEPT_ROUNDS
        });
        for Answer { target, at, mut families } in answers {
            let is_newer = self.earlier.get(&target.instance).is_none_or(|e| at > e.at || e.url != target.url);
            if !is_newer || !asked.contains(&target.instance) {
                continue;
            }
            let mut needed = BTreeSet::new();
            self.recipes.values().for_each(|recipe| recipe.needs(&families, &mut needed));
            families.keep(&needed);
            self.earlier.insert(target.instance, Earlier { url: target.url, at, families, silent_rounds: 0 });
        }
    }

    fn up_spec(&self) -> MetricSpec {
        // Just under 1, so that one missing page of any number is past it and a full house never is.
        let spec = MetricSpec { bad: Badness::Low, unit: "ratio".to_owned(), floor: 0.01, limit: Some(0.999_9) };
        names::with_settings(spec, self.settings.metric.get(UP_RATIO))
    }
}

#[async_trait]
impl Source for ScrapeSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        let began = Instant::now();
        let mut gathered = Gathered::default();
        let targets = self.targets(began, &mut gathered.faults).await?;
        let asked: BTreeSet<String> = targets.iter().map(|target| target.instance.clone()).collect();
        let until = began + self.budget;
        let fetcher = &self.fetcher;
        let series = AtomicUsize::new(0);
        let (series, most) = (&series, self.most_series);
        let pages: Vec<(Target, Result<(Instant, Page), FetchError>)> = futures::stream::iter(targets)
            .map(|target| async move {
                let page = fetcher.page(&target.url, until).await.and_then(|(at, page)| {
                    let so_far = series.fetch_add(page.series.len(), Ordering::Relaxed);
                    let fits = so_far + page.series.len() <= most;
                    if fits { Ok((at, page)) } else { Err(FetchError::TooManySeries(most)) }
                });
                (target, page)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;

        let (known, mut answers) = (pages.len(), Vec::new());
        for (target, page) in pages {
            let up = gathered.by_instance.entry(target.instance.clone()).or_default();
            up.insert(UP_RATIO.to_owned(), if page.is_ok() { 1.0 } else { 0.0 });
            match page {
                Ok((at, page)) => {
                    let families = Families::of(page);
                    if families.duplicates > 0 && self.said.insert(format!("duplicates {}", target.instance)) {
                        tracing::warn!(
                            source = %self.name, instance = %target.instance, duplicates = families.duplicates,
                            "series stand on the page more than once; the first of each counts"
                        );
                    }
                    answers.push(Answer { target, at, families });
                }
                Err(e) => gathered.faults.push(fault(&target.url, format!("instance {}: {e}", target.instance))),
            }
        }
        if known == 0 {
            gathered
                .faults
                .push(SourceFault { source: self.name.clone(), why: "the list names no instance".to_owned() });
        }
        gathered.faults.sort_by(|a, b| (&a.source, &a.why).cmp(&(&b.source, &b.why)));
        // Answers come in any order; sums of floats should not.
        answers.sort_by(|a, b| a.target.instance.cmp(&b.target.instance));
        let up = if known == 0 { 0.0 } else { count(answers.len()) / count(known) };
        self.make(&answers, &mut gathered);
        gathered.values.insert(UP_RATIO.to_owned(), up);
        gathered.specs.insert(UP_RATIO.to_owned(), self.up_spec());
        // What was said is bounded by the instances and metrics that there can be; instances may come and go forever.
        if self.said.len() > 10_000 {
            self.said.clear();
        }
        self.remember(answers, &asked);
        Ok(gathered)
    }

    fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }
}

fn fault(url: &Url, why: String) -> SourceFault {
    SourceFault { source: format!("scrape {}", fetch::shown(url)), why }
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}
