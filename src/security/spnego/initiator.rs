//! The client's end: offers mechanisms and follows the server's choice.

use super::token::{MechTypes, NegState, NegTokenInit, NegTokenResp};
use super::{Negotiation, Proof, Stage, Step, Turn};
use crate::proto::{LegAnswer, SecurityContext, SecurityError};
use crate::security::MechanismContext;
use crate::security::oid;

/// A mechanism that a client can speak.
#[derive(Debug)]
pub struct Offer {
    /// Its object identifier, as the content octets of its DER form.
    pub oid: &'static [u8],
    /// What speaks it; has said nothing yet.
    pub context: Box<dyn MechanismContext>,
}

/// Negotiates among `offers`, preferred first. One that cannot say its first
/// word is left out, as long as there is another.
pub fn initiate(offers: Vec<Offer>) -> Box<dyn SecurityContext> {
    Negotiation::boxed(Silent(offers))
}

/// A client that has said nothing.
#[derive(Debug)]
struct Silent(Vec<Offer>);

impl Turn for Silent {
    fn take(self: Box<Self>, token: &[u8]) -> Step {
        match token {
            [] => offer(self.0),
            _ => Err(SecurityError::Token("an answer before the offer")),
        }
    }
}

/// Offers that the server has not answered yet.
#[derive(Debug)]
struct Offered {
    offers: Vec<Offer>,
    /// Whether the first needs no token of the server's.
    is_established: bool,
    /// The list as it was sent.
    list: Vec<u8>,
}

/// The mechanism that the server chose.
#[derive(Debug)]
struct Chosen {
    oid: &'static [u8],
    context: Box<dyn MechanismContext>,
    /// Whether the mechanism is complete.
    is_established: bool,
    proof: Proof,
}

/// Makes the offers, with the first word of the first that has one.
fn offer(mut offers: Vec<Offer>) -> Step {
    let mut refusal = SecurityError::Token("no mechanism to offer");
    while let Some(first) = offers.first_mut() {
        let word = match first.context.proceed(&[]) {
            Ok(word) => word,
            Err(error) => {
                refusal = error;
                offers.remove(0);
                continue;
            }
        };
        let list = MechTypes::encode(offers.iter().map(|offer| offer.oid));
        let token = NegTokenInit {
            is_framed: true,
            mech_types: MechTypes::decode(&list)?,
            req_flags: None,
            mech_token: Some(&word.token),
            neg_hints: None,
            mech_list_mic: None,
        };
        let answer = LegAnswer {
            token: token.encode(),
            is_complete: false,
        };
        let is_established = word.is_complete;
        let offered = Offered {
            offers,
            is_established,
            list,
        };
        return Ok((Stage::Open(Box::new(offered)), answer));
    }
    Err(refusal)
}

impl Turn for Offered {
    /// Takes the server's first answer, which names its choice.
    ///
    /// # Source
    /// RFC 4178 4.2.2; a server that names none has taken the first.
    fn take(mut self: Box<Self>, token: &[u8]) -> Step {
        let answer = NegTokenResp::decode(token)?;
        let place = match answer.supported_mech {
            None => 0,
            Some(named) => self
                .offers
                .iter()
                .position(|offer| is_same(offer.oid, named))
                .ok_or(SecurityError::Token("a mechanism that was not offered"))?,
        };
        if place >= self.offers.len() {
            return Err(SecurityError::Token("no mechanism to offer"));
        }
        let Offer { oid, context } = self.offers.swap_remove(place);
        let is_other = place != 0;
        let chosen = Chosen {
            oid,
            context,
            is_established: self.is_established && !is_other,
            proof: Proof {
                is_asked: is_other || answer.neg_state == Some(NegState::REQUEST_MIC),
                ..Proof::of(self.list)
            },
        };
        match (is_other, answer.response_token) {
            (true, Some(_)) => Err(SecurityError::Token("an answer to what was not said")),
            // The mechanism has said nothing yet: an empty token begins it.
            (true, None) => chosen.proceed(&answer, Some(&[])),
            (false, response) => chosen.proceed(&answer, response),
        }
    }
}

/// Whether two object identifiers name one mechanism: Kerberos has two.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let kerberos = [oid::KERBEROS, oid::KERBEROS_CUT];
    one == other || kerberos.contains(&one) && kerberos.contains(&other)
}

