//! SPNEGO of both ends: which mechanism a connection authenticates by.
//!
//! A client names its mechanisms, preferred first, and adds a token of the
//! first; the server picks one. The mechanism's tokens then travel inside those
//! of SPNEGO, and at the end each end signs the client's list by what the
//! mechanism agreed on, so that nobody between them shortens it.
//!
//! Nobody is complete here whose mechanism is not, and no mechanism other than
//! the first of both ends is settled on without that signature, unless it
//! cannot sign.
//!
//! # Source
//! RFC 4178, MS-SPNG.

mod acceptor;
mod initiator;
pub mod token;

pub use acceptor::Spnego;
pub use initiator::{Offer, initiate};

use super::MechanismContext;
use crate::proto::{LegAnswer, Packet, Principal, SecurityContext, SecurityError};
use std::{fmt, mem};

/// The longest token that is taken: no PDU holds a longer one.
const LONGEST_TOKEN: usize = 0xffff;

/// A negotiation of either end.
#[derive(Debug)]
struct Negotiation {
    stage: Stage,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// A further token is due.
    Open(Box<dyn Turn>),
    /// Packets may use what is agreed on.
    Complete(Box<dyn MechanismContext>),
    /// A token was refused.
    Failed,
}

/// What a token leads to.
type Step = Result<(Stage, LegAnswer), SecurityError>;

/// An end that waits for a token.
trait Turn: fmt::Debug + Send {
    /// Takes it.
    fn take(self: Box<Self>, token: &[u8]) -> Step;
}

impl Negotiation {
    /// One that begins like this.
    fn boxed(first: impl Turn + 'static) -> Box<dyn SecurityContext> {
        let stage = Stage::Open(Box::new(first));
        Box::new(Negotiation { stage })
    }
}

impl SecurityContext for Negotiation {
    fn proceed(&mut self, token: &[u8]) -> Result<LegAnswer, SecurityError> {
        let is_long = token.len() > LONGEST_TOKEN;
        let (stage, answer) = match mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Open(_) if is_long => Err(SecurityError::Token("longer than a PDU")),
            Stage::Open(turn) => turn.take(token),
            Stage::Complete(_) => Err(SecurityError::Token("the negotiation is complete")),
            Stage::Failed => Err(SecurityError::Token("the negotiation has failed")),
        }?;
        self.stage = stage;
        Ok(answer)
    }

    fn principal(&self) -> Principal {
        match &self.stage {
            Stage::Complete(context) => context.principal(),
            _ => Principal::Anonymous,
        }
    }

    fn signature_len(&self) -> usize {
        match &self.stage {
            Stage::Complete(context) => context.signature_len(),
            _ => 1,
        }
    }

    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        match &mut self.stage {
            Stage::Complete(context) => context.verify(packet, signature),
            _ => Err(SecurityError::Signature),
        }
    }

    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) -> Result<(), SecurityError> {
        match &mut self.stage {
            Stage::Complete(context) => context.protect(packet, signature),
            _ => Err(SecurityError::Signature),
        }
    }
}

/// What the two ends owe each other about the list of mechanisms.
#[derive(Debug)]
struct Proof {
    /// The list as the client encoded it.
    list: Vec<u8>,
    /// Whether the choice was not the first of both ends, or the server asked.
    is_asked: bool,
    /// Whether ours is made.
    is_made: bool,
    /// Whether the peer's is checked.
    is_checked: bool,
}

impl Proof {
    /// Nothing made or checked yet.
    fn of(list: Vec<u8>) -> Self {
        Proof {
            list,
            is_asked: false,
            is_made: false,
            is_checked: false,
        }
    }

    /// Whether the peer's has to come; the mechanism is complete.
    ///
    /// # Source
    /// RFC 4178 5. MS-SPNG 3.3.5.1 has it come, too, where NTLM's own messages
    /// have a MIC; nobody can have gained by changing the list then, so it is
    /// checked only if it does.
    fn is_due(&self, context: &dyn MechanismContext) -> bool {
        self.is_asked && !self.is_checked && context.can_sign()
    }

    /// Makes ours, unless it is made or cannot be.
    fn make(
        &mut self,
        context: &mut dyn MechanismContext,
    ) -> Result<Option<Vec<u8>>, SecurityError> {
        if self.is_made || !context.can_sign() {
            return Ok(None);
        }
        self.is_made = true;
        context.mic(&self.list).map(Some)
    }

    /// Checks the peer's.
    fn check(
        &mut self,
        context: &mut dyn MechanismContext,
        mic: &[u8],
    ) -> Result<(), SecurityError> {
        if self.is_checked || !context.can_sign() {
            return Err(SecurityError::Token("a MIC where none can be"));
        }
        context.check_mic(&self.list, mic)?;
        self.is_checked = true;
        Ok(())
    }

