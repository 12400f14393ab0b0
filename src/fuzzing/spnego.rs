//! Tokens of SPNEGO, and what both ends make of them.

use super::Choices;
use super::words::Words;
use crate::proto::{Principal, SecurityProvider};
use crate::security::oid;
use crate::security::spnego::token::{
    MOST_MECHANISMS, MechTypes, NegState, NegTokenInit, NegTokenResp, unframed,
};
use crate::security::spnego::{Offer, Spnego, initiate};
use crate::wire::pdu::{AuthLevel, AuthType};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Target `spnego`: what decodes encodes to what decodes alike, and neither end
/// is complete whose mechanism is not, or which lacks the MIC that its choice
/// asks for.
pub fn spnego(octets: &[u8]) {
    check_tokens(octets);
    check_acceptor(Choices(octets));
    check_initiator(Choices(octets));
}

/// The laws of tokens.
fn check_tokens(octets: &[u8]) {
    unframed(octets);
    if let Ok(token) = NegTokenInit::decode(octets) {
        let again = token.encode();
        assert_eq!(NegTokenInit::decode(&again), Ok(token));
        let list = token.mech_types;
        assert!((1..=MOST_MECHANISMS).contains(&list.iter().count()));
        assert_eq!(MechTypes::encode(list.iter()), list.octets());
        assert!(NegTokenResp::decode(octets).is_err());
    }
    if let Ok(token) = NegTokenResp::decode(octets) {
        let again = token.encode();
        assert_eq!(NegTokenResp::decode(&again), Ok(token));
    }
}

/// Kerberos and NTLM, as far as SPNEGO sees them.
fn mechanisms(choices: &mut Choices) -> [Words; 2] {
    let mut words = |auth_type, oids| {
        let count = usize::from(choices.u8() % 4) + 1;
        Words::new(auth_type, oids, count, choices.of([true, false]))
    };
    [
        words(AuthType::KERBEROS, &[oid::KERBEROS, oid::KERBEROS_CUT]),
        words(AuthType::NTLM, &[oid::NTLM]),
    ]
}

/// What somebody says who knows the words and may know the other end's list.
fn token(choices: &mut Choices, mechanisms: &[Words; 2], list: &[u8]) -> Vec<u8> {
    let mechanism = &mechanisms[usize::from(choices.u8() % 2)];
    let word = mechanism.word(usize::from(choices.u8() % 5) + 1);
    let [client, server] = mechanism.mics_over(list);
    let mic = choices.of([&client, &server]);
    let oids = [oid::KERBEROS, oid::NTLM, oid::KERBEROS_CUT, b"\x2a"];
    let named = [choices.of(oids), choices.of(oids), choices.of(oids)];
    let types = MechTypes::encode(named[..choices.of([1, 2, 3])].iter().copied());
    let mut octets = match choices.u8() % 4 {
        0 => NegTokenInit {
            is_framed: choices.of([true, false]),
            mech_types: MechTypes::decode(&types).expect("a list of ours"),
            req_flags: None,
            mech_token: choices.of([Some(&word[..]), None]),
            neg_hints: choices.of([None, Some(&[])]),
            mech_list_mic: choices.of([None, Some(&mic[..])]),
        }
        .encode(),
        1 | 2 => NegTokenResp {
            neg_state: choices
                .of([None, Some(0), Some(1), Some(2), Some(3)])
                .map(NegState),
            supported_mech: choices.of([None, Some(named[0])]),
            response_token: choices.of([None, Some(&word[..])]),
            mech_list_mic: choices.of([None, Some(&mic[..])]),
        }
        .encode(),
        _ => word,
    };
    if choices.of([true, false, false, false]) {
        choices.mangle(&mut octets);
    }
    octets
}

/// Octets as tokens to a server; returns whether a negotiation was completed.
fn check_acceptor(mut choices: Choices) -> bool {
    let mechanisms = mechanisms(&mut choices);
    let provider = Spnego::new(
        mechanisms
            .iter()
            .map(|words| Arc::new(words.clone()) as _)
            .collect(),
    );
    let mut context = provider.begin(AuthLevel::INTEGRITY);
    let mut list = Vec::new();
    let mut first = None;
    let (mut is_over, mut is_complete) = (false, false);
    while !choices.is_empty() {
        let octets = token(&mut choices, &mechanisms, &list);
        let init = NegTokenInit::decode(&octets).ok();
        if let (None, Some(init)) = (&first, init) {
            list = init.mech_types.octets().to_vec();
        }
        first.get_or_insert(octets.clone());
        let Ok(answer) = context.proceed(&octets) else {
            is_over = true;
            continue;
        };
        assert!(!is_over, "a token after the end");
        if answer.is_complete {
            (is_over, is_complete) = (true, true);
            let mut list = MechTypes::decode(&list)
                .into_iter()
                .flat_map(|list| list.iter());
            // Without a list there is no SPNEGO around the mechanism.
            if let Some(first) = list.next() {
                let preferred = &mechanisms[0];
                let is_first = preferred.oids.contains(&first);
                let principal = context.principal();
                check_completed(&mechanisms, &principal, is_first);
            }
        }
    }
    is_complete
}

/// The law of an end that is complete: the mechanism is whose principal it
/// tells, and the peer's MIC was checked where it is due.
fn check_completed(mechanisms: &[Words; 2], principal: &Principal, is_first_of_both: bool) {
    let is_it = |words: &&Words| *principal == words.principal();
    let words = mechanisms.iter().find(is_it).expect("a mechanism of ours");
    assert!(words.completed.load(Relaxed) > 0);
    let is_due = words.can_sign && !is_first_of_both;
    assert!(!is_due || words.checked.load(Relaxed) == 1);
}

/// Octets as answers to a client; returns whether a negotiation was completed.
fn check_initiator(mut choices: Choices) -> bool {
    let mechanisms = mechanisms(&mut choices);
    let offers = mechanisms.iter().map(|words| Offer {
        oid: words.oids[0],
        context: Box::new(words.speaker(true)),
    });
    let mut context = initiate(offers.collect());
    let offer = context.proceed(&[]).expect("the first word");
    assert!(!offer.is_complete);
    let list = NegTokenInit::decode(&offer.token).expect("an offer of ours");
    let list = list.mech_types.octets().to_vec();
    let (mut is_over, mut is_complete) = (false, false);
    while !choices.is_empty() {
        let octets = token(&mut choices, &mechanisms, &list);
        let Ok(answer) = context.proceed(&octets) else {
            is_over = true;
            continue;
        };
        assert!(!is_over, "a token after the end");
        if answer.is_complete {
            (is_over, is_complete) = (true, true);
            let principal = context.principal();
            let is_first = principal == mechanisms[0].principal();
            check_completed(&mechanisms, &principal, is_first);
        }
    }
    is_complete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_laws_hold_for_made_up_octets_and_some_negotiations_end_well() {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let mut ended_well = [0; 2];
        for _ in 0..5_000 {
            let octets: Vec<u8> = (0..48).map(|_| next()).collect();
            check_tokens(&octets);
            ended_well[0] += usize::from(check_acceptor(Choices(&octets)));
            ended_well[1] += usize::from(check_initiator(Choices(&octets)));
        }
        assert!(ended_well.iter().all(|count| *count > 5), "{ended_well:?}");
    }
}
