//! Calls in NDR64 over connections to `epmapperd`: what is agreed on, that both
//! transfer syntaxes are told the same, and what a big-endian call gets.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/run.rs"]
mod run;

use epmapper::wire::TransferSyntax::{Ndr, Ndr64};
use epmapper::wire::ept::{
    self, ContextHandle, InquiryType, LookupRequest, LookupResponse, MapRequest, MapResponse,
    VersionOption,
};
use epmapper::wire::mgmt::{
    self, InqIfIdsResponse, InqPrincNameRequest, InqPrincNameResponse, InqStatsRequest,
    InqStatsResponse, IsServerListeningResponse, StopServerListeningResponse,
};
use epmapper::wire::ndr::Pointer;
use epmapper::wire::pdu::{
    Bind, Body, ContextsBuf, Header, PacketType, Pdu, PfcFlags, Request, bind_time_syntax,
};
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{
    ByteOrder, DataRepresentation, EptStatus, FaultStatus, Input, Output, SyntaxId, TransferSyntax,
};
use peer::{Peer, endpoints};
use run::{ConfigFile, Run};
use uuid::Uuid;

const EPT: SyntaxId = SyntaxId::EPT;
const MGMT: SyntaxId = SyntaxId::MGMT;
const NDR: SyntaxId = SyntaxId::NDR;
const NDR64: SyntaxId = SyntaxId::NDR64;

/// An element of a context list.
type Element<'a> = (u16, SyntaxId, &'a [SyntaxId]);

/// A connection that counts its PDUs.
struct Session {
    peer: Peer,
    calls: u32,
}

/// What a call got.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    /// A stub, and in how many fragments.
    Response(Vec<u8>, usize),
    /// A fault, and whether it says that nothing was executed.
    Fault(FaultStatus, bool),
}

impl Session {
    fn new(run: &Run) -> Session {
        Session {
            peer: Peer::connect(run.address()),
            calls: 0,
        }
    }

    /// A connection with ept in NDR and NDR64 as contexts 0 and 1, and mgmt in
    /// both as 2 and 3.
    fn with_all_contexts(run: &Run) -> Session {
        let mut session = Session::new(run);
        for (id, interface, syntax) in [
            (0, EPT, NDR),
            (1, EPT, NDR64),
            (2, MGMT, NDR),
            (3, MGMT, NDR64),
        ] {
            assert_eq!(session.offer(&[(id, interface, &[syntax])]), [(0, 0)]);
        }
        session
    }

