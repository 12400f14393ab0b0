//! How connections are asked for: how calls are written, and who asks.

use super::{Encoding, Failure};
use crate::proto::{ClientEvent, Leg, LegOutcome, ProtocolError, SecurityContext, SecurityError};
use crate::wire::pdu::{AuthLevel, AuthType};
use crate::wire::status::{FaultStatus, RejectReason};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// How connections are asked for.
///
/// An [`Encoding`] alone stands for anonymous connections.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How calls are written.
    pub encoding: Encoding,
    /// How the client shows who it is; `None` for anonymous.
    pub authentication: Option<Authentication>,
}

impl Settings {
    /// The same, authenticated.
    pub fn authenticate(self, authentication: Authentication) -> Self {
        Settings {
            authentication: Some(authentication),
            ..self
        }
    }
}

impl From<Encoding> for Settings {
    fn from(encoding: Encoding) -> Self {
        Settings {
            encoding,
            authentication: None,
        }
    }
}

impl From<&Settings> for Settings {
    fn from(settings: &Settings) -> Self {
        settings.clone()
    }
}

/// A security context, or why there is none.
pub type Begun = Result<Box<dyn SecurityContext>, Box<dyn Error + Send + Sync>>;

/// What begins the security context of a connection.
type Begin = dyn Fn(AuthLevel) -> Begun + Send + Sync;

/// How a client shows who it is: the same way on every connection.
///
/// A server that does not go along is not asked: there is no way back to
/// anonymous, or to another level.
#[derive(Clone)]
pub struct Authentication {
    /// The authentication type.
    auth_type: AuthType,
    /// How much is protected.
    auth_level: AuthLevel,
    /// Begins a security context.
    begin: Arc<Begin>,
}

impl Authentication {
    /// By contexts of a type, at level connect, packet, integrity or privacy.
    ///
    /// `begin` makes one for each connection, at the level that it is given. It
    /// may wait, for a key distribution center for example, and so may the legs
    /// of its contexts: both are done on a thread for that.
    pub fn new(
        auth_type: AuthType,
        auth_level: AuthLevel,
        begin: impl Fn(AuthLevel) -> Begun + Send + Sync + 'static,
    ) -> Self {
        Authentication {
            auth_type,
            auth_level,
            begin: Arc::new(begin),
        }
    }

    /// The authentication type.
    pub fn auth_type(&self) -> AuthType {
        self.auth_type
    }

    /// How much is protected.
    pub fn auth_level(&self) -> AuthLevel {
        self.auth_level
    }

    /// Has a leg taken.
    ///
    /// # Errors
    /// `Logon` when there is no security context to begin with.
    pub(super) async fn take(&self, leg: Leg) -> Result<LegOutcome, Failure> {
        let begin = self.begin.clone();
        let taken = spawn_blocking(move || {
            let mut context = match leg.context {
                Some(context) => context,
                None => begin(leg.auth_level).map_err(|error| Failure::Logon(error.to_string()))?,
            };
            let answer = context.proceed(&leg.token);
            Ok(answer.map(|answer| (context, answer)))
        });
        taken.await.unwrap_or(Ok(Err(LOST)))
    }

    /// What an event means that is not the one waited for. `is_logged_on` tells
    /// whether the server has taken the logon already.
    pub(super) fn failure(&self, event: &ClientEvent, is_logged_on: bool) -> Option<Failure> {
        Some(match event {
            ClientEvent::Refused(RejectReason::AUTHENTICATION_TYPE_NOT_RECOGNIZED)
            | ClientEvent::Broken(ProtocolError::Unauthenticated) => {
                Failure::NoAuthentication(self.auth_type)
            }
            ClientEvent::Refused(reason @ RejectReason::INVALID_CHECKSUM) => {
                Failure::LogonRefused(Refusal::Nak(*reason))
            }
            ClientEvent::Fault { status, .. } if !is_logged_on && means_logon(*status) => {
                Failure::LogonRefused(Refusal::Fault(*status))
            }
            ClientEvent::Broken(ProtocolError::Denied(reason)) => {
                Failure::Logon((*reason).to_owned())
            }
            _ => return None,
        })
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Authentication({}, {})", self.auth_type, self.auth_level)
    }
}

/// A leg whose thread did not come to its end.
const LOST: SecurityError = SecurityError::Token("its context was lost");

/// A first leg that there is no security context for.
pub(super) const NOT_BEGUN: SecurityError = SecurityError::Denied {
    claimed: None,
    reason: "there is no security context",
};

