//! The server's end: picks a mechanism and leads it through.

use super::token::{MechTypes, NegState, NegTokenInit, NegTokenResp, unframed};
use super::{Negotiation, Proof, Stage, Step, Turn};
use crate::proto::{LegAnswer, SecurityContext, SecurityError, SecurityProvider};
use crate::security::{Mechanism, MechanismContext};
use crate::wire::pdu::{AuthLevel, AuthType};
use std::sync::Arc;

/// What every message of NTLM begins with.
const NTLM_SIGNATURE: &[u8] = b"NTLMSSP\0";

/// A mechanism, shared.
type Shared = Arc<dyn Mechanism>;

/// Accepts clients by SPNEGO.
#[derive(Debug)]
pub struct Spnego {
    /// What it negotiates among, preferred first.
    mechanisms: Arc<[Shared]>,
}

impl Spnego {
    /// Negotiates among `mechanisms`, preferred first. A client's preference
    /// comes before ours.
    pub fn new(mechanisms: Vec<Arc<dyn Mechanism>>) -> Self {
        let mechanisms = mechanisms.into();
        Spnego { mechanisms }
    }
}

impl SecurityProvider for Spnego {
    fn auth_type(&self) -> AuthType {
        AuthType::SPNEGO
    }

    fn begin(&self, level: AuthLevel) -> Box<dyn SecurityContext> {
        Negotiation::boxed(Waiting {
            level,
            mechanisms: self.mechanisms.clone(),
        })
    }

    fn may_block(&self) -> bool {
        self.mechanisms
            .iter()
            .any(|mechanism| mechanism.may_block())
    }
}

/// A server that no token has come to.
#[derive(Debug)]
struct Waiting {
    level: AuthLevel,
    mechanisms: Arc<[Shared]>,
}

impl Turn for Waiting {
    /// Takes the first token.
    ///
    /// # Source
    /// MS-SPNG 3.2.5.2 for mechanisms without SPNEGO around them, which Windows
    /// takes.
    fn take(self: Box<Self>, token: &[u8]) -> Step {
        if let Some(mechanism) = self.raw(token) {
            let raw = Raw(mechanism.accept(self.level));
            return Box::new(raw).take(token);
        }
        let init = NegTokenInit::decode(token)?;
        let (choice, oid) = self.choose(&init.mech_types)?;
        let chosen = Chosen {
            context: choice.mechanism.accept(self.level),
            is_established: false,
            proof: Proof {
                is_asked: !choice.is_first_of_both(),
                ..Proof::of(init.mech_types.octets().to_vec())
            },
        };
        match init.mech_token {
            Some(token) if choice.theirs == 0 => {
                chosen.proceed(Some(token), init.mech_list_mic, Some(oid))
            }
            _ => chosen.incomplete(Some(oid), &[], None),
        }
    }
}

impl Waiting {
    /// The mechanism whose own token this is.
    fn raw(&self, token: &[u8]) -> Option<&Shared> {
        let framed = unframed(token);
        self.mechanisms.iter().find(|mechanism| match framed {
            Some((oid, _)) => mechanism.oids().contains(&oid),
            None => mechanism.auth_type() == AuthType::NTLM && token.starts_with(NTLM_SIGNATURE),
        })
    }

    /// The first of the client's mechanisms that is ours, and how it names it.
    fn choose<'t>(&self, list: &MechTypes<'t>) -> Result<(Choice<'_>, &'t [u8]), SecurityError> {
        let mut choices = list.iter().enumerate().filter_map(|(theirs, oid)| {
            let mut mechanisms = self.mechanisms.iter().enumerate();
            let (ours, mechanism) = mechanisms.find(|(_, m)| m.oids().contains(&oid))?;
            let choice = Choice {
                theirs,
                ours,
                mechanism,
            };
            Some((choice, oid))
        });
        let none = SecurityError::Token("none of its mechanisms is ours");
        choices.next().ok_or(none)
    }
}

/// A mechanism that both ends have.
struct Choice<'a> {
    /// Its place in the client's list.
    theirs: usize,
    /// Its place in ours.
    ours: usize,
    mechanism: &'a Shared,
}

impl Choice<'_> {
    /// Whether both ends prefer it, so that nobody can have gained by changing
    /// the list.
    fn is_first_of_both(&self) -> bool {
        self.theirs == 0 && self.ours == 0
    }
}

/// A mechanism without SPNEGO around it.
#[derive(Debug)]
struct Raw(Box<dyn MechanismContext>);