    /// Offers contexts in a bind, later in an alter_context; result and reason
    /// of each.
    fn offer(&mut self, elements: &[Element]) -> Vec<(u16, u16)> {
        let mut contexts = ContextsBuf::new(ByteOrder::Little);
        for (id, interface, syntaxes) in elements {
            contexts.push(*id, *interface, syntaxes);
        }
        let bind = Bind {
            max_xmit_frag: 5840,
            max_recv_frag: 5840,
            assoc_group_id: 0,
            contexts: contexts.as_contexts(),
        };
        match self.calls {
            0 => self.send(DataRepresentation::LITTLE, Body::Bind(bind)),
            _ => self.send(DataRepresentation::LITTLE, Body::AlterContext(bind)),
        }
        let answer = self.peer.pdu_or_end().expect("an answer");
        match Pdu::decode(&answer).unwrap().body {
            Body::BindAck(ack) | Body::AlterContextResp(ack) => {
                let codes = ack.results.iter().map(|r| (r.result.0, r.reason.0));
                codes.collect()
            }
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// Makes a call in the byte order of `drep`.
    fn call(&mut self, drep: DataRepresentation, context: u16, opnum: u16, stub: &[u8]) -> Got {
        let request = Request {
            alloc_hint: stub.len() as u32,
            context_id: context,
            opnum,
            object: None,
            stub,
        };
        self.send(drep, Body::Request(request));
        let mut stub = Vec::new();
        for fragments in 1.. {
            let octets = self.peer.pdu_or_end().expect("an answer");
            let pdu = Pdu::decode(&octets).unwrap();
            assert_eq!(pdu.header.call_id, self.calls);
            match pdu.body {
                Body::Response(response) => stub.extend_from_slice(response.stub),
                Body::Fault(fault) => {
                    let did_not_execute = pdu.header.flags.contains(PfcFlags::DID_NOT_EXECUTE);
                    return Got::Fault(fault.status, did_not_execute);
                }
                other => panic!("no answer: {other:?}"),
            }
            if pdu.header.flags.contains(PfcFlags::LAST_FRAG) {
                return Got::Response(stub, fragments);
            }
        }
        unreachable!("the last fragment ends the loop")
    }

    /// The stub that answers a call in `syntax`, whose context has its number
    /// above that of `interface` in NDR, and the number of fragments.
    fn ask(
        &mut self,
        (interface, syntax): (u16, TransferSyntax),
        opnum: u16,
        encode: impl Fn(&mut Output),
    ) -> (Vec<u8>, usize) {
        let mut stub = Vec::new();
        encode(&mut Output::stub(&mut stub, ByteOrder::Little, syntax));
        let context = interface + u16::from(syntax == Ndr64);
        match self.call(DataRepresentation::LITTLE, context, opnum, &stub) {
            Got::Response(stub, fragments) => (stub, fragments),
            Got::Fault(status, _) => panic!("fault {status}"),
        }
    }

    fn send(&mut self, drep: DataRepresentation, body: Body) {
        self.calls += 1;
        // The type follows the body.
        let header = Header::new(PacketType::REQUEST, PfcFlags::WHOLE, drep, self.calls);
        let mut octets = Vec::new();
        Pdu::new(header, body).encode(&mut octets);
        self.peer.send(&octets);
    }
}

/// A stub to decode.
fn stub(octets: &[u8], syntax: TransferSyntax) -> Input<'_> {
    Input::stub(octets, ByteOrder::Little, syntax)
}

/// A lookup of everything.
fn all(handle: ContextHandle, max_ents: u32) -> LookupRequest {
    LookupRequest {
        inquiry_type: InquiryType::ALL_ELTS,
        object: None,
        interface: None,
        vers_option: VersionOption::ALL,
        handle,
        max_ents,
    }
}

#[test]
fn the_preferred_transfer_syntax_is_the_conversations_unless_it_is_set() {
    let offered: [Element; 3] = [
        (0, EPT, &[NDR]),
        (1, EPT, &[NDR64]),
        (2, EPT, &[bind_time_syntax(3)]),
    ];
    let (ndr, ndr64) = ([(0, 0), (2, 2)], [(2, 2), (0, 0)]);
    for (text, expected) in [
        ("", ndr64),
        ("conversation = \"windows\"", ndr64),
        ("conversation = \"samba\"", ndr),
        ("conversation = \"dce\"", ndr),
        ("preferred_transfer_syntax = \"ndr\"", ndr),
        (
            "conversation = \"samba\"\npreferred_transfer_syntax = \"ndr64\"",
            ndr64,
        ),
    ] {
        let run = Run::with_config(&ConfigFile::new(text));
        assert_eq!(Session::new(&run).offer(&offered)[..2], expected, "{text}");
        for alone in [NDR, NDR64] {
            let answers = Session::new(&run).offer(&[(0, EPT, &[alone])]);
            assert_eq!(answers, [(0, 0)], "{text}: {alone}");
        }
    }
}

#[test]
fn a_walk_in_ndr64_finds_the_same_and_may_go_on_in_ndr() {
    let run = Run::with_config(&ConfigFile::new(&endpoints(500)));
    let mut session = Session::with_all_contexts(&run);
    let mut page = |syntax, handle, max| {
        let request = all(handle, max);
        let (octets, fragments) = session.ask((0, syntax), ept::LOOKUP, |out| request.encode(out));
        let response = LookupResponse::decode(stub(&octets, syntax)).unwrap();
        let entries = response.entries.into_iter().map(|entry| {
            let tower = entry.tower.map(|tower| tower.value.into_owned());
            (entry.object, tower, entry.annotation.into_owned())
        });
        (response.handle, entries.collect::<Vec<_>>(), fragments)
    };
    let [(_, in_ndr, _), (_, in_ndr64, fragments)] =
        [Ndr, Ndr64].map(|syntax| page(syntax, ContextHandle::NULL, 500));
    assert_eq!(in_ndr.len(), 500);
    assert_eq!(in_ndr64, in_ndr);
    assert!(fragments > 1, "{fragments} fragments");

    let (mut handle, mut walked) = (ContextHandle::NULL, Vec::new());
    for syntax in [Ndr64, Ndr].into_iter().cycle() {
        let (next, mut entries, _) = page(syntax, handle, 120);
        walked.append(&mut entries);
        handle = next;
        if handle.is_null() {
            break;
        }
    }
    assert_eq!(walked.len(), 501);
    assert_eq!(walked[..500], in_ndr);
}

#[test]
fn the_syntax_of_a_call_and_that_of_its_tower_are_two_things() {
    let text = "[[endpoint]]\ninterface = \"12345778-1234-abcd-ef00-0123456789ac\"\nversion = \"1.0\"\n\
        transfer_syntax = [\"ndr\", \"ndr64\"]\nbindings = [\"ncacn_ip_tcp:192.0.2.10[49664]\"]\n";
    let run = Run::with_config(&ConfigFile::new(text));
    let mut session = Session::with_all_contexts(&run);
    let interface = SyntaxId::new(
        Uuid::from_u128(0x12345778_1234_abcd_ef00_0123456789ac),
        1,
        0,
    );
    for asked in [NDR, NDR64] {
        let tower = |binding: &str| {
            let binding = binding.parse().unwrap();
            TowerBuf::from_binding(interface, asked, &binding).unwrap()
        };
        let (open, found) = (
            tower("ncacn_ip_tcp:0.0.0.0[135]"),
            tower("ncacn_ip_tcp:192.0.2.10[49664]"),
        );
        let request = MapRequest {
            object: Some(Pointer {
                referent: 1,
                value: Uuid::nil(),
            }),
            tower: Some(Pointer {
                referent: 2,
                value: open.octets(),
            }),
            handle: ContextHandle::NULL,
            max_towers: 4,
        };
        for (syntax, length) in [(Ndr, 128), (Ndr64, 148)] {
            let (octets, _) = session.ask((0, syntax), ept::MAP, |out| request.encode(out));
            assert_eq!(octets.len(), length);
            let response = MapResponse::decode(stub(&octets, syntax)).unwrap();
            assert_eq!(response.status, EptStatus::OK);
            let towers: Vec<_> = response.towers.iter().flatten().collect();
            assert_eq!(towers.len(), 1);
            assert_eq!((towers[0].referent, &*towers[0].value), (3, found.octets()));
        }
    }
}

#[test]
fn management_answers_the_same_in_both_transfer_syntaxes() {
    let run = Run::with_config(&ConfigFile::new(""));
    let mut session = Session::with_all_contexts(&run);
    for syntax in [Ndr, Ndr64] {
        let asked = (2, syntax);
        let (octets, _) = session.ask(asked, mgmt::INQ_IF_IDS, |_| ());
        let answer = InqIfIdsResponse::decode(stub(&octets, syntax)).unwrap();
        assert!(answer.interfaces().eq([EPT]));

        let request = InqStatsRequest { count: 4 };
        let (octets, _) = session.ask(asked, mgmt::INQ_STATS, |out| request.encode(out));
        let answer = InqStatsResponse::decode(stub(&octets, syntax)).unwrap();
        assert_eq!((answer.statistics.len(), answer.status), (4, EptStatus::OK));

        let (octets, _) = session.ask(asked, mgmt::IS_SERVER_LISTENING, |_| ());
        let answer = IsServerListeningResponse::decode(stub(&octets, syntax)).unwrap();
        assert!(answer.listening);

        let (octets, _) = session.ask(asked, mgmt::STOP_SERVER_LISTENING, |_| ());
        let answer = StopServerListeningResponse::decode(stub(&octets, syntax)).unwrap();
        assert_eq!(answer.status, EptStatus::ACCESS_DENIED);

        let request = InqPrincNameRequest {
            authn_proto: 10,
            princ_name_size: 64,
        };
        let (octets, _) = session.ask(asked, mgmt::INQ_PRINC_NAME, |out| request.encode(out));
        let answer = InqPrincNameResponse::decode(stub(&octets, syntax)).unwrap();
        assert_eq!(answer.princ_name_size, 64);
        assert_eq!(answer.status, EptStatus::UNKNOWN_AUTHN_SERVICE);
    }
}

#[test]
fn a_big_endian_call_in_ndr64_gets_one_fault_and_the_connection_lives() {
    let run = Run::with_config(&ConfigFile::new(""));
    let mut session = Session::with_all_contexts(&run);
    let operations = (0..=9).map(|opnum| (1, opnum));
    for (context, opnum) in operations.chain((0..=5).map(|opnum| (3, opnum))) {
        for length in [0, 64] {
            let got = session.call(DataRepresentation::BIG, context, opnum, &vec![0; length]);
            let refused = Got::Fault(FaultStatus::BAD_STUB_DATA, false);
            assert_eq!(got, refused, "operation {opnum} of context {context}");
        }
    }
    // The same is fine in NDR, and in NDR64 of the other byte order.
    for (drep, context) in [
        (DataRepresentation::BIG, 2),
        (DataRepresentation::LITTLE, 3),
    ] {
        let got = session.call(drep, context, mgmt::IS_SERVER_LISTENING, &[]);
        assert!(matches!(got, Got::Response(_, 1)), "{got:?}");
    }
}