/// Whether a fault tells that a logon was refused, where one is open: Windows
/// and `epmapperd` deny access, Samba calls the call behind a wrong rpc_auth_3
/// out of place.
fn means_logon(status: FaultStatus) -> bool {
    [
        FaultStatus::ACCESS_DENIED,
        FaultStatus::SEC_PKG_ERROR,
        FaultStatus::PROTO_ERROR,
    ]
    .contains(&status)
}

/// How a server refused a logon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// With a bind_nak.
    Nak(RejectReason),
    /// With a fault, to a leg or to the first call.
    Fault(FaultStatus),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Refusal::Nak(reason) => reason.fmt(f),
            Refusal::Fault(status) => write!(f, "fault {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Asked, Fake, assert_fails, generous};
    use super::super::{Client, Step};
    use super::*;
    use crate::proto::{LegAnswer, Packet, Principal};
    use crate::wire::SyntaxId;

    /// Says one thing, and wants to hear another.
    #[derive(Debug)]
    struct Word;

    impl SecurityContext for Word {
        fn proceed(&mut self, _: &[u8]) -> Result<LegAnswer, SecurityError> {
            Ok(LegAnswer {
                token: b"word".to_vec(),
                is_complete: false,
            })
        }

        fn principal(&self) -> Principal {
            Principal::Anonymous
        }

        fn signature_len(&self) -> usize {
            1
        }

        fn verify(&mut self, _: Packet<'_>, _: &[u8]) -> Result<(), SecurityError> {
            Err(SecurityError::Signature)
        }

        fn protect(&mut self, _: Packet<'_>, _: &mut [u8]) -> Result<(), SecurityError> {
            Err(SecurityError::Signature)
        }
    }

    /// What comes of a logon at a server that answers the bind so.
    async fn logon(
        answer: fn() -> Answer,
        begin: impl Fn(AuthLevel) -> Begun + Send + Sync + 'static,
    ) -> Result<Client, crate::client::ClientError> {
        let fake = Fake::serve(move |asked| match asked {
            Asked::Bind(..) => answer(),
            _ => Answer::Close,
        });
        let by_word = Authentication::new(AuthType::NTLM, AuthLevel::INTEGRITY, begin);
        let settings = Settings::default().authenticate(by_word);
        Client::connect(&fake.binding, SyntaxId::EPT, settings, generous()).await
    }

    fn word(_: AuthLevel) -> Begun {
        Ok(Box::new(Word))
    }

    #[tokio::test]
    async fn refused_logons_and_servers_without_authentication_are_told_apart() {
        let refused: [(fn() -> Answer, Refusal); 3] = [
            (
                || Answer::Nak(RejectReason::INVALID_CHECKSUM),
                Refusal::Nak(RejectReason::INVALID_CHECKSUM),
            ),
            (
                || Answer::Fault(FaultStatus::ACCESS_DENIED),
                Refusal::Fault(FaultStatus::ACCESS_DENIED),
            ),
            (
                || Answer::Fault(FaultStatus::SEC_PKG_ERROR),
                Refusal::Fault(FaultStatus::SEC_PKG_ERROR),
            ),
        ];
        for (answer, refusal) in refused {
            let failed = logon(answer, word).await.err().unwrap();
            assert_eq!(failed.step, Step::Bind);
            let Failure::LogonRefused(found) = failed.failure else {
                panic!("{failed}");
            };
            assert_eq!(found, refusal);
        }
        let unknown = || Answer::Nak(RejectReason::AUTHENTICATION_TYPE_NOT_RECOGNIZED);
        let silent = || Answer::Accept(&[SyntaxId::NDR]);
        for answer in [unknown, silent] {
            assert_fails(logon(answer, word).await, Step::Bind, |failure| {
                matches!(failure, Failure::NoAuthentication(AuthType::NTLM))
            });
        }
        let busy = || Answer::Nak(RejectReason::LOCAL_LIMIT_EXCEEDED);
        assert_fails(logon(busy, word).await, Step::Bind, |failure| {
            matches!(failure, Failure::Refused(_))
        });
    }

    #[tokio::test]
    async fn why_there_is_no_context_to_begin_with_is_told() {
        let none = |_| -> Begun { Err("no ticket".into()) };
        let answer = || Answer::Accept(&[SyntaxId::NDR]);
        let failed = logon(answer, none).await.err().unwrap();
        assert_eq!(failed.to_string(), "bind: cannot log on: no ticket");
        // A thread that does not come to its end is none either.
        let lost = |_| -> Begun { panic!("for a test") };
        assert_fails(logon(answer, lost).await, Step::Bind, |failure| {
            matches!(failure, Failure::Protocol(ProtocolError::Token(_)))
        });
    }
}
