//! Says a conversation to a server and takes down what comes back.
//!
//! Nothing here waits for time to pass. A step that is surely answered is waited for; after the last a marker is sent
//! on each connection, a call that every server answers with a fault, so that silence and the end are told apart. What
//! ends within a PDU gets no marker: the client stops writing, and the server has nothing left but to close.

use crate::answer::{self, Answer, Known};
use crate::conversation::{Conversation, Fill, Filling, Sent, Step};
use crate::pdus::{CallBody, FIRST, WHOLE};
use epmapper::wire::pdu::{Body, Header, PacketType, Pdu};
use epmapper::wire::status::ContextResult;
use epmapper::wire::{ByteOrder, SyntaxId};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take that has to come: far longer than any takes.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a silent server is looked after.
const LOOK: Duration = Duration::from_secs(1);
/// The endpoint mapper's port.
const PORT: u16 = 135;
/// The call id of the marker; no other call has it.
const MARKER: u32 = 0x6d61_726b;
/// The call id of the marker behind one that was not answered as it should be.
const SECOND_MARKER: u32 = MARKER + 1;
/// How a marker is answered on a connection that lives: no interface is bound to its context.
const UNKNOWN_INTERFACE: &str = "0x1c010003";
/// A context id that is never bound.
const NO_CONTEXT: u16 = 0x7e7e;

/// A server to talk to.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    pub address: Ipv4Addr,
    /// Whether it is still there, so that waiting makes sense.
    pub is_up: &'a (dyn Fn() -> bool + Sync),
}

/// What came of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub answers: Vec<Answer>,
    pub end: End,
}

/// How a connection stood at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes on: the marker was answered.
    Lives,
    /// The server closed it.
    Closed,
    /// Nothing came, and the server did not close.
    Silent,
    /// The server's process ended.
    Crashed,
}

/// Says `conversation` to `server`: one trace for each connection.
pub fn play(server: Server<'_>, conversation: &Conversation) -> Vec<Trace> {
    let mut players: Vec<Player> = (0..conversation.connections())
        .map(|number| Player::connect(server, conversation.sent(number)))
        .collect();
    let mut groups = Vec::new();
    if conversation.is_pipelined {
        for (number, player) in players.iter_mut().enumerate() {
            let steps = conversation.steps.iter();
            let octets: Vec<u8> = steps
                .filter(|step| step.connection == number)
                .flat_map(|step| step.octets.clone())
                .collect();
            player.write(&octets);
            player.taken = conversation.steps.len();
        }
    } else {
        let answered = conversation.answered();
        for (number, step) in conversation.steps.iter().enumerate() {
            let octets = filled(step, &players);
            let player = &mut players[step.connection];
            player.write(&octets);
            player.taken = number + 1;
            if answered[number] {
                player.read(&mut groups, |_| true);
            }
        }
    }
    for (number, player) in players.iter_mut().enumerate() {
        player.finish(conversation.is_cut(number), &mut groups);
    }
    players.into_iter().map(Player::into_trace).collect()
}

/// A step's octets with what the server told before put in.
fn filled(step: &Step, players: &[Player<'_>]) -> Vec<u8> {
    let mut octets = step.octets.clone();
    let order = Header::decode(&octets).map_or(ByteOrder::Little, |header| header.drep.order());
    for Fill { offset, what } in &step.fills {
        let value = match what {
            // Samba forgets the group of a connection that it has closed, but not at once.
            Filling::Group { connection } => {
                let player = &players[*connection];
                let group = if player.end.is_none() {
                    player.group
                } else {
                    0
                };
                in_order(order, &[&group.to_le_bytes()])
            }
            Filling::Handle { step } => {
                let handles = players.iter().find_map(|player| player.handles.get(step));
                let handle = handles.copied().unwrap_or_default();
                let parts = [&handle[..4], &handle[4..8], &handle[8..10], &handle[10..12]];
                [in_order(order, &parts), handle[12..].to_vec()].concat()
            }
        };
        octets[*offset..*offset + value.len()].copy_from_slice(&value);
    }
    octets
}

/// Little-endian integers one after the other, in the order that is asked for.
fn in_order(order: ByteOrder, parts: &[&[u8]]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| match order {
            ByteOrder::Little => part.to_vec(),
            ByteOrder::Big => part.iter().rev().copied().collect(),
        })
        .collect()
}