impl Turn for Chosen {
    /// Takes a further answer of the server.
    fn take(self: Box<Self>, token: &[u8]) -> Step {
        let answer = NegTokenResp::decode(token)?;
        if answer.neg_state == Some(NegState::REQUEST_MIC) {
            return Err(SecurityError::Token("request-mic in a later answer"));
        }
        match answer.supported_mech {
            Some(named) if !is_same(self.oid, named) => {
                Err(SecurityError::Token("a change of the mechanism"))
            }
            _ => self.proceed(&answer, answer.response_token),
        }
    }
}

impl Chosen {
    /// Has the mechanism take its token, checks the server's MIC, and heeds what
    /// state the server says it is in.
    fn proceed(mut self, answer: &NegTokenResp<'_>, response: Option<&[u8]>) -> Step {
        if answer.neg_state == Some(NegState::REJECT) {
            return Err(SecurityError::Denied {
                claimed: None,
                reason: "the server rejects the negotiation",
            });
        }
        let word = match (self.is_established, response) {
            (false, Some(response)) => {
                let word = self.context.proceed(response)?;
                self.is_established = word.is_complete;
                word.token
            }
            (true, None) => Vec::new(),
            (false, None) => return Err(SecurityError::Token("nothing for the mechanism in it")),
            (true, Some(_)) => return Err(SecurityError::Token("the mechanism is complete")),
        };
        match answer.mech_list_mic {
            Some(_) if !self.is_established => {
                return Err(SecurityError::Token("a MIC before its time"));
            }
            Some(mic) => self.proof.check(&mut *self.context, mic)?,
            None => {}
        }
        match answer.neg_state {
            Some(NegState::ACCEPT_COMPLETED) => self.complete(&word),
            _ => self.say(&word),
        }
    }

    /// Ends the negotiation, as the server says.
    fn complete(mut self, word: &[u8]) -> Step {
        if !self.is_established || !word.is_empty() {
            return Err(SecurityError::Token("an end before the mechanism's"));
        }
        if self.proof.is_due(&*self.context) {
            return Err(SecurityError::Token("no MIC where one is due"));
        }
        self.proof.settle(&mut *self.context);
        let answer = LegAnswer {
            token: Vec::new(),
            is_complete: true,
        };
        Ok((Stage::Complete(self.context), answer))
    }

