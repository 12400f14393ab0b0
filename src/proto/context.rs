//! Presentation negotiation: which interface and transfer syntax a context id
//! means on one connection.

use crate::wire::SyntaxId;
use crate::wire::pdu::{Context, ContextAnswer, Contexts};
use crate::wire::status::{ContextResult, ProviderReason};

/// An interface that an association offers, and how its stubs may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The interface.
    pub interface: SyntaxId,
    /// Its transfer syntaxes, the preferred one first.
    pub transfer_syntaxes: Vec<SyntaxId>,
}

/// The answers to one bind or alter_context, in the order of its elements.
pub type Answers = Vec<ContextAnswer>;

/// The context list cannot be answered: it is empty, or has an element without
/// transfer syntaxes, two feature elements, or a context id that is given another
/// meaning. The connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal;

/// What one context id means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The context id.
    pub id: u16,
    /// Index into the association's `Served` list.
    pub interface: usize,
    /// The transfer syntax agreed on.
    pub transfer_syntax: SyntaxId,
}

/// The contexts of one connection, at most `limit`.
#[derive(Debug)]
pub struct ContextTable {
    /// Accepted contexts, in the order of their acceptance.
    bound: Vec<Bound>,
    /// The most that are kept.
    limit: usize,
}

/// The bind-time features that an association has: 1 several security contexts,
/// 2 a connection that outlives an orphaned call.
///
/// # Source
/// MS-RPCE 2.2.2.14; Windows and Samba answer both.
const FEATURES: u64 = 3;

impl ContextTable {
    /// No context; at most `limit` will be kept.
    pub fn new(limit: usize) -> Self {
        ContextTable {
            bound: Vec::new(),
            limit,
        }
    }

    /// What context `id` means.
    pub fn get(&self, id: u16) -> Option<Bound> {
        self.bound.iter().find(|bound| bound.id == id).copied()
    }

    /// Answers a context list and keeps what it agreed on.
    ///
    /// At most one element of a PDU is accepted: of those for the interface of
    /// the first that could be, the one that offers the most preferred transfer
    /// syntax; of several such the first. Every other element that could have
    /// been accepted is told that its syntaxes are not supported, also one that
    /// repeats a context, which stays usable.
    ///
    /// A context id that is bound may be accepted again as what it means. It is
    /// a violation to give it another interface or to have it another transfer
    /// syntax, unless an earlier element was accepted. Two new elements of one id
    /// are two elements: the accepted one tells its meaning.
    ///
    /// `features` tells whether the bind-time feature element is looked for: on
    /// a bind only.
    ///
    /// # Errors
    /// `Refusal` when the list as a whole is refused.
    ///
    /// # Source
    /// C706 12.6.3.1; MS-RPCE 3.3.1.5.3, 3.3.1.5.6: a transfer syntax that the
    /// server prefers is accepted, else the first that it knows. Windows' order
    /// (win-lsass-campaign and others): NDR, NDR64 of one interface are answered
    /// (2, 2), (0, 0). Samba 4.17 for ids given twice; its raw_protocol suite, for
    /// Windows, has a context of NDR that comes again with NDR and NDR64 for a
    /// violation (spnego_change_transfer).
    pub fn negotiate(
        &mut self,
        served: &[Served],
        contexts: &Contexts<'_>,
        features: bool,
    ) -> Result<Answers, Refusal> {
        if contexts.is_empty() || contexts.iter().any(|c| c.transfer_syntaxes.is_empty()) {
            return Err(Refusal);
        }
        let (mut answers, best) = self.consider(served, contexts, features)?;
        let until_accepted = best.map_or(answers.len(), |(index, _)| index + 1);
        let mut looked_at = contexts.iter().take(until_accepted);
        if looked_at.any(|context| self.is_moved(served, &context)) {
            return Err(Refusal);
        }
        if let Some((index, offer)) = best {
            answers[index] = self.accept(offer.bound);
        }
        Ok(answers)
    }