/// The client's end of one connection.
struct Player<'a> {
    server: Server<'a>,
    stream: TcpStream,
    /// What was read and is no whole PDU yet.
    octets: Vec<u8>,
    answers: Vec<Answer>,
    end: Option<End>,
    /// How many steps of the conversation were taken, on whatever connection.
    taken: usize,
    /// The PDUs that will have been sent in the end.
    sent: Vec<Sent>,
    /// The interfaces of the contexts that were accepted.
    contexts: HashMap<u16, SyntaxId>,
    /// The fragments of a response that goes on.
    parts: Vec<Vec<u8>>,
    /// The last group told.
    group: u32,
    /// Handles by the step that was answered, their integers little-endian.
    handles: HashMap<usize, [u8; 20]>,
}

impl<'a> Player<'a> {
    fn connect(server: Server<'a>, sent: Vec<Sent>) -> Self {
        let address = SocketAddr::from((server.address, PORT));
        let stream = TcpStream::connect_timeout(&address, DEADLINE)
            .unwrap_or_else(|error| panic!("{address} does not accept: {error}"));
        stream.set_read_timeout(Some(LOOK)).expect("a deadline");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a deadline");
        stream.set_nodelay(true).expect("no delay");
        Player {
            server,
            stream,
            octets: Vec::new(),
            answers: Vec::new(),
            end: None,
            taken: 0,
            sent,
            contexts: HashMap::new(),
            parts: Vec::new(),
            group: 0,
            handles: HashMap::new(),
        }
    }