    /// Says the mechanism's word, and our MIC with the last one.
    fn say(mut self, word: &[u8]) -> Step {
        let mic = match self.is_established {
            true => self.proof.make(&mut *self.context)?,
            false => None,
        };
        if word.is_empty() && mic.is_none() {
            return Err(SecurityError::Token("the server waits for nothing"));
        }
        let token = NegTokenResp {
            response_token: (!word.is_empty()).then_some(word),
            mech_list_mic: mic.as_deref(),
            ..NegTokenResp::default()
        };
        let answer = LegAnswer {
            token: token.encode(),
            is_complete: false,
        };
        Ok((Stage::Open(Box::new(self)), answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::words::Words;
    use crate::proto::{Packet, Principal, SecurityProvider};
    use crate::security::Mechanism;
    use crate::security::spnego::Spnego;
    use crate::wire::pdu::{AuthLevel, AuthType};
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    fn kerberos(count: usize) -> Words {
        let oids = &[oid::KERBEROS, oid::KERBEROS_CUT];
        Words::new(AuthType::KERBEROS, oids, count, true)
    }

    fn ntlm() -> Words {
        Words::new(AuthType::NTLM, &[oid::NTLM], 3, true)
    }

    fn client(mechanisms: &[&Words]) -> Box<dyn SecurityContext> {
        let offers = mechanisms.iter().map(|words| Offer {
            oid: words.oids[0],
            context: Box::new(words.speaker(true)),
        });
        initiate(offers.collect())
    }

    fn server(mechanisms: &[&Words]) -> Box<dyn SecurityContext> {
        let shared = mechanisms
            .iter()
            .map(|words| Arc::new((*words).clone()) as Arc<dyn Mechanism>);
        Spnego::new(shared.collect()).begin(AuthLevel::INTEGRITY)
    }

    /// Has both ends speak until both are complete; returns how many tokens the
    /// client sent.
    fn converse(ends: &mut [Box<dyn SecurityContext>; 2]) -> Result<usize, SecurityError> {
        let [client, server] = ends;
        let mut said = client.proceed(&[])?;
        for sent in 1..8 {
            let heard = server.proceed(&said.token)?;
            assert!(!heard.token.is_empty());
            said = client.proceed(&heard.token)?;
            assert_eq!(said.is_complete, heard.is_complete);
            if said.is_complete {
                assert!(said.token.is_empty());
                return Ok(sent);
            }
        }
        panic!("they never end");
    }

    /// Each end's packets are the other's.
    fn exchange_packets(ends: &mut [Box<dyn SecurityContext>; 2]) {
        for from in [0, 1, 1, 0] {
            let mut octets = [1, 2, 3];
            let mut signature = vec![0; ends[from].signature_len()];
            for is_sender in [true, false] {
                let packet = Packet {
                    octets: &mut octets,
                    stub: 0..3,
                    signs_header: true,
                };
                match is_sender {
                    true => ends[from].protect(packet, &mut signature).unwrap(),
                    false => ends[1 - from].verify(packet, &signature).unwrap(),
                }
            }
        }
    }

    #[test]
    fn both_ends_agree_whatever_they_prefer() {
        for count in 1..=4 {
            for can_sign in [false, true] {
                let of = |words| Words { can_sign, ..words };
                let (kerberos, ntlm) = (of(kerberos(count)), of(ntlm()));
                let lists = [
                    vec![&kerberos, &ntlm],
                    vec![&ntlm, &kerberos],
                    vec![&kerberos],
                    vec![&ntlm],
                ];
                for theirs in &lists {
                    for ours in &lists {
                        let mut ends = [client(theirs), server(ours)];
                        let names = |w: &Words| ours.iter().any(|o| o.auth_type == w.auth_type);
                        let Some(choice) = theirs.iter().find(|words| names(words)) else {
                            assert!(converse(&mut ends).is_err());
                            continue;
                        };
                        // Who says its one word with the offer does not know yet
                        // that a MIC is due.
                        let is_first = |list: &[&Words]| list[0].oids == choice.oids;
                        let is_due = can_sign && is_first(theirs) && !is_first(ours);
                        if choice.count == 1 && is_due {
                            assert!(converse(&mut ends).is_err());
                            continue;
                        }
                        converse(&mut ends).unwrap();
                        for end in &ends {
                            assert_eq!(end.principal(), choice.principal());
                        }
                        exchange_packets(&mut ends);
                    }
                }
            }
        }
    }

    #[test]
    fn ntlm_takes_two_tokens_of_the_client_and_a_fall_back_one_more() {
        let mut ends = [client(&[&ntlm()]), server(&[&ntlm()])];
        assert_eq!(converse(&mut ends), Ok(2));
        let mut ends = [client(&[&kerberos(3), &ntlm()]), server(&[&ntlm()])];
        assert_eq!(converse(&mut ends), Ok(3));
        let mut ends = [client(&[&kerberos(3)]), server(&[&kerberos(3)])];
        assert_eq!(converse(&mut ends), Ok(2));
    }

    #[test]
    fn an_offer_that_cannot_begin_is_left_out() {
        // Its word is said already, so that it refuses to begin.
        let spent = || {
            let mut context = kerberos(1).speaker(true);
            context.proceed(&[]).unwrap();
            Offer {
                oid: oid::KERBEROS,
                context: Box::new(context),
            }
        };
        let ntlm = ntlm();
        let other = Offer {
            oid: oid::NTLM,
            context: Box::new(ntlm.speaker(true)),
        };
        let mut client = initiate(vec![spent(), other]);
        let said = client.proceed(&[]).unwrap();
        let token = NegTokenInit::decode(&said.token).unwrap();
        assert!(token.mech_types.iter().eq([oid::NTLM]));
        let error = initiate(vec![spent()]).proceed(&[]).unwrap_err();
        assert_eq!(error, SecurityError::Token("all words are said"));
        let error = initiate(Vec::new()).proceed(&[]).unwrap_err();
        assert_eq!(error, SecurityError::Token("no mechanism to offer"));
    }

    /// An answer of a server's.
    fn answer<'a>(state: u8, token: Option<&'a [u8]>, mic: Option<&'a [u8]>) -> NegTokenResp<'a> {
        NegTokenResp {
            neg_state: Some(NegState(state)),
            supported_mech: None,
            response_token: token,
            mech_list_mic: mic,
        }
    }

    #[test]
    fn answers_out_of_place_are_refused() {
        let words = ntlm();
        let word = words.word(2);
        let named = |oid, answer| NegTokenResp {
            supported_mech: Some(oid),
            ..answer
        };
        let challenge = answer(1, Some(&word), None);
        let foreign = answer(1, Some(b"of another"), None);
        let cases = [
            (
                vec![named(b"\x2a", challenge)],
                "a mechanism that was not offered",
            ),
            (vec![foreign], "not the word of this turn"),
            (
                vec![named(oid::KERBEROS, challenge)],
                "an answer to what was not said",
            ),
            (
                vec![answer(1, None, None)],
                "nothing for the mechanism in it",
            ),
            (
                vec![answer(0, None, None)],
                "nothing for the mechanism in it",
            ),
            (
                vec![answer(0, Some(&word), None)],
                "an end before the mechanism's",
            ),
            (
                vec![named(oid::KERBEROS, answer(0, None, None))],
                "an end before the mechanism's",
            ),
            (
                vec![challenge, answer(3, None, None)],
                "request-mic in a later answer",
            ),
            (
                vec![challenge, named(oid::KERBEROS, answer(0, None, None))],
                "a change of the mechanism",
            ),
            (
                vec![challenge, answer(1, None, None)],
                "the server waits for nothing",
            ),
            (
                vec![challenge, answer(0, Some(b"more"), None)],
                "the mechanism is complete",
            ),
            (
                vec![challenge, answer(0, None, None), answer(0, None, None)],
                "the negotiation is complete",
            ),
        ];
        for (answers, why) in cases {
            let mut client = client(&[&words, &kerberos(3)]);
            client.proceed(&[]).unwrap();
            let (last, before) = answers.split_last().unwrap();
            for answer in before {
                client.proceed(&answer.encode()).unwrap();
            }
            let error = client.proceed(&last.encode()).unwrap_err();
            assert_eq!(error, SecurityError::Token(why));
        }
    }

    #[test]
    fn a_server_that_rejects_refuses_the_logon() {
        let mut client = client(&[&ntlm()]);
        client.proceed(&[]).unwrap();
        let error = client.proceed(&answer(2, None, None).encode()).unwrap_err();
        assert!(matches!(error, SecurityError::Denied { claimed: None, .. }));
        assert_eq!(client.principal(), Principal::Anonymous);
    }

    #[test]
    fn a_client_is_not_content_with_octets_before_its_offer() {
        let error = client(&[&ntlm()]).proceed(b"hello").unwrap_err();
        assert_eq!(error, SecurityError::Token("an answer before the offer"));
    }

    #[test]
    fn the_servers_mic_is_checked_and_may_lack_for_the_first_choice_alone() {
        for (first_state, may_lack) in [(1, true), (3, false)] {
            for given in [None, Some(0), Some(1)] {
                let words = ntlm();
                let mut client = client(&[&words]);
                let offer = client.proceed(&[]).unwrap().token;
                let list = NegTokenInit::decode(&offer).unwrap().mech_types;
                let [ours, mut theirs] = words.mics_over(list.octets());
                let word = words.word(2);
                let challenge = answer(first_state, Some(&word), None);
                let said = client.proceed(&challenge.encode()).unwrap();
                let said = NegTokenResp::decode(&said.token).unwrap();
                assert_eq!(said.response_token, Some(&words.word(3)[..]));
                assert_eq!(said.mech_list_mic, Some(&ours[..]));
                theirs[0] ^= given.unwrap_or(0);
                let last = answer(0, None, given.map(|_| &theirs[..]));
                let end = client.proceed(&last.encode());
                match given {
                    None if may_lack => assert!(end.unwrap().is_complete),
                    None => assert_eq!(end, Err(SecurityError::Token("no MIC where one is due"))),
                    Some(0) => {
                        assert!(end.unwrap().is_complete);
                        assert_eq!(words.checked.load(Relaxed), 1);
                    }
                    Some(_) => assert_eq!(end, Err(SecurityError::Signature)),
                }
            }
        }
    }

    #[test]
    fn a_list_that_somebody_shortened_on_its_way_is_noticed_by_both_ends() {
        let (kerberos, ntlm) = (kerberos(3), ntlm());
        let mut ends = [client(&[&kerberos, &ntlm]), server(&[&kerberos, &ntlm])];
        let [client, server] = &mut ends;
        client.proceed(&[]).unwrap();
        let list = MechTypes::encode([oid::NTLM]);
        let shortened = NegTokenInit {
            is_framed: true,
            mech_types: MechTypes::decode(&list).unwrap(),
            req_flags: None,
            mech_token: None,
            neg_hints: None,
            mech_list_mic: None,
        };
        let asked = server.proceed(&shortened.encode()).unwrap();
        let word = client.proceed(&asked.token).unwrap();
        let challenge = server.proceed(&word.token).unwrap();
        let last = client.proceed(&challenge.token).unwrap();
        assert_eq!(server.proceed(&last.token), Err(SecurityError::Signature));
        // Nor does the client believe an end that is made up.
        let end = client.proceed(&answer(0, None, None).encode());
        assert_eq!(end, Err(SecurityError::Token("no MIC where one is due")));
    }
}
