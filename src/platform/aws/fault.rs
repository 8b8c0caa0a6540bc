//! Why a call to AWS failed, in the few ways that make a difference: was it sent, was it refused, may it have been done.
//!
//! Must never show what a signature or a token is made of: of errors about those only the code is shown.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_autoscaling::config::http::HttpResponse;
use aws_sdk_autoscaling::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;

use super::{Iam, excerpt};

/// Most of AWS's own words in one of our errors.
const MOST_WORDS: usize = 300;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not allowed; the text names the missing right. Nothing happened.
    #[error("{0}")]
    Denied(String),
    /// Too many calls. Nothing happened.
    #[error("AWS asks us to slow down")]
    Throttled(Option<Duration>),
    /// No such thing, in AWS's words. Nothing happened.
    #[error("{0}")]
    NotFound(String),
    /// Something else is under way there. Nothing happened.
    #[error("{code}: {words}")]
    Busy {
        /// AWS's name for it: `ResourceContention`.
        code: String,
        /// AWS's words.
        words: String,
    },
    /// AWS does not do that, in its words. Nothing happened.
    #[error("{0}")]
    Refused(String),
    /// It never went out: no connection, no credentials. Nothing happened.
    #[error("{0}")]
    NotSent(String),
    /// No answer in time. It may have happened.
    #[error("no answer from AWS in time")]
    TimedOut,
    /// It went out, and what came back is no answer. It may have happened.
    #[error("{0}")]
    Unknown(String),
}

impl Fault {
    /// What this error of the SDK means; the call needed the right `iam`.
    pub fn of<E>(error: &SdkError<E, HttpResponse>, iam: Iam) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ConstructionFailure(_) => {
                Self::NotSent(format!("the call of {iam} could not be made: {}", root(error)))
            }
            SdkError::TimeoutError(_) => Self::TimedOut,
            SdkError::DispatchFailure(failure) => match not_sent(error) {
                Some(why) => Self::NotSent(why),
                None if failure.is_timeout() => Self::TimedOut,
                None => Self::Unknown(format!("the connection broke: {}", root(error))),
            },
            SdkError::ResponseError(response) => {
                Self::Unknown(format!("AWS answered {} and nothing that can be read", response.raw().status().as_u16()))
            }
            SdkError::ServiceError(service) => {
                let raw = service.raw();
                let wait =
                    raw.headers().get("retry-after").and_then(|v| v.trim().parse().ok()).map(Duration::from_secs);
                let meta = service.err().meta();
                answered(raw.status().as_u16(), meta.code(), meta.message().unwrap_or_default(), wait, iam)
            }
            _ => Self::Unknown(root(error)),
        }
    }
}

/// What an answer with an error code means.
fn answered(status: u16, code: Option<&str>, words: &str, wait: Option<Duration>, iam: Iam) -> Fault {
    let code = code.unwrap_or_default();
    // EC2's way of saying it, and the query protocol's.
    let code = code.trim_start_matches("Client.").trim_end_matches("Exception").trim_end_matches("Fault");
    let code = excerpt(code, 80);
    let words = excerpt(words, MOST_WORDS);
    match code.as_str() {
        "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" => {
            Fault::Denied(format!("the credentials lack {iam}: allow it in their IAM policy. {words}"))
        }
        // What AWS says here may hold the request that was signed, with its session token.
        "ExpiredToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClient"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "InvalidSignature"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenFailure"
        | "InvalidToken"
        | "OptInRequired"
        | "RequestExpired" => Fault::Denied(format!(
            "AWS does not accept the credentials ({code}): renew them, look at the `profile` and `role` of the `aws` \
             table, and at this machine's clock. {iam} was asked"
        )),
        "Throttling"
        | "Throttled"
        | "ThrottledRequest"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "SlowDown"
        | "PriorRequestNotComplete"
        | "BandwidthLimitExceeded" => Fault::Throttled(wait),
        "ResourceContention" | "ScalingActivityInProgress" | "ResourceInUse" | "InstanceRefreshInProgress" => {
            Fault::Busy { code, words }
        }
        _ if status == 429 => Fault::Throttled(wait),
        _ if code.ends_with("NotFound") || says_not_found(&code, &words) => Fault::NotFound(words),
        _ if status == 401 || status == 403 => {
            Fault::Denied(format!("the credentials lack {iam} ({status} {code}): allow it in their IAM policy"))
        }
        // A code of the client's side is an answer: it was understood and not done.
        _ if (400..500).contains(&status) && !code.is_empty() => Fault::Refused(format!("{code}: {words}")),
        "" => Fault::Unknown(format!("AWS answered {status} and nothing that can be read")),
        _ => Fault::Unknown(format!("AWS answered {status} {code}: {words}")),
    }
}

