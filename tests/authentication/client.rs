//! A client that authenticates, one step at a time.

use crate::legs::{self, Identity, negotiation};
use crate::peer::Peer;
use crate::world::World;
use epmapper::proto::{Packet, SecurityContext};
use epmapper::security::spnego::{self, Offer};
use epmapper::security::{Credentials, Password, Secret, ntlm, oid};
use epmapper::wire::pdu::{AuthLevel, AuthType, Body, PacketType, Pdu, PfcFlags};
use epmapper::wire::status::RejectReason;
use epmapper::wire::{FaultStatus, SyntaxId, mgmt};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// A name and a password.
pub type Who<'a> = (&'a str, &'a str);

pub const ALICE: Who = ("alice", "Alice's secret, 1st");
pub const BOB: Who = ("Bob", "Bob's secret, 2nd");
pub const NOBODY: Who = ("", "");

/// What a verifier says: type and level.
pub type Identified = (AuthType, AuthLevel);

pub const NONE: PfcFlags = PfcFlags(0);
pub const WHOLE: PfcFlags = PfcFlags::WHOLE;
/// Header signing, on a bind or alter_context.
pub const SIGN: PfcFlags = PfcFlags::PENDING_CANCEL;

/// How a client logs on: the authentication type, and what its last leg goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way(AuthType, PacketType);

impl Way {
    /// NTLM alone, the last leg in an rpc_auth_3 as everybody does.
    pub const NTLM: Way = Way(AuthType::NTLM, PacketType::AUTH3);
    /// NTLM alone, the last leg in an alter_context.
    pub const NTLM_ALTER: Way = Way(AuthType::NTLM, PacketType::ALTER_CONTEXT);
    /// NTLM within SPNEGO.
    pub const SPNEGO: Way = Way(AuthType::SPNEGO, PacketType::ALTER_CONTEXT);

    pub const ALL: [Way; 3] = [Way::NTLM, Way::NTLM_ALTER, Way::SPNEGO];

    pub fn auth_type(self) -> AuthType {
        self.0
    }

    /// Whether the last leg has an answer.
    pub fn is_answered(self) -> bool {
        self.1 == PacketType::ALTER_CONTEXT
    }

    /// A client's first token.
    pub fn hello(self, level: AuthLevel, who: Who) -> Vec<u8> {
        self.context(level, who).proceed(&[]).unwrap().token
    }

    /// A client's security context that has said nothing.
    pub fn context(self, level: AuthLevel, (user, password): Who) -> Box<dyn SecurityContext> {
        let credentials = Credentials {
            user: user.to_owned(),
            domain: String::new(),
            secret: Secret::Password(Arc::new(Password::new(password.to_owned()))),
        };
        let context = ntlm::initiate(&credentials, level);
        match self.0 {
            AuthType::NTLM => context,
            _ => spnego::initiate(vec![Offer {
                oid: oid::NTLM,
                context,
            }]),
        }
    }
}

/// Says all legs, in PDUs of a type first and in alter_contexts then, whatever the
/// way says.
#[track_caller]
pub fn log_on_by(
    peer: &mut Peer,
    (first, interface): (PacketType, SyntaxId),
    way: Way,
    identity: Identity,
    who: Who,
) -> Box<dyn SecurityContext> {
    let mut context = way.context(identity.level, who);
    let mut token = context.proceed(&[]).unwrap().token;
    let mut ptype = first;
    while !token.is_empty() {
        let answer = say(peer, (ptype, NONE, interface), identity, &token);
        token = match answer.is_empty() {
            true => Vec::new(),
            false => context.proceed(&answer).unwrap().token,
        };
        ptype = PacketType::ALTER_CONTEXT;
    }
    context
}

/// What a PDU came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A bind_ack or alter_context_resp.
    Agreed,
    /// A response.
    Served,
    /// A bind_nak.
    Nak(RejectReason),
    /// A fault, and that the operation was not entered.
    DidNotExecute(FaultStatus),
    /// A fault.
    Fault(FaultStatus),
    /// The connection ended without an answer.
    Closed,
}

impl Came {
    pub const DENIED: Came = Came::Fault(FaultStatus::ACCESS_DENIED);
    pub const LEG_DENIED: Came = Came::DidNotExecute(FaultStatus::ACCESS_DENIED);
    pub const BAD_SIGNATURE: Came = Came::Fault(FaultStatus::SEC_PKG_ERROR);
    pub const BAD_TOKEN: Came = Came::Nak(RejectReason::INVALID_CHECKSUM);
    /// Out of place.
    pub const VIOLATION: Came = Came::DidNotExecute(FaultStatus::PROTO_ERROR);

