//! The client's end: offers mechanisms and follows the server's choice.

use super::token::{MechTypes, NegState, NegTokenInit, NegTokenResp};
use super::{Negotiation, Proof, Stage, Step, Turn, oid};
use crate::proto::{LegAnswer, SecurityContext, SecurityError};
use crate::security::MechanismContext;

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
