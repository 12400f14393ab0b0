//! The client's end: a ticket for a service, and proof of holding it.

use super::context::{Context, End};
use super::{KerberosError, mechanisms};
use crate::security::{Credentials, MechanismContext, Password, Secret};
use crate::wire::pdu::AuthLevel;
use libgssapi::context::{ClientCtx, CtxFlags};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL};

/// Three legs, and tokens without a frame, as DCE RPC has them; libgssapi has
/// no name for it, but hands it on.
///
/// # Source
/// MS-KILE 3.2.5.2; MIT Kerberos' `gssapi_ext.h`.
const DCE_STYLE: CtxFlags = CtxFlags::from_bits_retain(0x1000);

/// Begins to authenticate to the service `target`, `host/server.lab.example`
/// or `host@server.lab.example`, the first with or without `@REALM`.
///
/// The credentials' name may have a realm; without a name the credential cache
/// says who this is. Asks the KDC, here and at the first leg.
///
/// # Errors
/// `NtHash`, `Target` and `Credentials`.
pub fn initiate(
    credentials: &Credentials,
    target: &str,
    level: AuthLevel,
) -> Result<Box<dyn MechanismContext>, KerberosError> {
    let target = service(target)?;
    let ticket = match &credentials.secret {
        Secret::Password(password) => by_password(credentials, password),
        Secret::System => of_the_system(credentials),
        Secret::NtHash(_) => return Err(KerberosError::NtHash),
    };
    let ticket = ticket.map_err(KerberosError::Credentials)?;
    let gss = ClientCtx::new(Some(ticket), target, flags(level), Some(GSS_MECH_KRB5));
    Ok(Box::new(Context::new(gss, level)))
}

impl End for ClientCtx {
    fn take(&mut self, token: &[u8]) -> Result<Vec<u8>, Error> {
        let token = Some(token).filter(|token| !token.is_empty());
        let answer = self.step(token, None)?;
        Ok(answer.map(|token| token.to_vec()).unwrap_or_default())
    }

    fn peer(&self) -> Result<Name, Error> {
        libgssapi::context::SecurityContext::target_name(self)
    }
}

/// What is asked of a context of a level.
fn flags(level: AuthLevel) -> CtxFlags {
    let mut flags = DCE_STYLE
        | CtxFlags::GSS_C_MUTUAL_FLAG
        | CtxFlags::GSS_C_REPLAY_FLAG
        | CtxFlags::GSS_C_SEQUENCE_FLAG;
    if level >= AuthLevel::INTEGRITY {
        flags |= CtxFlags::GSS_C_INTEG_FLAG;
    }
    if level >= AuthLevel::PRIVACY {
        flags |= CtxFlags::GSS_C_CONF_FLAG;
    }
    flags
}

/// The service that `target` names.
///
/// Without a realm the host decides which one it is, as the system knows it;
/// a principal would be taken as one of our own.
fn service(target: &str) -> Result<Name, KerberosError> {
    let none = || KerberosError::Target(target.to_owned());
    let (text, kind) = match (target.split_once('/'), target.contains('@')) {
        (Some(_), true) => (target.to_owned(), GSS_NT_KRB5_PRINCIPAL),
        (Some((service, host)), false) => (format!("{service}@{host}"), GSS_NT_HOSTBASED_SERVICE),
        (None, true) => (target.to_owned(), GSS_NT_HOSTBASED_SERVICE),
        (None, false) => return Err(none()),
    };
    Name::new(text.as_bytes(), Some(kind)).map_err(|_| none())
}

/// A ticket for a password.
fn by_password(credentials: &Credentials, password: &Password) -> Result<Cred, Error> {
    let name = client(credentials)?;
    let password = password.as_str();
    let usage = CredUsage::Initiate;
    Cred::acquire_with_password(name.as_ref(), password, None, usage, Some(&mechanisms()?))
}

/// A ticket of the system's credential cache.
fn of_the_system(credentials: &Credentials) -> Result<Cred, Error> {
    let name = client(credentials)?;
    Cred::acquire(
        name.as_ref(),
        None,
        CredUsage::Initiate,
        Some(&mechanisms()?),
    )
}

/// The principal that the credentials name, if any.
fn client(credentials: &Credentials) -> Result<Option<Name>, Error> {
    let Credentials { user, domain, .. } = credentials;
    if user.is_empty() {
        return Ok(None);
    }
    let principal = match user.contains('@') || domain.is_empty() {
        true => user.clone(),
        false => format!("{user}@{domain}"),
    };
    Name::new(principal.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::NtHash;

    #[test]
    fn the_hash_of_a_password_is_not_taken() {
        let credentials = Credentials {
            user: "alice".into(),
            domain: String::new(),
            secret: Secret::NtHash(NtHash([0; 16])),
        };
        let begun = initiate(
            &credentials,
            "host/server.lab.example",
            AuthLevel::INTEGRITY,
        );
        assert!(matches!(begun, Err(KerberosError::NtHash)));
    }

    #[test]
    fn a_target_without_a_service_is_refused() {
        let error = service("server.lab.example").unwrap_err();
        assert!(matches!(error, KerberosError::Target(_)), "{error}");
        for target in ["host/server", "host@server", "host/server@LAB.EXAMPLE"] {
            service(target).unwrap();
        }
    }

    #[test]
    fn a_context_asks_for_no_more_than_its_level() {
        let [connect, integrity, privacy] =
            [AuthLevel::CONNECT, AuthLevel::INTEGRITY, AuthLevel::PRIVACY].map(flags);
        assert_eq!(connect.bits(), 0x100e);
        assert_eq!(integrity.bits(), 0x102e);
        assert_eq!(privacy.bits(), 0x103e);
    }
}
