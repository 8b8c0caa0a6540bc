//! Accounts and regions of AWS.

/// Credentials and clients, made once for each account and region. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Accounts;