    /// Tells the context that no further MIC comes.
    fn settle(&self, context: &mut dyn MechanismContext) {
        if self.is_made || self.is_checked {
            context.mics_exchanged();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::words::Words;
    use crate::proto::SecurityProvider;
    use crate::security::ntlm::{self, Names, Ntlm, NtlmSettings};
    use crate::security::oid;
    use crate::security::{Account, Accounts, Credentials, Mechanism, NtHash, Password, Secret};
    use crate::wire::pdu::{AuthLevel, AuthType};
    use std::sync::Arc;
    use token::NegTokenResp;

    const LEVELS: [AuthLevel; 3] = [AuthLevel::CONNECT, AuthLevel::INTEGRITY, AuthLevel::PRIVACY];

    /// Knows alice, whose password is "wonder".
    #[derive(Debug)]
    struct Alice;

    impl Accounts for Alice {
        fn find(&self, name: &str) -> Option<Account> {
            (name == "alice").then(|| Account {
                name: Arc::from(name),
                nt_hash: NtHash::of("wonder"),
                password: None,
            })
        }
    }

    fn real_ntlm() -> Arc<dyn Mechanism> {
        Arc::new(Ntlm::new(NtlmSettings {
            names: Names::default(),
            accounts: Arc::new(Alice),
            anonymous: false,
            v1: false,
            lm: false,
        }))
    }

    fn kerberos() -> Words {
        Words::new(AuthType::KERBEROS, &[oid::KERBEROS], 3, true)
    }

    fn alice(password: &str, level: AuthLevel) -> Offer {
        let credentials = Credentials {
            user: "alice".to_owned(),
            domain: String::new(),
            secret: Secret::Password(Arc::new(Password::new(password.to_owned()))),
        };
        Offer {
            oid: oid::NTLM,
            context: ntlm::initiate(&credentials, level),
        }
    }

    /// Both ends, the client with Kerberos before NTLM if `falls_back`.
    fn ends(level: AuthLevel, password: &str, falls_back: bool) -> [Box<dyn SecurityContext>; 2] {
        let mut offers = vec![alice(password, level)];
        if falls_back {
            let kerberos = Offer {
                oid: oid::KERBEROS,
                context: Box::new(kerberos().speaker(true)),
            };
            offers.insert(0, kerberos);
        }
        [
            initiate(offers),
            Spnego::new(vec![real_ntlm()]).begin(level),
        ]
    }

    /// Has the ends speak until both are complete; `change` may alter the
    /// client's last token.
    fn converse(
        [client, server]: &mut [Box<dyn SecurityContext>; 2],
        change: impl Fn(&mut NegTokenResp),
    ) -> Result<(), SecurityError> {
        let mut said = client.proceed(&[])?.token;
        loop {
            if let Ok(mut token) = NegTokenResp::decode(&said)
                && token.mech_list_mic.is_some()
            {
                change(&mut token);
                said = token.encode();
            }
            let heard = server.proceed(&said)?;
            let answer = client.proceed(&heard.token)?;
            if answer.is_complete {
                assert!(heard.is_complete);
                return Ok(());
            }
            said = answer.token;
        }
    }

    /// A packet of a head and a stub.
    fn packet(octets: &mut [u8; 13]) -> Packet<'_> {
        Packet {
            octets,
            stub: 9..13,
            signs_header: true,
        }
    }

    #[test]
    fn ntlm_signs_and_seals_after_the_exchange_of_mics() {
        for level in LEVELS {
            for falls_back in [false, true] {
                let mut ends = ends(level, "wonder", falls_back);
                converse(&mut ends, |_| {}).unwrap();
                assert_eq!(ends[1].principal().to_string(), "alice");
                for from in [0, 1, 1, 0, 0] {
                    let plain = *b"head and stub";
                    let mut octets = plain;
                    let mut signature = vec![0; ends[from].signature_len()];
                    ends[from]
                        .protect(packet(&mut octets), &mut signature)
                        .unwrap();
                    assert_eq!(octets != plain, level == AuthLevel::PRIVACY);
                    ends[1 - from]
                        .verify(packet(&mut octets), &signature)
                        .unwrap();
                    assert_eq!(octets, plain);
                }
            }
        }
    }

    #[test]
    fn a_wrong_password_is_refused_in_spnego_too() {
        for falls_back in [false, true] {
            let mut ends = ends(AuthLevel::INTEGRITY, "wander", falls_back);
            let error = converse(&mut ends, |_| {}).unwrap_err();
            assert!(matches!(error, SecurityError::Denied { .. }), "{error:?}");
        }
    }

    #[test]
    fn ntlms_mic_is_checked_wherever_it_comes_and_may_lack_where_it_is_not_due() {
        for falls_back in [false, true] {
            let mut ends = ends(AuthLevel::INTEGRITY, "wonder", falls_back);
            let changed = converse(&mut ends, |token| token.mech_list_mic = Some(&[1; 16]));
            assert_eq!(changed, Err(SecurityError::Signature));
            let mut ends = self::ends(AuthLevel::INTEGRITY, "wonder", falls_back);
            let dropped = converse(&mut ends, |token| token.mech_list_mic = None);
            match falls_back {
                true => assert_eq!(
                    dropped,
                    Err(SecurityError::Token("no MIC where one is due"))
                ),
                false => assert_eq!(dropped, Ok(())),
            }
        }
    }

    #[test]
    fn raw_ntlm_is_taken_under_the_type_of_spnego() {
        let mut client = alice("wonder", AuthLevel::PRIVACY).context;
        let provider = Spnego::new(vec![Arc::new(kerberos()), real_ntlm()]);
        let mut server = provider.begin(AuthLevel::PRIVACY);
        let negotiate = client.proceed(&[]).unwrap().token;
        let challenge = server.proceed(&negotiate).unwrap();
        let last = client.proceed(&challenge.token).unwrap();
        assert!(server.proceed(&last.token).unwrap().is_complete);
        assert_eq!(server.principal().to_string(), "alice");
    }
}
