//! Who authenticates clients, made of the configuration.

use super::accounts::LiveAccounts;
use super::config::{Require, SecuritySettings};
use crate::proto::SecurityProvider;
use crate::security::ntlm::{Names, Ntlm, NtlmSettings};
use crate::security::spnego::Spnego;
use crate::security::{Account, Accounts, Alone, Mechanism};
use crate::service::{Access, Required};
use std::sync::Arc;

/// No account at all: anonymous logons may be allowed all the same.
#[derive(Debug)]
struct Nobody;

impl Accounts for Nobody {
    fn find(&self, _: &str) -> Option<Account> {
        None
    }
}

/// The mechanisms that are configured, preferred first, each alone and all
/// within SPNEGO; none when nothing is.
pub fn providers(
    settings: &SecuritySettings,
    accounts: Option<Arc<LiveAccounts>>,
    kerberos: Option<Arc<dyn Mechanism>>,
) -> Vec<Arc<dyn SecurityProvider>> {
    let mut mechanisms: Vec<_> = kerberos.into_iter().collect();
    mechanisms.extend(ntlm(settings, accounts));
    let alone = mechanisms
        .iter()
        .map(|mechanism| -> Arc<dyn SecurityProvider> { Arc::new(Alone(mechanism.clone())) });
    let mut providers: Vec<_> = alone.collect();
    if !mechanisms.is_empty() {
        providers.push(Arc::new(Spnego::new(mechanisms)));
    }
    providers
}

/// NTLM, where there is anybody to log on by it.
fn ntlm(
    settings: &SecuritySettings,
    accounts: Option<Arc<LiveAccounts>>,
) -> Option<Arc<dyn Mechanism>> {
    let accounts: Arc<dyn Accounts> = match accounts {
        Some(accounts) => accounts,
        None if settings.anonymous => Arc::new(Nobody),
        None => return None,
    };
    Some(Arc::new(Ntlm::new(NtlmSettings {
        names: Names {
            domain: settings.domain.clone(),
            host: settings.host.clone(),
            dns_domain: settings.dns_domain.clone(),
            dns_host: settings.dns_host.clone(),
        },
        accounts,
        anonymous: settings.anonymous,
        v1: settings.ntlm_v1,
        lm: settings.lm,
    })))
}

/// Who is answered at all.
pub fn access(settings: &SecuritySettings) -> Access {
    Access {
        required: match settings.require {
            Require::Nothing => Required::Nothing,
            Require::Lookups => Required::Lookups,
            Require::Everything => Required::Everything,
        },
        level: settings.level,
    }
}
