//! Accounts and regions of AWS: credentials, made once for each `aws` table and shared by sources and targets.
//!
//! Credentials come as they do to AWS's own tools: environment, profile (SSO and credential processes too), web identity
//! (IRSA), container, instance; on top of them a role, where one is named. Must never hang where there is no instance
//! metadata, and never show a secret: not in an error, not in `Debug`. Nothing is asked of AWS before the first use.

mod fault;
pub mod iam;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_autoscaling::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::sync::OnceCell;

pub use fault::Fault;
use iam::Iam;

use super::AwsSettings;

/// Times of a read: the first, and two more where AWS is out of breath.
const READ_ATTEMPTS: u32 = 3;
/// Before the second time, at most; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Never longer, however AWS throttles: the caller has a deadline of its own.
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// How patient calls to AWS are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For a connection to stand, TLS and all.
    pub connect: Duration,
    /// For one attempt at a read.
    pub attempt: Duration,
    /// For a call with all its attempts; a write has one.
    pub operation: Duration,
    /// For credentials to be found: where nothing else has any, the instance is asked, which may not be one.
    pub credentials: Duration,
    /// Between two looks at a change that is under way.
    pub look_every: Duration,
}

impl Default for Pace {
    /// 3 s to connect, 8 s an attempt, 20 s a call, 10 s for credentials, 5 s between looks: six groups that change at once
    /// stay far below what AWS lets an account ask.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            attempt: Duration::from_secs(8),
            operation: Duration::from_secs(20),
            credentials: Duration::from_secs(10),
            look_every: Duration::from_secs(5),
        }
    }
}

/// Credentials and connections, made once for each account and region. Clones share them.
#[derive(Clone, Default)]
pub struct Accounts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    pace: Pace,
    keys: Option<Credentials>,
    http: OnceLock<SharedHttpClient>,
    /// As many as there are different `aws` tables in the configs of this process.
    made: Mutex<BTreeMap<AwsSettings, Arc<OnceCell<SdkConfig>>>>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Accounts").field("pace", &self.0.pace).field("made", &made.len()).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Accounts that are asked with this patience, and with these keys (an access key and its secret) instead of what this
    /// machine has.
    #[must_use]
    pub fn with(pace: Pace, keys: Option<(String, String)>) -> Self {
        let keys = keys.map(|(access, secret)| Credentials::new(access, secret, None, None, "given"));
        Self(Arc::new(Shared { pace, keys, ..Shared::default() }))
    }

    /// How patient calls are.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.0.pace
    }

    /// What clients are made of: region, credentials, connections, timeouts; reads are attempted three times. For a write,
    /// switch that off: [`never_again`].
    ///
    /// # Errors
    /// When no region is known, or what is on this machine cannot be read in time. In words, with the remedy.
    pub async fn config(&self, settings: &AwsSettings) -> Result<SdkConfig, String> {
        let cell = {
            let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(made.entry(settings.clone()).or_default())
        };
        // Not kept when it fails: a profile may be written, a metadata service may come up.
        let load = cell.get_or_try_init(|| self.load(settings));
        match tokio::time::timeout(self.0.pace.credentials, load).await {
            Ok(config) => config.cloned(),
            Err(_) => Err(
                "AWS's settings on this machine could not be read in time: write `region` in the `aws` table, so that \
                 nothing has to be asked for it"
                    .to_owned(),
            ),
        }
    }

    async fn load(&self, settings: &AwsSettings) -> Result<SdkConfig, String> {
        let pace = self.0.pace;
        let http =
            self.0.http.get_or_init(|| Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https());
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(pace.connect)
            .read_timeout(pace.operation)
            .operation_attempt_timeout(pace.attempt)
            .operation_timeout(pace.operation)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(READ_ATTEMPTS)
            .with_initial_backoff(FIRST_PAUSE)
            .with_max_backoff(LAST_PAUSE);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            .timeout_config(timeouts)
            .retry_config(retries)
            .identity_cache(IdentityCache::lazy().load_timeout(pace.credentials).build());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(keys) = &self.0.keys {
            loader = loader.credentials_provider(keys.clone());
        }
        let config = loader.load().await;
        if config.region().is_none() {
            let region =
                "no region of AWS is known: write `region = \"eu-west-1\"` in the `aws` table, or set AWS_REGION";
            return Err(region.to_owned());
        }
        let Some(role) = &settings.role else { return Ok(config) };
        let provider = AssumeRoleProvider::builder(role).session_name("suture").configure(&config).build().await;
        Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build())
    }
}

/// The retries of a write: none, for what was sent may have been done. Its one attempt has the time of the whole call.
#[must_use]
pub fn never_again(pace: Pace) -> (RetryConfig, TimeoutConfig) {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(pace.connect)
        .read_timeout(pace.operation)
        .operation_attempt_timeout(pace.operation)
        .operation_timeout(pace.operation)
        .build();
    (RetryConfig::disabled(), timeouts)
}

/// A piece of AWS's own words that is safe to show: one line, no control or direction-changing characters, at most `most`
/// characters.
#[must_use]
pub fn excerpt(text: &str, most: usize) -> String {
    let plain = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    let shown: String = text.chars().take(most).map(|c| if plain(c) { c } else { ' ' }).collect();
    let shown = shown.trim();
    if text.chars().nth(most).is_some() { format!("{shown}...") } else { shown.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_show_no_secret() {
        let keys = Some(("AKID".to_owned(), "s3cr3t".to_owned()));
        let shown = format!("{:?}", Accounts::with(Pace::default(), keys));
        assert!(shown.starts_with("Accounts { pace: Pace") && !shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn an_excerpt_is_one_harmless_line() {
        assert_eq!(excerpt("a\nb\x1b[31m\u{202e}c ", 60), "a b [31m c");
        assert_eq!(excerpt("abcdef", 3), "abc...");
    }

    #[tokio::test]
    async fn the_same_table_is_made_once_and_a_given_region_needs_nobody() {
        let accounts = Accounts::default();
        let settings = AwsSettings { region: Some("eu-west-1".to_owned()), ..AwsSettings::default() };
        for _ in 0..2 {
            let config = accounts.config(&settings).await.unwrap();
            assert_eq!(config.region().unwrap().as_ref(), "eu-west-1");
        }
        assert_eq!(accounts.0.made.lock().unwrap().len(), 1);
    }
}