impl Turn for Raw {
    fn take(mut self: Box<Self>, token: &[u8]) -> Step {
        let answer = self.0.proceed(token)?;
        let stage = match answer.is_complete {
            true => Stage::Complete(self.0),
            false => Stage::Open(self),
        };
        Ok((stage, answer))
    }
}

/// A mechanism, and the proof that it is the right one.
#[derive(Debug)]
struct Chosen {
    context: Box<dyn MechanismContext>,
    /// Whether the mechanism is complete.
    is_established: bool,
    proof: Proof,
}

impl Turn for Chosen {
    fn take(self: Box<Self>, token: &[u8]) -> Step {
        let response = NegTokenResp::decode(token)?;
        // Windows says accept-incomplete here, Samba nothing; only an end is
        // news.
        if response.neg_state == Some(NegState::REJECT) {
            return Err(SecurityError::Token("the client gives up"));
        }
        self.proceed(response.response_token, response.mech_list_mic, None)
    }
}

impl Chosen {
    /// Has the mechanism take its token, and looks at the MIC once it is
    /// complete. `oid` goes into the first answer.
    ///
    /// # Source
    /// RFC 4178 5.
    fn proceed(mut self, token: Option<&[u8]>, mic: Option<&[u8]>, oid: Option<&[u8]>) -> Step {
        let response = match (self.is_established, token) {
            (false, Some(token)) => {
                let answer = self.context.proceed(token)?;
                self.is_established = answer.is_complete;
                answer.token
            }
            (true, None) => Vec::new(),
            (false, None) => return Err(SecurityError::Token("nothing for the mechanism in it")),
            (true, Some(_)) => return Err(SecurityError::Token("the mechanism is complete")),
        };
        match mic {
            Some(_) if !self.is_established => {
                return Err(SecurityError::Token("a MIC before its time"));
            }
            Some(mic) => self.proof.check(&mut *self.context, mic)?,
            None => {}
        }
        match self.is_established {
            true => self.conclude(oid, &response),
            false => self.incomplete(oid, &response, None),
        }
    }

    /// Answers once the mechanism is complete: with our MIC where the client's
    /// came or has to come.
    fn conclude(mut self, oid: Option<&[u8]>, response: &[u8]) -> Step {
        let is_due = self.proof.is_due(&*self.context);
        if is_due && response.is_empty() {
            // The mechanism ended with the client's token: the MIC belonged there.
            return Err(SecurityError::Token("no MIC where one is due"));
        }
        let mic = match is_due || self.proof.is_checked {
            true => self.proof.make(&mut *self.context)?,
            false => None,
        };
        if is_due {
            return self.incomplete(oid, response, mic);
        }
        self.proof.settle(&mut *self.context);
        let answer = answer(NegState::ACCEPT_COMPLETED, oid, response, mic.as_deref());
        Ok((Stage::Complete(self.context), answer))
    }

    /// Answers that a further token is due.
    fn incomplete(self, oid: Option<&[u8]>, response: &[u8], mic: Option<Vec<u8>>) -> Step {
        let state = match oid.is_some() && self.proof.is_asked {
            true => NegState::REQUEST_MIC,
            false => NegState::ACCEPT_INCOMPLETE,
        };
        let answer = answer(state, oid, response, mic.as_deref());
        Ok((Stage::Open(Box::new(self)), answer))
    }
}