    /// Answers every element as if none were accepted, and finds the one that
    /// is to be, with its place.
    fn consider(
        &self,
        served: &[Served],
        contexts: &Contexts<'_>,
        features: bool,
    ) -> Result<(Answers, Option<(usize, Offer)>), Refusal> {
        let mut answers = Answers::with_capacity(contexts.len());
        let mut negotiated = false;
        let mut best: Option<(usize, Offer)> = None;
        for context in contexts.iter() {
            let answer = match context.bind_time_features().filter(|_| features) {
                Some(_) if negotiated => return Err(Refusal),
                Some(asked) => {
                    negotiated = true;
                    feature_answer(asked)
                }
                None => match self.offer(served, &context) {
                    Ok(offer) => {
                        if best.is_none_or(|(_, best)| offer.is_better_than(&best)) {
                            best = Some((answers.len(), offer));
                        }
                        rejected(ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED)
                    }
                    Err(reason) => rejected(reason),
                },
            };
            answers.push(answer);
        }
        Ok((answers, best))
    }

    /// What an element would be bound to, if it could be accepted.
    ///
    /// # Errors
    /// The reason why it cannot.
    fn offer(&self, served: &[Served], context: &Context<'_>) -> Result<Offer, ProviderReason> {
        let interface =
            find(served, context).ok_or(ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED)?;
        let (rank, transfer_syntax) = choose(&served[interface], context)
            .ok_or(ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED)?;
        if self.bound.len() >= self.limit && self.get(context.id).is_none() {
            return Err(ProviderReason::LOCAL_LIMIT_EXCEEDED);
        }
        let bound = Bound {
            id: context.id,
            interface,
            transfer_syntax,
        };
        Ok(Offer { rank, bound })
    }

    /// Whether an element gives a bound context id another meaning; an interface
    /// that is not served, or no known transfer syntax, changes nothing.
    fn is_moved(&self, served: &[Served], context: &Context<'_>) -> bool {
        let (Some(bound), Some(interface)) = (self.get(context.id), find(served, context)) else {
            return false;
        };
        let chosen = choose(&served[interface], context);
        let is_other = |(_, syntax): (usize, SyntaxId)| syntax != bound.transfer_syntax;
        bound.interface != interface || chosen.is_some_and(is_other)
    }

    /// Binds a context, unless it means the same already.
    fn accept(&mut self, offered: Bound) -> ContextAnswer {
        if self.get(offered.id).is_none() {
            self.bound.push(offered);
        }
        ContextAnswer {
            result: ContextResult::ACCEPTANCE,
            reason: ProviderReason::NOT_SPECIFIED,
            transfer_syntax: offered.transfer_syntax,
        }
    }
}

/// What an element of a list offers.
#[derive(Clone, Copy, Debug)]
struct Offer {
    /// How much it is preferred; 0 is the most.
    rank: usize,
    /// What its context id would mean.
    bound: Bound,
}

impl Offer {
    /// Whether it takes the place of one that came before it.
    fn is_better_than(&self, first: &Offer) -> bool {
        self.bound.interface == first.bound.interface && self.rank < first.rank
    }
}

/// The served interface that an element asks for: same UUID and major version,
/// minor version not lower than asked.
fn find(served: &[Served], context: &Context<'_>) -> Option<usize> {
    served
        .iter()
        .position(|served| served.interface.serves(&context.abstract_syntax))
}

/// The most preferred transfer syntax of `served` that the element offers, and
/// its place in the preference.
fn choose(served: &Served, context: &Context<'_>) -> Option<(usize, SyntaxId)> {
    let offered = |syntax: SyntaxId| context.transfer_syntaxes.iter().any(|s| s == syntax);
    let mut preferred = served.transfer_syntaxes.iter().copied().enumerate();
    preferred.find(|(_, syntax)| offered(*syntax))
}

/// The answer to the bind-time feature element: the features that both have.
fn feature_answer(asked: u64) -> ContextAnswer {
    ContextAnswer {
        result: ContextResult::NEGOTIATE_ACK,
        reason: ProviderReason((asked & FEATURES) as u16),
        transfer_syntax: ContextAnswer::NO_SYNTAX,
    }
}

