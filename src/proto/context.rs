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

/// The context list cannot be answered: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The list is empty.
    NoContexts,
    /// An element without transfer syntaxes, two feature elements, or a context
    /// id that is given another meaning.
    Protocol,
}

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

/// Transfer syntaxes that exist, whether served or not: a context id may not be
/// moved from one to another of them (MS-RPCE 3.3.1.5.6).
const KNOWN: [SyntaxId; 2] = [SyntaxId::NDR, SyntaxId::NDR64];

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
    /// At most one new context is accepted for each PDU. `features` tells
    /// whether the bind-time feature element is looked for: on a bind only.
    ///
    /// # Errors
    /// `Refusal` when the list as a whole is refused.
    ///
    /// # Source
    /// C706 12.6.3.1; MS-RPCE 3.3.1.5.3, 3.3.1.5.6.
    pub fn negotiate(
        &mut self,
        served: &[Served],
        contexts: &Contexts<'_>,
        features: bool,
    ) -> Result<Answers, Refusal> {
        if contexts.is_empty() {
            return Err(Refusal::NoContexts);
        }
        if contexts.iter().any(|c| c.transfer_syntaxes.is_empty()) {
            return Err(Refusal::Protocol);
        }
        let mut answers = Answers::with_capacity(contexts.len());
        let mut accepted = false;
        let mut negotiated = false;
        for context in contexts.iter() {
            let answer = match context.bind_time_features().filter(|_| features) {
                Some(_) if negotiated => return Err(Refusal::Protocol),
                Some(asked) => {
                    negotiated = true;
                    feature_answer(asked)
                }
                None => self.element(served, &context, &mut accepted)?,
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Answers one element; sets `accepted` when it became usable.
    fn element(
        &mut self,
        served: &[Served],
        context: &Context<'_>,
        accepted: &mut bool,
    ) -> Result<ContextAnswer, Refusal> {
        let known = self.get(context.id);
        if let Some(bound) = known {
            check_meaning(served, context, &bound)?;
        }
        let Some(interface) = find(served, context) else {
            return Ok(rejected(ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED));
        };
        let choice = choose(&served[interface], context).filter(|_| !*accepted);
        let Some(transfer_syntax) = choice else {
            return Ok(rejected(
                ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED,
            ));
        };
        if known.is_none() {
            if self.bound.len() >= self.limit {
                return Ok(rejected(ProviderReason::LOCAL_LIMIT_EXCEEDED));
            }
            self.bound.push(Bound {
                id: context.id,
                interface,
                transfer_syntax,
            });
        }
        *accepted = true;
        Ok(ContextAnswer {
            result: ContextResult::ACCEPTANCE,
            reason: ProviderReason::NOT_SPECIFIED,
            transfer_syntax,
        })
    }
}

/// Refuses a repeated context id that is to mean something else: another
/// interface, or known transfer syntaxes without the one agreed on.
fn check_meaning(served: &[Served], context: &Context<'_>, bound: &Bound) -> Result<(), Refusal> {
    if find(served, context) != Some(bound.interface) {
        return Err(Refusal::Protocol);
    }
    let offers = |syntax: &SyntaxId| context.transfer_syntaxes.iter().any(|s| s == *syntax);
    let moved = KNOWN.iter().any(&offers);
    if moved && !offers(&bound.transfer_syntax) {
        return Err(Refusal::Protocol);
    }
    Ok(())
}

/// The served interface that an element asks for: same UUID and major version,
/// minor version not lower than asked.
fn find(served: &[Served], context: &Context<'_>) -> Option<usize> {
    served
        .iter()
        .position(|served| served.interface.serves(&context.abstract_syntax))
}

/// The most preferred transfer syntax of `served` that the element offers.
fn choose(served: &Served, context: &Context<'_>) -> Option<SyntaxId> {
    let offered = |syntax: &&SyntaxId| context.transfer_syntaxes.iter().any(|s| s == **syntax);
    served.transfer_syntaxes.iter().find(offered).copied()
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

    fn served() -> Vec<Served> {
        [SyntaxId::EPT, SyntaxId::MGMT]
            .map(|interface| Served {
                interface,
                transfer_syntaxes: vec![SyntaxId::NDR],
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

    fn bind(
        table: &mut ContextTable,
        elements: &[(u16, SyntaxId, &[SyntaxId])],
    ) -> Result<Vec<(u16, u16)>, Refusal> {
        let list = list(elements);
        let answers = table.negotiate(&served(), &list.as_contexts(), true)?;
        Ok(codes(&answers))
    }

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
        let mut table = ContextTable::new(8);
        let answers = bind(
            &mut table,
            &[
                (0, SyntaxId::EPT, &[SyntaxId::NDR]),
                (1, SyntaxId::EPT, &[SyntaxId::NDR64]),
                (2, SyntaxId::EPT, &[bind_time_syntax(3)]),
            ],
        );
        assert_eq!(answers, Ok(vec![(0, 0), (2, 2), (3, 3)]));
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
        let mut table = ContextTable::new(8);
        let mut offer = |interface, syntax| bind(&mut table, &[(0, interface, &[syntax])]);
        assert_eq!(offer(SyntaxId::EPT, SyntaxId::NDR), Ok(vec![(0, 0)]));
        assert_eq!(offer(SyntaxId::EPT, SyntaxId::NDR), Ok(vec![(0, 0)]));
        assert_eq!(offer(SyntaxId::EPT, FOREIGN), Ok(vec![(2, 2)]));
        assert_eq!(offer(SyntaxId::MGMT, SyntaxId::NDR), Err(Refusal::Protocol));
        assert_eq!(
            offer(SyntaxId::EPT, SyntaxId::NDR64),
            Err(Refusal::Protocol)
        );
    }

    #[test]
    fn an_empty_list_or_element_is_refused() {
        let mut table = ContextTable::new(8);
        assert_eq!(bind(&mut table, &[]), Err(Refusal::NoContexts));
        let empty = [(0, SyntaxId::EPT, &[][..])];
        assert_eq!(bind(&mut table, &empty), Err(Refusal::Protocol));
    }

    #[test]
    fn two_feature_elements_are_refused() {
        let mut table = ContextTable::new(8);
        let feature = (0, SyntaxId::EPT, &[bind_time_syntax(3)][..]);
        assert_eq!(
            bind(&mut table, &[feature, feature]),
            Err(Refusal::Protocol)
        );
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