/// An answer around what the mechanism says.
fn answer(state: NegState, oid: Option<&[u8]>, response: &[u8], mic: Option<&[u8]>) -> LegAnswer {
    let token = NegTokenResp {
        neg_state: Some(state),
        supported_mech: oid,
        response_token: (!response.is_empty()).then_some(response),
        mech_list_mic: mic,
    };
    LegAnswer {
        token: token.encode(),
        is_complete: state == NegState::ACCEPT_COMPLETED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::words::Words;
    use crate::proto::{Packet, Principal};
    use crate::security::oid;

    /// A mechanism that Windows has and nobody here: NEGOEX.
    const FOREIGN: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x1e";

    fn kerberos(count: usize) -> Words {
        let oids = &[oid::KERBEROS, oid::KERBEROS_CUT];
        Words::new(AuthType::KERBEROS, oids, count, true)
    }

    fn ntlm() -> Words {
        Words::new(AuthType::NTLM, &[oid::NTLM], 3, true)
    }

    fn server(mechanisms: &[&Words]) -> Box<dyn SecurityContext> {
        let shared = mechanisms
            .iter()
            .map(|words| Arc::new((*words).clone()) as Shared);
        Spnego::new(shared.collect()).begin(AuthLevel::INTEGRITY)
    }

    /// A first token, and the list in it.
    fn init(oids: &[&[u8]], token: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
        let list = MechTypes::encode(oids.iter().copied());
        let token = NegTokenInit {
            is_framed: true,
            mech_types: MechTypes::decode(&list).unwrap(),
            req_flags: None,
            mech_token: token,
            neg_hints: None,
            mech_list_mic: None,
        };
        (token.encode(), list)
    }

    /// A further token of the client's.
    fn resp(token: Option<&[u8]>, mic: Option<&[u8]>) -> Vec<u8> {
        NegTokenResp {
            response_token: token,
            mech_list_mic: mic,
            ..NegTokenResp::default()
        }
        .encode()
    }

    /// Has a server take a token, and reads its answer.
    #[track_caller]
    fn answer<'a>(
        server: &mut Box<dyn SecurityContext>,
        token: &[u8],
        room: &'a mut Vec<u8>,
    ) -> (NegTokenResp<'a>, bool) {
        let answer = server.proceed(token).unwrap();
        *room = answer.token;
        (NegTokenResp::decode(room).unwrap(), answer.is_complete)
    }

    /// Why a server refuses a token; it refuses whatever comes then.
    #[track_caller]
    fn refusal(server: &mut Box<dyn SecurityContext>, token: &[u8]) -> SecurityError {
        let error = server.proceed(token).unwrap_err();
        let after = server.proceed(token).unwrap_err();
        assert_eq!(after, SecurityError::Token("the negotiation has failed"));
        assert_eq!(server.principal(), Principal::Anonymous);
        error
    }

    #[test]
    fn the_first_of_both_needs_no_mic_and_is_signed_where_the_client_signs() {
        for signs in [false, true] {
            let words = ntlm();
            let (mut server, mut room) = (server(&[&words]), Vec::new());
            let (first, list) = init(&[oid::NTLM], Some(&words.word(1)));
            let (said, complete) = answer(&mut server, &first, &mut room);
            assert_eq!(
                (said, complete),
                (
                    NegTokenResp {
                        neg_state: Some(NegState::ACCEPT_INCOMPLETE),
                        supported_mech: Some(oid::NTLM),
                        response_token: Some(&words.word(2)),
                        mech_list_mic: None,
                    },
                    false
                )
            );
            let [theirs, ours] = words.mics_over(&list);
            let last = resp(Some(&words.word(3)), signs.then_some(&theirs[..]));
            let (said, complete) = answer(&mut server, &last, &mut room);
            assert_eq!(
                (said, complete),
                (
                    NegTokenResp {
                        neg_state: Some(NegState::ACCEPT_COMPLETED),
                        mech_list_mic: signs.then_some(&ours[..]),
                        ..NegTokenResp::default()
                    },
                    true
                )
            );
            assert_eq!(server.principal().to_string(), "speaker of 10");
            assert_eq!(server.signature_len(), 8);
        }
    }

    #[test]
    fn a_choice_that_is_not_the_first_of_both_asks_for_a_mic() {
        let cases: [(&[&[u8]], &[&Words]); 3] = [
            (&[oid::KERBEROS_CUT, oid::KERBEROS, oid::NTLM], &[&ntlm()]),
            (&[oid::NTLM], &[&kerberos(4), &ntlm()]),
            (
                &[FOREIGN, oid::NTLM, oid::KERBEROS],
                &[&kerberos(4), &ntlm()],
            ),
        ];
        for (theirs, mechanisms) in cases {
            let words = ntlm();
            for mic in [None, Some(0), Some(1)] {
                let (mut server, mut room) = (server(mechanisms), Vec::new());
                let token = (theirs[0] == oid::NTLM).then(|| words.word(1));
                let (first, list) = init(theirs, token.as_deref().or(Some(b"of another")));
                let (said, _) = answer(&mut server, &first, &mut room);
                assert_eq!(said.neg_state, Some(NegState::REQUEST_MIC));
                assert_eq!(said.supported_mech, Some(oid::NTLM));
                assert_eq!(said.response_token.is_some(), token.is_some());
                if token.is_none() {
                    let (said, _) =
                        answer(&mut server, &resp(Some(&words.word(1)), None), &mut room);
                    assert_eq!(said.neg_state, Some(NegState::ACCEPT_INCOMPLETE));
                    assert_eq!(said.supported_mech, None);
                }
                let [good, _] = words.mics_over(&list);
                match mic {
                    None => {
                        let last = resp(Some(&words.word(3)), None);
                        let error = refusal(&mut server, &last);
                        assert_eq!(error, SecurityError::Token("no MIC where one is due"));
                    }
                    Some(change) => {
                        let mut mic = good;
                        mic[0] ^= change;
                        let last = resp(Some(&words.word(3)), Some(&mic));
                        if change == 0 {
                            assert!(answer(&mut server, &last, &mut room).1);
                        } else {
                            assert_eq!(refusal(&mut server, &last), SecurityError::Signature);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_changed_octet_of_a_signed_list_is_refused() {
        let (kerberos, words) = (kerberos(4), ntlm());
        let (first, list) = init(&[oid::NTLM, oid::KERBEROS, FOREIGN], Some(&words.word(1)));
        let place = first.windows(list.len()).position(|w| w == list).unwrap();
        let [mic, _] = words.mics_over(&list);
        let mut refused_at_the_end = 0;
        for at in place..place + list.len() {
            for bit in 0..8 {
                let mut first = first.clone();
                first[at] ^= 1 << bit;
                let mut server = server(&[&kerberos, &words]);
                // Changed so that it is no list, or that it names nothing of ours.
                if server.proceed(&first).is_err() {
                    continue;
                }
                let mut tokens = [
                    resp(Some(&words.word(1)), None),
                    resp(Some(&words.word(3)), Some(&mic)),
                ]
                .into_iter();
                assert!(tokens.any(|token| server.proceed(&token).is_err()));
                let ours = server.proceed(&resp(Some(&words.word(3)), Some(&mic)));
                assert!(ours.is_err());
                assert_eq!(server.principal(), Principal::Anonymous);
                refused_at_the_end += 1;
            }
        }
        assert!(refused_at_the_end > 100);
    }

    #[test]
    fn kerberos_of_three_legs_ends_with_an_answer_and_names_what_the_client_named() {
        let words = kerberos(3);
        let theirs = [oid::KERBEROS_CUT, oid::KERBEROS, FOREIGN, oid::NTLM];
        let (mut server, mut room) = (server(&[&words, &ntlm()]), Vec::new());
        let (first, list) = init(&theirs, Some(&words.word(1)));
        let (said, complete) = answer(&mut server, &first, &mut room);
        assert_eq!(said.supported_mech, Some(oid::KERBEROS_CUT));
        assert_eq!(said.neg_state, Some(NegState::ACCEPT_INCOMPLETE));
        assert_eq!(said.response_token, Some(&words.word(2)[..]));
        assert!(!complete);
        let [theirs, ours] = words.mics_over(&list);
        // As Windows says it.
        let last = NegTokenResp {
            neg_state: Some(NegState::ACCEPT_INCOMPLETE),
            supported_mech: None,
            response_token: Some(&words.word(3)),
            mech_list_mic: Some(&theirs),
        };
        let (said, complete) = answer(&mut server, &last.encode(), &mut room);
        assert_eq!(said.neg_state, Some(NegState::ACCEPT_COMPLETED));
        assert_eq!(said.response_token, None);
        assert_eq!(said.mech_list_mic, Some(&ours[..]));
        assert!(complete);
        assert_eq!(server.principal().to_string(), "speaker of 16");
    }

    #[test]
    fn a_mechanism_that_ends_with_our_word_is_signed_by_us_first() {
        let words = kerberos(2);
        let (mut server, mut room) = (server(&[&ntlm(), &words]), Vec::new());
        let (first, list) = init(&[oid::KERBEROS], Some(&words.word(1)));
        let [theirs, ours] = words.mics_over(&list);
        let (said, complete) = answer(&mut server, &first, &mut room);
        assert_eq!(said.neg_state, Some(NegState::REQUEST_MIC));
        assert_eq!(said.mech_list_mic, Some(&ours[..]));
        assert!(!complete);
        assert_eq!(server.principal(), Principal::Anonymous);
        let (said, complete) = answer(&mut server, &resp(None, Some(&theirs)), &mut room);
        assert_eq!(said.neg_state, Some(NegState::ACCEPT_COMPLETED));
        assert_eq!(said.mech_list_mic, None);
        assert!(complete);
    }

    #[test]
    fn a_mechanism_that_cannot_sign_is_not_asked_to() {
        let words = Words {
            can_sign: false,
            ..ntlm()
        };
        for mic in [None, Some(&b"01234567"[..])] {
            let (mut server, mut room) = (server(&[&kerberos(3), &words]), Vec::new());
            let (first, _) = init(&[oid::NTLM], Some(&words.word(1)));
            answer(&mut server, &first, &mut room);
            let last = resp(Some(&words.word(3)), mic);
            match mic {
                None => assert!(answer(&mut server, &last, &mut room).1),
                Some(_) => {
                    let error = refusal(&mut server, &last);
                    assert_eq!(error, SecurityError::Token("a MIC where none can be"));
                }
            }
        }
    }

    #[test]
    fn a_mechanism_without_spnego_is_answered_without() {
        let words = ntlm();
        let mut server = server(&[&kerberos(2), &words]);
        let answer = server.proceed(&words.word(1)).unwrap();
        assert_eq!((answer.token, answer.is_complete), (words.word(2), false));
        let answer = server.proceed(&words.word(3)).unwrap();
        assert_eq!((answer.token, answer.is_complete), (Vec::new(), true));
        assert_eq!(server.principal().to_string(), "speaker of 10");
        assert!(server.proceed(&words.word(3)).is_err());
    }

    #[test]
    fn a_frame_of_kerberos_is_kerberos_without_spnego() {
        // [APPLICATION 0], the object identifier, and what is no DER.
        let token = [b"\x60\x0d\x06\x09", oid::KERBEROS, b"\x01\x00"].concat();
        let error = refusal(&mut server(&[&kerberos(2)]), &token);
        assert_eq!(error, SecurityError::Token("not the word of this turn"));
        let error = refusal(&mut server(&[&ntlm()]), &token);
        assert_eq!(error, SecurityError::Token("a frame of another mechanism"));
    }

    #[test]
    fn tokens_out_of_place_are_refused() {
        let words = ntlm();
        let (first, list) = init(&[oid::NTLM], Some(&words.word(1)));
        let [mic, _] = words.mics_over(&list);
        let reject = NegTokenResp {
            neg_state: Some(NegState::REJECT),
            response_token: Some(&words.word(3)),
            ..NegTokenResp::default()
        };
        let last = resp(Some(&words.word(3)), Some(&mic));
        type Case<'a> = (&'a [&'a [u8]], &'a [u8], &'static str);
        let cases: [Case; 9] = [
            (&[], b"", "no well-formed token of SPNEGO"),
            (&[], &last, "no well-formed token of SPNEGO"),
            (
                &[],
                &init(&[FOREIGN], None).0,
                "none of its mechanisms is ours",
            ),
            (&[], &vec![0; 0x1_0000], "longer than a PDU"),
            (&[&first], &first, "no well-formed token of SPNEGO"),
            (
                &[&first],
                &resp(None, None),
                "nothing for the mechanism in it",
            ),
            (
                &[&first],
                &resp(None, Some(&mic)),
                "nothing for the mechanism in it",
            ),
            (&[&first], &reject.encode(), "the client gives up"),
            (&[&first], &words.word(3), "no well-formed token of SPNEGO"),
        ];
        for (before, token, why) in cases {
            let mut server = server(&[&words]);
            for token in before {
                server.proceed(token).unwrap();
            }
            assert_eq!(refusal(&mut server, token), SecurityError::Token(why));
        }
        let mut server = server(&[&words]);
        server.proceed(&first).unwrap();
        assert!(server.proceed(&last).unwrap().is_complete);
        let error = server.proceed(&last).unwrap_err();
        assert_eq!(error, SecurityError::Token("the negotiation is complete"));
    }

    #[test]
    fn a_mic_before_the_mechanism_is_complete_is_refused() {
        let words = kerberos(4);
        let (first, list) = init(&[oid::KERBEROS], Some(&words.word(1)));
        let [mic, _] = words.mics_over(&list);
        let token = NegTokenInit {
            mech_list_mic: Some(&mic),
            ..NegTokenInit::decode(&first).unwrap()
        };
        let error = refusal(&mut server(&[&words]), &token.encode());
        assert_eq!(error, SecurityError::Token("a MIC before its time"));
    }

    #[test]
    fn packets_before_the_end_are_refused() {
        let words = ntlm();
        let mut server = server(&[&words]);
        server
            .proceed(&init(&[oid::NTLM], Some(&words.word(1))).0)
            .unwrap();
        let octets = &mut [1, 2, 3][..];
        let packet = |octets| Packet {
            octets,
            stub: 0..3,
            signs_header: true,
        };
        assert!(server.protect(packet(octets), &mut [0; 8]).is_err());
        let octets = &mut [1, 2, 3][..];
        assert!(server.verify(packet(octets), &[0; 8]).is_err());
    }

    #[test]
    fn a_provider_may_block_if_one_of_its_mechanisms_may() {
        let provider = |words: Words| Spnego::new(vec![Arc::new(words)]);
        assert!(provider(kerberos(1)).may_block());
        assert!(!provider(ntlm()).may_block());
        assert_eq!(provider(ntlm()).auth_type(), AuthType::SPNEGO);
    }
}
