//! Two servers' traces of one conversation: where they differ.

use crate::allow::Allowance;
use crate::answer::{Answer, REVERSED};
use crate::conversation::{Conversation, Sent};
use crate::pdus::{Element, LAST};
use crate::play::{End, Trace};
use epmapper::wire::{ByteOrder, SyntaxId};
use std::fmt;

/// One thing in which the answers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// On which connection.
    pub connection: usize,
    /// How many steps had been taken.
    pub after: usize,
    /// How many answers both had given on the connection.
    pub before: usize,
    /// The call id of the answer, if there is one.
    pub call_id: Option<u32>,
    /// The type of the answer; of ours, where there are two.
    pub pdu: String,
    /// The field, `answer` where there is none in common, `connection` for how it ends.
    pub field: &'static str,
    /// Which of several results in an answer, else 0.
    pub index: usize,
    pub ours: String,
    pub sambas: String,
    /// Whether the servers go different ways from here, so that nothing after it can be compared.
    pub is_parting: bool,
}

/// Where a difference stands in its conversation: what an allowance may ask about.
pub struct Place<'a> {
    pub conversation: &'a Conversation,
    pub difference: &'a Difference,
}

impl Place<'_> {
    /// The PDUs that had been sent on the connection, the marker aside.
    pub fn sent(&self) -> Vec<Sent> {
        let mut sent = self.conversation.sent(self.difference.connection);
        sent.retain(|sent| sent.step < self.difference.after || !sent.is_whole);
        sent
    }

    /// The PDUs that may be what is answered: those with the call id, or else the last.
    pub fn asked(&self) -> Vec<Sent> {
        let sent = self.sent();
        let with = |call_id: Option<u32>| {
            let same = |sent: &&Sent| Some(sent.header.call_id) == call_id;
            sent.iter().filter(same).cloned().collect::<Vec<Sent>>()
        };
        let told = self.difference.call_id;
        [with(told), with(told.map(u32::swap_bytes))]
            .into_iter()
            .find(|asked| !asked.is_empty())
            .unwrap_or_else(|| sent.last().cloned().into_iter().collect())
    }

    /// Whether a PDU that may be what is answered is like this.
    pub fn asks(&self, is: impl FnMut(&Sent) -> bool) -> bool {
        self.asked().iter().any(is)
    }

    /// Whether any PDU sent so far is like this.
    pub fn asked_before(&self, is: impl FnMut(&Sent) -> bool) -> bool {
        self.sent().iter().any(is)
    }

    /// Whether the element that a result answers is like this.
    pub fn asks_element(&self, is: impl FnMut(&Element) -> bool) -> bool {
        let nth = |sent: &Sent| sent.elements().into_iter().nth(self.difference.index);
        let elements: Vec<Element> = self.asked().iter().filter_map(nth).collect();
        elements.iter().any(is)
    }

    /// Whether one of these operations of an interface is called.
    pub fn calls(&self, interface: SyntaxId, operations: &[u16]) -> bool {
        !self.stubs(interface, operations).is_empty()
    }

    /// Whether nothing was answered before on the connection.
    pub fn is_first(&self) -> bool {
        self.difference.before == 0
    }

    /// The stubs of calls of an interface that may be what is answered, their fragments together.
    pub fn stubs(&self, interface: SyntaxId, operations: &[u16]) -> Vec<Stub> {
        self.stubs_of(&self.asked(), interface, operations)
    }

    /// The same of all calls on the connection.
    pub fn all_stubs(&self, interface: SyntaxId, operations: &[u16]) -> Vec<Stub> {
        self.stubs_of(&self.sent(), interface, operations)
    }

    fn stubs_of(&self, asked: &[Sent], interface: SyntaxId, operations: &[u16]) -> Vec<Stub> {
        let sent = self.sent();
        let elements: Vec<Element> = sent.iter().flat_map(Sent::elements).collect();
        let is_meant = |sent: &&Sent| {
            sent.request().is_some_and(|request| {
                let means = |e: &Element| e.id == request.context_id && e.interface == interface;
                operations.contains(&request.opnum) && elements.iter().any(means)
            })
        };
        asked
            .iter()
            .filter(is_meant)
            .map(|first| self.stub(first, &sent))
            .collect()
    }

    /// The stub of a call, from this fragment on.
    fn stub(&self, first: &Sent, sent: &[Sent]) -> Stub {
        let rest = sent.iter().filter(|sent| {
            sent.header.call_id == first.header.call_id
                && sent.step > first.step
                && !first.has(LAST)
        });
        let all = [first].into_iter().chain(rest);
        let step = self.conversation.steps.get(first.step);
        Stub {
            order: first.order(),
            octets: all
                .filter_map(Sent::request)
                .flat_map(|request| request.stub.to_vec())
                .collect(),
            has_handle: step.is_some_and(|step| !step.fills.is_empty()),
        }
    }
}