    /// What an answer is.
    fn of(answer: &[u8]) -> Came {
        let pdu = Pdu::decode(answer).unwrap();
        let did_not_execute = pdu.header.flags.contains(PfcFlags::DID_NOT_EXECUTE);
        match pdu.body {
            Body::BindAck(_) | Body::AlterContextResp(_) => Came::Agreed,
            Body::Response(_) => Came::Served,
            // Neither is signed.
            Body::BindNak(nak) if pdu.auth.is_none() => Came::Nak(nak.reason),
            Body::Fault(fault) if pdu.auth.is_none() && did_not_execute => {
                Came::DidNotExecute(fault.status)
            }
            Body::Fault(fault) if pdu.auth.is_none() => Came::Fault(fault.status),
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// Sends a PDU; what it came to. The end of the connection is not waited for.
pub fn ask(peer: &mut Peer, octets: &[u8]) -> Came {
    peer.try_send(octets);
    came(peer)
}

/// What the next answer is.
pub fn came(peer: &mut Peer) -> Came {
    peer.pdu_or_end()
        .map_or(Came::Closed, |answer| Came::of(&answer))
}

/// Sends what ends the connection, with this answer.
#[track_caller]
pub fn assert_ends(peer: &mut Peer, octets: &[u8], with: Came, what: impl Debug) {
    assert_eq!(ask(peer, octets), with, "{what:?}");
    assert!(peer.pdu_or_end().is_none(), "{what:?}: goes on");
}

/// is_server_listening of remote management, without a verifier.
pub fn unsigned(flags: PfcFlags) -> Vec<u8> {
    legs::request(flags, mgmt::IS_SERVER_LISTENING, &[], None)
}

/// A client whose last leg is made, and not sent.
pub struct Opened {
    pub peer: Peer,
    pub way: Way,
    pub identity: Identity,
    pub context: Box<dyn SecurityContext>,
    /// The last token.
    pub last: Vec<u8>,
    pub signs_header: bool,
}

/// Says hello in a bind; the bind's answer has to be an agreement.
pub fn open(world: &World, way: Way, level: AuthLevel, who: Who) -> Opened {
    open_with(world, way, level, who, NONE)
}

/// The same with flags on the bind.
pub fn open_with(world: &World, way: Way, level: AuthLevel, who: Who, flags: PfcFlags) -> Opened {
    let mut peer = world.connect();
    let mut context = way.context(level, who);
    let identity = Identity::new(way.0, level);
    let first = context.proceed(&[]).unwrap().token;
    let challenge = say(&mut peer, bind(flags), identity, &first);
    let last = context.proceed(&challenge).unwrap();
    Opened {
        peer,
        way,
        identity,
        context,
        last: last.token,
        signs_header: flags.contains(SIGN),
    }
}

/// A bind to the management interface, with some flags.
pub fn bind(flags: PfcFlags) -> (PacketType, PfcFlags, SyntaxId) {
    (PacketType::BIND, flags, SyntaxId::MGMT)
}

/// A leg in a bind or alter_context that is agreed to; the server's token.
#[track_caller]
pub fn say(
    peer: &mut Peer,
    (ptype, flags, interface): (PacketType, PfcFlags, SyntaxId),
    identity: Identity,
    token: &[u8],
) -> Vec<u8> {
    peer.send(&negotiation(
        ptype,
        flags,
        interface,
        Some((identity, token)),
    ));
    let answer = peer.pdu_or_end().expect("an answer");
    assert_eq!(Came::of(&answer), Came::Agreed);
    let pdu = Pdu::decode(&answer).unwrap();
    let Some(verifier) = pdu.auth else {
        return Vec::new();
    };
    let named = (verifier.auth_type, verifier.auth_level, verifier.context_id);
    assert_eq!(named, (identity.auth_type, identity.level, identity.id));
    verifier.value.to_vec()
}

impl Opened {
    /// The PDU of the last leg, with some token.
    pub fn leg(&self, token: &[u8]) -> Vec<u8> {
        leg(self.way.1, self.identity, token)
    }

    /// Sends some token for the last; the answer's octets, and what it is. An
    /// rpc_auth_3 is answered by the fault of the request behind it.
    pub fn say_last(&mut self, token: &[u8]) -> (Vec<u8>, Came) {
        let leg = self.leg(token);
        self.peer.try_send(&leg);
        if !self.way.is_answered() {
            self.peer.try_send(&unsigned(WHOLE));
        }
        let answer = self.peer.pdu_or_end().unwrap_or_default();
        let came = match answer.is_empty() {
            true => Came::Closed,
            false => Came::of(&answer),
        };
        (answer, came)
    }

    /// The last leg is refused with some token for the last; the answer.
    #[track_caller]
    pub fn assert_refused(&mut self, token: &[u8], what: impl Debug) -> Vec<u8> {
        let (answer, came) = self.say_last(token);
        let expected = match self.way.is_answered() {
            true => Came::LEG_DENIED,
            false => Came::DENIED,
        };
        assert_eq!(came, expected, "{:?}: {what:?}", self.way);
        assert!(self.peer.pdu_or_end().is_none(), "{what:?}: goes on");
        answer
    }

    /// Says the last leg, which is right.
    #[track_caller]
    pub fn log_on(mut self) -> Client {
        if self.way.is_answered() {
            let kind = (PacketType::ALTER_CONTEXT, NONE, SyntaxId::MGMT);
            let answer = say(&mut self.peer, kind, self.identity, &self.last);
            if !answer.is_empty() {
                assert!(self.context.proceed(&answer).unwrap().is_complete);
            }
        } else {
            self.peer.send(&self.leg(&self.last));
        }
        Client {
            peer: self.peer,
            identity: self.identity,
            context: self.context,
            signs_header: self.signs_header,
        }
    }
}

/// A leg in a PDU of some type.
pub fn leg(ptype: PacketType, identity: Identity, token: &[u8]) -> Vec<u8> {
    match ptype {
        PacketType::AUTH3 => legs::auth3(identity, token),
        _ => negotiation(ptype, NONE, SyntaxId::MGMT, Some((identity, token))),
    }
}

/// A client that is logged on to the management interface.
pub struct Client {
    pub peer: Peer,
    pub identity: Identity,
    pub context: Box<dyn SecurityContext>,
    pub signs_header: bool,
}

impl Client {
    #[track_caller]
    pub fn logged_on(world: &World, way: Way, level: AuthLevel, who: Who) -> Client {
        open(world, way, level, who).log_on()
    }

    /// A request, signed and sealed as its level wants it; octets behind the
    /// arguments mean nothing.
    pub fn request(&mut self, flags: PfcFlags, stub: &[u8]) -> Vec<u8> {
        self.request_of(flags, mgmt::IS_SERVER_LISTENING, stub)
    }

    pub fn request_of(&mut self, flags: PfcFlags, opnum: u16, stub: &[u8]) -> Vec<u8> {
        let (identity, signs_header) = (self.identity, self.signs_header);
        let context = &mut *self.context;
        legs::signed_request(flags, (opnum, stub), identity, context, signs_header)
    }

    /// Asks, and checks the answer's signature.
    #[track_caller]
    pub fn ask(&mut self) -> Came {
        let request = self.request(WHOLE, b"is it?");
        self.peer.send(&request);
        self.answer().0
    }

    /// The next answer, unsealed once its signature was checked: what it is, its
    /// stub, and whether it is the last fragment.
    #[track_caller]
    pub fn answer(&mut self) -> (Came, Vec<u8>, bool) {
        let answer = self.peer.pdu_or_end().expect("an answer");
        let came = Came::of(&answer);
        if came != Came::Served {
            return (came, Vec::new(), true);
        }
        let plain = match self.identity.level {
            AuthLevel::CONNECT => answer,
            _ => self.verified(answer),
        };
        let pdu = Pdu::decode(&plain).unwrap();
        let Body::Response(response) = pdu.body else {
            panic!("{:?}", pdu.body);
        };
        let is_last = pdu.header.flags.contains(PfcFlags::LAST_FRAG);
        (came, response.stub.to_vec(), is_last)
    }

    /// A response unsealed.
    #[track_caller]
    fn verified(&mut self, mut octets: Vec<u8>) -> Vec<u8> {
        let pdu = Pdu::decode(&octets).unwrap();
        let Body::Response(response) = pdu.body else {
            panic!("{:?}", pdu.body);
        };
        let verifier = pdu.auth.expect("a verifier");
        assert_eq!(verifier.context_id, self.identity.id);
        let padded = response.stub.len() + usize::from(verifier.pad_length);
        assert_eq!(padded % 16, 0);
        let signature = verifier.value.to_vec();
        let signed = octets.len() - signature.len();
        let trailer = signed - 8;
        let packet = Packet {
            octets: &mut octets[..signed],
            stub: trailer - padded..trailer,
            signs_header: self.signs_header,
        };
        self.context
            .verify(packet, &signature)
            .expect("a signature");
        octets
    }

    /// Sends what ends the connection, with this answer.
    #[track_caller]
    pub fn assert_ends(&mut self, octets: &[u8], with: Came, what: impl Debug) {
        assert_ends(&mut self.peer, octets, with, what);
    }
}

/// Where the parts of a request of `legs` stand.
pub struct Places {
    /// Stub and padding.
    pub stub: Range<usize>,
    /// The verifier's head.
    pub trailer: Range<usize>,
}

impl Places {
    /// Of a signed request of so many octets.
    pub fn of_len(len: usize) -> Places {
        let signature = len - 16;
        let trailer = signature - 8;
        Places {
            stub: 24..trailer,
            trailer: trailer..signature,
        }
    }
}