/// The answer that rejects an element.
fn rejected(reason: ProviderReason) -> ContextAnswer {
    ContextAnswer {
        result: ContextResult::PROVIDER_REJECTION,
        reason,
        transfer_syntax: ContextAnswer::NO_SYNTAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder;
    use crate::wire::pdu::{ContextsBuf, bind_time_syntax};
    use uuid::Uuid;

    /// The two interfaces of a mapper that prefers the first of `syntaxes`.
    fn serving(syntaxes: &[SyntaxId]) -> Vec<Served> {
        [SyntaxId::EPT, SyntaxId::MGMT]
            .map(|interface| Served {
                interface,
                transfer_syntaxes: syntaxes.to_vec(),
            })
            .to_vec()
    }

    fn list(elements: &[(u16, SyntaxId, &[SyntaxId])]) -> ContextsBuf {
        let mut list = ContextsBuf::new(ByteOrder::Little);
        for (id, interface, syntaxes) in elements {
            list.push(*id, *interface, syntaxes);
        }
        list
    }

    fn codes(answers: &[ContextAnswer]) -> Vec<(u16, u16)> {
        answers.iter().map(|a| (a.result.0, a.reason.0)).collect()
    }

    /// Binds to a server of NDR alone.
    fn bind(
        table: &mut ContextTable,
        elements: &[(u16, SyntaxId, &[SyntaxId])],
    ) -> Result<Vec<(u16, u16)>, Refusal> {
        bind_to(&serving(&[NDR]), table, elements)
    }

    fn bind_to(
        served: &[Served],
        table: &mut ContextTable,
        elements: &[(u16, SyntaxId, &[SyntaxId])],
    ) -> Result<Vec<(u16, u16)>, Refusal> {
        let list = list(elements);
        let answers = table.negotiate(served, &list.as_contexts(), true)?;
        Ok(codes(&answers))
    }

    /// What a context means: the interface's index and the transfer syntax.
    fn meaning(table: &ContextTable, id: u16) -> Option<(usize, SyntaxId)> {
        let bound = table.get(id)?;
        Some((bound.interface, bound.transfer_syntax))
    }

    const NDR: SyntaxId = SyntaxId::NDR;
    const NDR64: SyntaxId = SyntaxId::NDR64;
    const EPT: SyntaxId = SyntaxId::EPT;
    const MGMT: SyntaxId = SyntaxId::MGMT;
    /// 64-bit Windows, and a server that prefers the older syntax.
    const PREFERENCES: [[SyntaxId; 2]; 2] = [[NDR64, NDR], [NDR, NDR64]];
    const FOREIGN: SyntaxId = SyntaxId::new(Uuid::from_u128(7), 1, 0);

    #[test]
    fn unknown_interface_and_unknown_syntax_are_told_apart() {
        let mut table = ContextTable::new(8);
        let answers = bind(
            &mut table,
            &[
                (0, FOREIGN, &[SyntaxId::NDR]),
                (1, SyntaxId::EPT, &[FOREIGN]),
                (2, SyntaxId::EPT, &[SyntaxId::NDR]),
            ],
        );
        assert_eq!(answers, Ok(vec![(2, 1), (2, 2), (0, 0)]));
        assert_eq!(table.get(2).map(|bound| bound.interface), Some(0));
        assert_eq!(table.get(0), None);
    }

    #[test]
    fn what_windows_clients_offer_is_answered_with_one_context() {
        for (served, answer) in [
            (&[NDR64, NDR][..], [(2, 2), (0, 0), (3, 3)]),
            (&[NDR, NDR64], [(0, 0), (2, 2), (3, 3)]),
            (&[NDR], [(0, 0), (2, 2), (3, 3)]),
        ] {
            let mut table = ContextTable::new(8);
            let answers = bind_to(
                &serving(served),
                &mut table,
                &[
                    (0, EPT, &[NDR]),
                    (1, EPT, &[NDR64]),
                    (2, EPT, &[bind_time_syntax(3)]),
                ],
            );
            assert_eq!(answers, Ok(answer.to_vec()));
            assert_eq!(
                meaning(&table, u16::from(served[0] == NDR64)),
                Some((0, served[0]))
            );
        }
    }

    #[test]
    fn a_transfer_syntax_that_is_offered_alone_is_taken() {
        for preference in PREFERENCES {
            for syntax in [NDR, NDR64] {
                let mut table = ContextTable::new(8);
                let alone = [(0, EPT, &[syntax][..])];
                let answers = bind_to(&serving(&preference), &mut table, &alone);
                assert_eq!(answers, Ok(vec![(0, 0)]));
                assert_eq!(meaning(&table, 0), Some((0, syntax)));
            }
        }
    }

    #[test]
    fn the_preferred_transfer_syntax_wins_over_every_order() {
        for preference in PREFERENCES {
            for (elements, accepted) in [
                // In one element, in two, behind what is not served; but not
                // of another interface than the first.
                (vec![(0, EPT, &[NDR, NDR64][..])], [0, 0]),
                (vec![(0, EPT, &[NDR64, NDR])], [0, 0]),
                (vec![(0, EPT, &[NDR]), (1, EPT, &[NDR64])], [1, 0]),
                (vec![(0, EPT, &[NDR64]), (1, EPT, &[NDR])], [0, 1]),
                (
                    vec![
                        (0, FOREIGN, &[NDR64, NDR]),
                        (1, EPT, &[FOREIGN]),
                        (2, EPT, &[NDR]),
                        (3, EPT, &[NDR]),
                        (4, EPT, &[NDR64]),
                        (5, EPT, &[NDR64]),
                    ],
                    [4, 2],
                ),
                (
                    vec![(0, EPT, &[NDR]), (1, MGMT, &[NDR64]), (2, EPT, &[NDR64])],
                    [2, 0],
                ),
            ] {
                let mut table = ContextTable::new(8);
                let answers = bind_to(&serving(&preference), &mut table, &elements).unwrap();
                let accepted = accepted[usize::from(preference[0] == NDR)];
                let is_accepted: Vec<_> = answers.iter().map(|code| *code == (0, 0)).collect();
                let expected: Vec<_> = (0..elements.len()).map(|at| at == accepted).collect();
                assert_eq!(is_accepted, expected, "{elements:?}");
                let taken = meaning(&table, accepted as u16).unwrap().1;
                assert_eq!(taken, preference[0]);
            }
        }
    }

    #[test]
    fn one_new_context_is_accepted_for_each_pdu() {
        let mut table = ContextTable::new(8);
        let both = [
            (0, SyntaxId::EPT, &[SyntaxId::NDR][..]),
            (1, SyntaxId::MGMT, &[SyntaxId::NDR][..]),
        ];
        assert_eq!(bind(&mut table, &both), Ok(vec![(0, 0), (2, 2)]));
        let second = [(1, SyntaxId::MGMT, &[SyntaxId::NDR][..])];
        assert_eq!(bind(&mut table, &second), Ok(vec![(0, 0)]));
        assert_eq!(table.get(1).map(|bound| bound.interface), Some(1));
    }

    #[test]
    fn a_context_id_keeps_its_meaning() {
        for [preferred, other] in PREFERENCES {
            let served = serving(&[preferred, other]);
            let mut table = ContextTable::new(8);
            let mut offer = |interface, syntaxes: &[_]| {
                bind_to(&served, &mut table, &[(0, interface, syntaxes)])
            };
            assert_eq!(offer(EPT, &[other]), Ok(vec![(0, 0)]));
            assert_eq!(offer(EPT, &[other]), Ok(vec![(0, 0)]));
            // What nobody knows changes nothing.
            assert_eq!(offer(EPT, &[FOREIGN]), Ok(vec![(2, 2)]));
            assert_eq!(offer(FOREIGN, &[other]), Ok(vec![(2, 1)]));
            // The syntax that would be taken now is another one.
            assert_eq!(offer(EPT, &[preferred]), Err(Refusal));
            assert_eq!(offer(EPT, &[other, preferred]), Err(Refusal));
            assert_eq!(offer(EPT, &[FOREIGN, preferred]), Err(Refusal));
            assert_eq!(offer(MGMT, &[other]), Err(Refusal));
            assert_eq!(offer(MGMT, &[FOREIGN]), Err(Refusal));
            assert_eq!(meaning(&table, 0), Some((0, other)));
        }
    }

    #[test]
    fn a_repeated_context_beside_a_new_one_is_the_one_accepted_when_it_is_first_or_preferred() {
        let served = serving(&[NDR64, NDR]);
        for (bound, elements, answer) in [
            (NDR, [(0, EPT, NDR), (1, MGMT, NDR)], Ok([(0, 0), (2, 2)])),
            (NDR, [(1, MGMT, NDR), (0, EPT, NDR)], Ok([(0, 0), (2, 2)])),
            (NDR, [(0, EPT, NDR), (1, EPT, NDR64)], Ok([(2, 2), (0, 0)])),
            (
                NDR64,
                [(1, EPT, NDR), (0, EPT, NDR64)],
                Ok([(2, 2), (0, 0)]),
            ),
            // Another meaning is a violation before the accepted element only.
            (NDR64, [(0, EPT, NDR), (1, EPT, NDR64)], Err(Refusal)),
            (NDR, [(0, MGMT, NDR), (1, EPT, NDR)], Err(Refusal)),
            (NDR, [(0, MGMT, NDR), (1, EPT, NDR64)], Err(Refusal)),
            (NDR, [(1, EPT, NDR64), (0, MGMT, NDR)], Ok([(0, 0), (2, 2)])),
            (
                NDR,
                [(1, EPT, NDR64), (0, EPT, NDR64)],
                Ok([(0, 0), (2, 2)]),
            ),
        ] {
            let mut table = ContextTable::new(8);
            let first = bind_to(&served, &mut table, &[(0, EPT, &[bound])]);
            assert_eq!(first, Ok(vec![(0, 0)]));
            let elements = elements.map(|(id, interface, syntax)| (id, interface, [syntax]));
            let list = elements.each_ref().map(|(id, interface, syntaxes)| {
                let syntaxes: &[_] = syntaxes;
                (*id, *interface, syntaxes)
            });
            let answers = bind_to(&served, &mut table, &list);
            assert_eq!(answers, answer.map(Vec::from), "{elements:?}");
            assert_eq!(meaning(&table, 0), Some((0, bound)));
        }
    }

    #[test]
    fn of_two_elements_with_one_new_id_the_accepted_one_tells_its_meaning() {
        for (served, elements, answer, expected) in [
            (
                [NDR64, NDR],
                [(EPT, NDR), (EPT, NDR64)],
                [(2, 2), (0, 0)],
                (0, NDR64),
            ),
            (
                [NDR, NDR64],
                [(EPT, NDR), (EPT, NDR64)],
                [(0, 0), (2, 2)],
                (0, NDR),
            ),
            (
                [NDR64, NDR],
                [(EPT, NDR), (MGMT, NDR)],
                [(0, 0), (2, 2)],
                (0, NDR),
            ),
            (
                [NDR64, NDR],
                [(FOREIGN, NDR), (MGMT, NDR)],
                [(2, 1), (0, 0)],
                (1, NDR),
            ),
        ] {
            let mut table = ContextTable::new(8);
            let elements = elements.map(|(interface, syntax)| (interface, [syntax]));
            let list = elements.each_ref().map(|(interface, syntaxes)| {
                let syntaxes: &[_] = syntaxes;
                (5, *interface, syntaxes)
            });
            let answers = bind_to(&serving(&served), &mut table, &list);
            assert_eq!(answers, Ok(answer.to_vec()));
            assert_eq!(meaning(&table, 5), Some(expected));
        }
    }

    #[test]
    fn an_empty_list_or_element_is_refused() {
        let mut table = ContextTable::new(8);
        assert_eq!(bind(&mut table, &[]), Err(Refusal));
        let empty = [(0, SyntaxId::EPT, &[][..])];
        assert_eq!(bind(&mut table, &empty), Err(Refusal));
    }

    #[test]
    fn two_feature_elements_are_refused() {
        let mut table = ContextTable::new(8);
        let feature = (0, SyntaxId::EPT, &[bind_time_syntax(3)][..]);
        assert_eq!(bind(&mut table, &[feature, feature]), Err(Refusal));
    }

    #[test]
    fn contexts_above_the_limit_are_rejected_one_by_one() {
        let mut table = ContextTable::new(1);
        let ndr = &[SyntaxId::NDR][..];
        assert_eq!(
            bind(&mut table, &[(0, SyntaxId::EPT, ndr)]),
            Ok(vec![(0, 0)])
        );
        assert_eq!(
            bind(&mut table, &[(1, SyntaxId::EPT, ndr)]),
            Ok(vec![(2, 3)])
        );
        let both = [(1, SyntaxId::EPT, ndr), (0, SyntaxId::EPT, ndr)];
        assert_eq!(bind(&mut table, &both), Ok(vec![(2, 3), (0, 0)]));
        assert_eq!(
            bind(&mut table, &[(0, SyntaxId::EPT, ndr)]),
            Ok(vec![(0, 0)])
        );
    }

    #[test]
    fn a_newer_minor_version_than_served_is_not_supported() {
        let mut table = ContextTable::new(8);
        let newer = SyntaxId {
            minor: 1,
            ..SyntaxId::EPT
        };
        let older = SyntaxId {
            major: 4,
            ..SyntaxId::EPT
        };
        let ndr = &[SyntaxId::NDR][..];
        assert_eq!(
            bind(&mut table, &[(0, newer, ndr), (1, older, ndr)]),
            Ok(vec![(2, 1), (2, 1)])
        );
    }
}