/// A request's stub.
pub struct Stub {
    pub order: ByteOrder,
    pub octets: Vec<u8>,
    /// Whether a handle is put in when it is sent.
    pub has_handle: bool,
}

impl Stub {
    /// The u32 at an offset; none behind the end.
    pub fn word(&self, at: usize) -> Option<u32> {
        let octets = *self.octets.get(at..)?.first_chunk::<4>()?;
        Some(match self.order {
            ByteOrder::Little => u32::from_le_bytes(octets),
            ByteOrder::Big => u32::from_be_bytes(octets),
        })
    }
}

/// Which of several PDUs with one call id an answer is taken to be about, where only one server answers.
#[derive(Clone, Copy)]
pub enum Order {
    First,
    Last,
}

/// Everything in which two plays of one conversation differ, up to the first parting.
pub fn differences(
    conversation: &Conversation,
    (ours, sambas): (&[Trace], &[Trace]),
    order: Order,
) -> Vec<Difference> {
    let mut found: Vec<Difference> = ours
        .iter()
        .zip(sambas)
        .enumerate()
        .flat_map(|(connection, (ours, sambas))| {
            let sent = conversation.sent(connection);
            let asked = sent.iter().map(|sent| sent.header.call_id).collect();
            Connection {
                connection,
                asked,
                order,
                ours,
                sambas,
            }
            .differences()
        })
        .collect();
    found.sort_by_key(|difference| difference.after);
    found
}

/// Whether an allowance explains each difference; those behind an explained parting need none.
///
/// # Errors
/// The first difference that none explains.
pub fn explain<'a>(
    conversation: &Conversation,
    differences: &[Difference],
    allowances: &'a [Allowance],
) -> Result<Vec<&'a Allowance>, Box<Difference>> {
    let mut used = Vec::new();
    for difference in differences {
        let place = Place {
            conversation,
            difference,
        };
        let Some(allowance) = allowances
            .iter()
            .find(|allowance| allowance.explains(&place))
        else {
            return Err(Box::new(difference.clone()));
        };
        used.push(allowance);
        if difference.is_parting || allowance.parts {
            break;
        }
    }
    Ok(used)
}

/// Both servers' traces of one connection.
struct Connection<'a> {
    connection: usize,
    /// The call ids sent, in order.
    asked: Vec<u32>,
    order: Order,
    ours: &'a Trace,
    sambas: &'a Trace,
}