    /// Writes; that the server has closed is seen when reading.
    fn write(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets);
    }

    /// Finds out how the connection stands.
    fn finish(&mut self, is_cut: bool, groups: &mut Vec<u32>) {
        if is_cut {
            let _ = self.stream.shutdown(Shutdown::Write);
            self.read(groups, |_| false);
            return;
        }
        // A marker that meets an incomplete call is answered like any other, so a second one asks again.
        for marker in [MARKER, SECOND_MARKER] {
            let call = CallBody::new(NO_CONTEXT, 0, &[]).draft(ByteOrder::Little, marker, WHOLE);
            self.write(&call.octets());
            self.read(groups, |header| header.call_id == marker);
            let answer = self
                .answers
                .last()
                .and_then(|answer| answer.field("status"));
            if self.end.is_some() || answer == Some(UNKNOWN_INTERFACE) {
                return;
            }
        }
    }

    /// Reads answers up to the end of a wanted one, or of the connection.
    fn read(&mut self, groups: &mut Vec<u32>, wanted: impl Fn(&Header) -> bool) {
        while self.end.is_none() {
            let Some(octets) = self.pdu() else { return };
            let header = Header::decode(&octets).expect("a header");
            self.take(octets, &header, groups);
            if wanted(&header) && answer::is_last(&header) {
                return;
            }
        }
    }

    /// The next PDU, or how the connection ended.
    fn pdu(&mut self) -> Option<Vec<u8>> {
        let mut patience = DEADLINE.as_secs() / LOOK.as_secs();
        loop {
            let length = Header::peek_frag_length(&self.octets).map(usize::from);
            if let Some(length) = length
                && self.octets.len() >= length.max(Header::LEN)
            {
                return Some(self.octets.drain(..length.max(Header::LEN)).collect());
            }
            let mut buffer = [0; 16384];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.end = Some(End::Closed),
                Ok(count) => self.octets.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    patience -= 1;
                    if patience == 0 || !(self.server.is_up)() {
                        self.end = Some(End::Silent);
                    }
                }
                Err(_) => self.end = Some(End::Closed),
            }
            if self.end.is_some() {
                return None;
            }
        }
    }

    /// Takes a PDU down; fragments of a response wait for the last.
    fn take(&mut self, octets: Vec<u8>, header: &Header, groups: &mut Vec<u32>) {
        let goes_on = !answer::is_last(header);
        self.parts.push(octets);
        if goes_on {
            return;
        }
        let pdus = std::mem::take(&mut self.parts);
        let call = self.learn(header, &pdus);
        let sent = self
            .sent
            .iter()
            .filter(|sent| sent.step < self.taken || !sent.is_whole);
        let mut call_ids: Vec<u32> = sent.map(|sent| sent.header.call_id).collect();
        call_ids.extend([MARKER, SECOND_MARKER]);
        let mut known = Known {
            call_ids: &call_ids,
            server: self.server.address,
            groups,
            call,
        };
        self.answers
            .push(Answer::new(&pdus, self.taken, &mut known));
    }

    /// Keeps what later steps need of an answer; the call that it answers, if it is a response.
    fn learn(&mut self, header: &Header, pdus: &[Vec<u8>]) -> Option<(SyntaxId, u16, Vec<u8>)> {
        let asked = self.asked(header);
        let mut stub = Vec::new();
        for pdu in pdus {
            match Pdu::decode(pdu).ok()?.body {
                Body::BindAck(ack) | Body::AlterContextResp(ack) => {
                    self.group = ack.assoc_group_id;
                    let elements = asked.as_ref().map(Sent::elements).unwrap_or_default();
                    let accepted = elements
                        .iter()
                        .zip(ack.results.iter())
                        .filter(|(_, answer)| answer.result == ContextResult::ACCEPTANCE);
                    let accepted = accepted.map(|(element, _)| (element.id, element.interface));
                    self.contexts.extend(accepted);
                    return None;
                }
                Body::Response(response) => stub.extend(response.stub),
                _ => return None,
            }
        }
        let asked = asked?;
        self.keep_handle(&asked, header, &stub);
        self.called(&asked, stub)
    }

    /// The PDU that is answered: of calls with one id each has one answer, in their order.
    fn asked(&self, header: &Header) -> Option<Sent> {
        let begins = |sent: &&Sent| match header.ptype {
            PacketType::BIND_ACK => sent.is(PacketType::BIND),
            PacketType::ALTER_CONTEXT_RESP => sent.is(PacketType::ALTER_CONTEXT),
            _ => sent.is(PacketType::REQUEST) && sent.has(FIRST),
        };
        let sent = self.sent.iter().filter(|sent| sent.step < self.taken);
        let same: Vec<&Sent> = sent
            .filter(|sent| sent.header.call_id == header.call_id)
            .filter(begins)
            .collect();
        let is_call = |answer: &&Answer| ["response", "fault"].contains(&answer.pdu.as_str());
        let answers = self.answers.iter().filter(is_call);
        let before = answers
            .filter(|answer| answer.call_id == header.call_id)
            .count();
        same.get(before).or(same.last()).copied().cloned()
    }

    /// The operation of a call, with its answer's stub.
    fn called(&self, asked: &Sent, stub: Vec<u8>) -> Option<(SyntaxId, u16, Vec<u8>)> {
        let request = asked.request()?;
        let interface = *self.contexts.get(&request.context_id)?;
        Some((interface, request.opnum, stub))
    }

    /// Keeps what may be a handle at the head of a response.
    fn keep_handle(&mut self, asked: &Sent, header: &Header, stub: &[u8]) {
        if let Some(head) = stub.first_chunk::<20>() {
            let order = header.drep.order();
            let parts = [&head[..4], &head[4..8], &head[8..10], &head[10..12]];
            let little = [in_order(order, &parts), head[12..].to_vec()].concat();
            let handle = little.try_into().expect("20 octets");
            self.handles.insert(asked.step, handle);
        }
    }

    fn into_trace(self) -> Trace {
        Trace {
            answers: self.answers,
            end: self.end.unwrap_or(End::Lives),
        }
    }
}