/// Auto Scaling says `ValidationError` of a name that it does not know.
fn says_not_found(code: &str, words: &str) -> bool {
    code == "ValidationError" && words.to_ascii_lowercase().contains("not found")
}

/// Why the call cannot have reached AWS, if it cannot.
fn not_sent(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(denied) = find::<AssumeRoleError>(error).map(ProvideErrorMetadata::code) {
        return Some(role_refused("sts:AssumeRole", denied));
    }
    if let Some(denied) = find::<AssumeRoleWithWebIdentityError>(error).map(ProvideErrorMetadata::code) {
        return Some(role_refused("sts:AssumeRoleWithWebIdentity", denied));
    }
    let texts = chain(error).any(|error| error.to_string().starts_with("identity resolver timed out"));
    if let Some(credentials) = find::<CredentialsError>(error) {
        return Some(no_credentials(&credentials.to_string()));
    }
    if texts {
        return Some(no_credentials("nobody gave any in time"));
    }
    // Until the connection stands, nothing is sent over it.
    let connecting = find::<hyper_util::client::legacy::Error>(error)?;
    connecting.is_connect().then(|| format!("no connection: {}", root(error)))
}

fn role_refused(what: &str, code: Option<&str>) -> String {
    let code = excerpt(code.unwrap_or("no reason given"), 80);
    format!("the role cannot be taken on ({code}): its trust policy has to allow {what} to who asks")
}

fn no_credentials(why: &str) -> String {
    format!(
        "no credentials for AWS ({why}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile` in the `aws` \
         table, or give this machine or pod a role"
    )
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    // Bounded: an error that is its own source would be a bug, and no reason to hang.
    std::iter::successors(Some(error), |&error| error.source()).take(32)
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(<dyn Error>::downcast_ref::<T>)
}

/// What lies at the bottom of an error.
fn root(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map_or_else(String::new, |error| excerpt(&error.to_string(), MOST_WORDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(status: u16, code: &str, words: &str) -> Fault {
        answered(status, Some(code).filter(|code| !code.is_empty()), words, None, Iam::SetDesiredCapacity)
    }

    #[test]
    fn a_denial_names_the_right() {
        for code in ["AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation", "UnauthorizedOperation"] {
            let Fault::Denied(text) = with(403, code, "User: arn:aws:iam::1:user/x is not authorized") else {
                panic!("{code}")
            };
            assert!(text.contains("autoscaling:SetDesiredCapacity") && text.contains("user/x"), "{text}");
        }
        assert!(matches!(with(403, "SomethingNew", ""), Fault::Denied(_)));
    }

    #[test]
    fn words_about_a_signature_are_not_repeated() {
        for code in [
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "ExpiredTokenException",
            "UnrecognizedClientException",
        ] {
            let fault = with(403, code, "x-amz-security-token:FwoGZXIvYXdz");
            let Fault::Denied(text) = &fault else { panic!("{fault:?}") };
            assert!(!text.contains("FwoGZ") && text.contains("renew"), "{text}");
        }
    }

    #[test]
    fn what_may_have_happened_is_told_from_what_did_not() {
        assert_eq!(with(400, "Throttling", ""), Fault::Throttled(None));
        assert_eq!(with(503, "RequestLimitExceeded", ""), Fault::Throttled(None));
        assert!(matches!(with(400, "ValidationError", "AutoScalingGroup name not found"), Fault::NotFound(_)));
        assert!(matches!(with(400, "TargetGroupNotFound", ""), Fault::NotFound(_)));
        assert!(matches!(with(400, "ValidationError", "desired capacity above max"), Fault::Refused(_)));
        assert!(matches!(with(400, "ResourceContentionFault", ""), Fault::Busy { .. }));
        assert!(matches!(with(500, "InternalFailure", ""), Fault::Unknown(_)));
        assert!(matches!(with(503, "ServiceUnavailable", ""), Fault::Unknown(_)));
        // A 400 that AWS did not write, as from a proxy, is no answer of AWS.
        assert!(matches!(with(400, "", ""), Fault::Unknown(_)));
    }
}