impl Connection<'_> {
    fn differences(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        let (mut ours, mut sambas) = (&self.ours.answers[..], &self.sambas.answers[..]);
        let mut before = 0;
        loop {
            match (ours, sambas) {
                ([], []) => break,
                ([our, rest @ ..], [theirs, others @ ..])
                    if is_pair(our, theirs)
                        && !fits(rest, theirs, our)
                        && !fits(others, our, theirs) =>
                {
                    found.extend(self.fields(our, theirs, before));
                    before += 1;
                    (ours, sambas) = (rest, others);
                }
                // One of them answers what the other does not.
                ([our, rest @ ..], theirs) if self.comes_first(our, rest, theirs) => {
                    found.push(self.extra(our, Who::Ours, rest, theirs));
                    ours = rest;
                }
                (our, [theirs, others @ ..]) => {
                    found.push(self.extra(theirs, Who::Samba, others, our));
                    sambas = others;
                }
                ([our, ..], []) => {
                    found.push(self.extra(our, Who::Ours, &[], &[]));
                    return found;
                }
            }
            if found.last().is_some_and(|difference| difference.is_parting) {
                return found;
            }
        }
        if self.ours.end != self.sambas.end {
            found.push(Difference {
                connection: self.connection,
                after: usize::MAX,
                before: self.ours.answers.len(),
                call_id: None,
                pdu: "none".to_owned(),
                field: "connection",
                index: 0,
                ours: self.ours.end.to_string(),
                sambas: self.sambas.end.to_string(),
                is_parting: true,
            });
        }
        found
    }

    /// The fields that differ in two answers to one PDU.
    fn fields(&self, ours: &Answer, sambas: &Answer, before: usize) -> Vec<Difference> {
        let difference = |field, index, ours_say: &str, sambas_say: &str, is_parting| Difference {
            connection: self.connection,
            after: ours.after.max(sambas.after),
            before,
            call_id: Some(ours.call_id),
            pdu: ours.pdu.clone(),
            field,
            index,
            ours: ours_say.to_owned(),
            sambas: sambas_say.to_owned(),
            is_parting,
        };
        if ours.pdu != sambas.pdu {
            let (ours, sambas) = (ours.summary(), sambas.summary());
            return vec![difference("answer", 0, &ours, &sambas, true)];
        }
        let mut found = Vec::new();
        let mut results = 0;
        let longest = ours.fields.len().max(sambas.fields.len());
        for place in 0..longest {
            let (our, theirs) = (ours.fields.get(place), sambas.fields.get(place));
            let name = our.or(theirs).map_or("", |field| field.name);
            let says = |field: Option<&crate::answer::Field>| {
                field.map_or("absent".to_owned(), |field| match field.name == name {
                    true => field.value.clone(),
                    false => format!("{}: {}", field.name, field.value),
                })
            };
            let index = if name == "result" { results } else { 0 };
            results += usize::from(name == "result");
            if our != theirs {
                let is_parting = PARTING.contains(&name) && ours.pdu != "response";
                let one = difference(name, index, &says(our), &says(theirs), is_parting);
                if PARTING.contains(&name) {
                    // What else differs in this answer follows from it.
                    found.retain(|other: &Difference| other.field == "byte order");
                    found.push(one);
                    return found;
                }
                found.push(one);
            }
        }
        found
    }

    /// Whether an answer of ours that has no pair is to something earlier than Samba's next.
    fn comes_first(&self, our: &Answer, rest: &[Answer], sambas: &[Answer]) -> bool {
        let Some(theirs) = sambas.first() else {
            return true;
        };
        if later(rest, theirs) || later(sambas, our) {
            return later(rest, theirs) && !fits(sambas, our, theirs);
        }
        self.place(our) <= self.place(theirs)
    }

    /// When what is answered was sent; markers are the last.
    fn place(&self, answer: &Answer) -> usize {
        let call_id = match answer.field("call_id") {
            Some(REVERSED) => answer.call_id.swap_bytes(),
            _ => answer.call_id,
        };
        let mut asked = self.asked.iter();
        let place = match self.order {
            Order::First => asked.position(|asked| *asked == call_id),
            Order::Last => asked.rposition(|asked| *asked == call_id),
        };
        place.unwrap_or(usize::MAX)
    }

    /// An answer to which the other server has none, with what both say after it.
    fn extra(&self, answer: &Answer, who: Who, rest: &[Answer], others: &[Answer]) -> Difference {
        let (trace, other) = match who {
            Who::Ours => (self.ours, self.sambas),
            Who::Samba => (self.sambas, self.ours),
        };
        let silence = match other.end {
            End::Lives => "none".to_owned(),
            _ if !others.is_empty() => "none".to_owned(),
            end => end.to_string(),
        };
        let ends_here = rest.is_empty() && trace.end != End::Lives;
        let is_parting = ends_here || others.is_empty() && other.end != End::Lives;
        let (ours, sambas) = match who {
            Who::Ours => (answer.summary(), silence),
            Who::Samba => (silence, answer.summary()),
        };
        Difference {
            connection: self.connection,
            after: answer.after,
            before: trace.answers.len() - rest.len() - 1,
            call_id: Some(answer.call_id),
            pdu: answer.pdu.clone(),
            field: "answer",
            index: 0,
            ours,
            sambas,
            is_parting,
        }
    }
}

/// Whose an answer is.
enum Who {
    Ours,
    Samba,
}

/// Fields that decide what stands in the rest of an answer; in a fault or bind_nak also what comes after it.
const PARTING: [&str; 3] = ["status", "reason", "count"];

/// Whether two answers are to one PDU.
fn is_pair(ours: &Answer, sambas: &Answer) -> bool {
    let reversed = |answer: &Answer| answer.field("call_id") == Some(REVERSED);
    ours.call_id == sambas.call_id
        || (reversed(ours) != reversed(sambas) && ours.call_id == sambas.call_id.swap_bytes())
}

/// Whether what `wanted` has no equal in is said later, so that the two at hand are about different PDUs of one call id.
fn fits(answers: &[Answer], wanted: &Answer, instead: &Answer) -> bool {
    let says = wanted.summary();
    says != instead.summary()
        && answers
            .iter()
            .any(|answer| is_pair(answer, wanted) && answer.summary() == says)
}

/// Whether an answer to the same PDU comes later.
fn later(answers: &[Answer], wanted: &Answer) -> bool {
    answers.iter().any(|answer| is_pair(answer, wanted))
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            pdu,
            field,
            index,
            ours,
            sambas,
            ..
        } = self;
        write!(f, "{pdu}, {field}")?;
        if *index > 0 {
            write!(f, " {index}")?;
        }
        write!(f, ": ours {ours}, Samba's {sambas}")
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Lives => "lives",
            End::Closed => "closed",
            End::Silent => "silent",
            End::Crashed => "crashed",
        })
    }
}
