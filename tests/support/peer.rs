//! A client that does one thing at a time, so that a test can stop between.

#![allow(dead_code)] // each test binary takes the half that it needs

use crate::daemon::DEADLINE;
use epmapper::wire::ept::{
    self, ContextHandle, InquiryType, LookupRequest, LookupResponse, VersionOption,
};
use epmapper::wire::pdu::{Bind, Body, ContextsBuf, Header, PacketType, Pdu, PfcFlags, Request};
use epmapper::wire::status::{ContextResult, ProviderReason};
use epmapper::wire::{ByteOrder, DataRepresentation, FaultStatus, Input, Output, SyntaxId};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

/// A connection to a mapper.
pub struct Peer {
    pub stream: TcpStream,
    calls: u32,
}

/// One page of a lookup.
pub struct Page {
    pub handle: ContextHandle,
    /// The annotations of its entries.
    pub annotations: Vec<String>,
}

impl Peer {
    /// Connects; every read has the deadline.
    pub fn connect(address: SocketAddr) -> Peer {
        Peer::of(TcpStream::connect_timeout(&address, DEADLINE).unwrap())
    }

    /// Connects from an address of this host.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Peer {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect_timeout(&address.into(), DEADLINE).unwrap();
        Peer::of(socket.into())
    }

    fn of(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Peer { stream, calls: 0 }
    }

    /// Connects and binds to the endpoint mapper.
    pub fn bound(address: SocketAddr) -> Peer {
        let mut peer = Peer::connect(address);
        peer.bind();
        peer
    }

    /// Binds to the endpoint mapper; the association group.
    pub fn bind(&mut self) -> u32 {
        self.try_bind(0).expect("a bind_ack")
    }

    /// Binds within an association group, 0 for a new one; `None` when that is
    /// refused.
    pub fn try_bind(&mut self, group: u32) -> Option<u32> {
        let mut contexts = ContextsBuf::new(ByteOrder::Little);
        contexts.push(0, SyntaxId::EPT, &[SyntaxId::NDR]);
        let body = Body::Bind(Bind {
            max_xmit_frag: 5840,
            max_recv_frag: 5840,
            assoc_group_id: group,
            contexts: contexts.as_contexts(),
        });
        self.send(&self.pdu(PacketType::BIND, body));
        let answer = self.pdu_or_end().expect("an answer to the bind");
        match Pdu::decode(&answer).unwrap().body {
            Body::BindAck(ack) => Some(ack.assoc_group_id),
            Body::BindNak(_) => None,
            other => panic!("no answer to a bind: {other:?}"),
        }
    }

    /// Asks for the endpoint mapper as one more context; result and reason.
    pub fn alter(&mut self, context_id: u16) -> (ContextResult, ProviderReason) {
        let mut contexts = ContextsBuf::new(ByteOrder::Little);
        contexts.push(context_id, SyntaxId::EPT, &[SyntaxId::NDR]);
        let body = Body::AlterContext(Bind {
            max_xmit_frag: 0,
            max_recv_frag: 0,
            assoc_group_id: 0,
            contexts: contexts.as_contexts(),
        });
        self.send(&self.pdu(PacketType::ALTER_CONTEXT, body));
        let answer = self.pdu_or_end().expect("an answer to the alter_context");
        match Pdu::decode(&answer).unwrap().body {
            Body::AlterContextResp(ack) => {
                let answer = ack.results.iter().next().expect("one result");
                (answer.result, answer.reason)
            }
            other => panic!("no answer to an alter_context: {other:?}"),
        }
    }

    /// The request of a lookup of all entries.
    pub fn lookup_request(&mut self, handle: ContextHandle, max_ents: u32) -> Vec<u8> {
        let mut stub = Vec::new();
        let request = LookupRequest {
            inquiry_type: InquiryType::ALL_ELTS,
            object: None,
            interface: None,
            vers_option: VersionOption::ALL,
            handle,
            max_ents,
        };
        request.encode(&mut Output::new(&mut stub, ByteOrder::Little));
        self.calls += 1;
        self.pdu(
            PacketType::REQUEST,
            Body::Request(Request {
                alloc_hint: stub.len() as u32,
                context_id: 0,
                opnum: ept::LOOKUP,
                object: None,
                stub: &stub,
            }),
        )
    }

    /// Ends the connection, and waits until the server has, too.
    pub fn leave(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        assert!(self.pdu_or_end().is_none());
    }

    pub fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
    }

    /// Sends, unless the server has closed.
    pub fn try_send(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).is_ok()
    }

    /// The next PDU, or `None` when the server closed.
    pub fn pdu_or_end(&mut self) -> Option<Vec<u8>> {
        let mut octets = vec![0; Header::LEN];
        let first = self.stream.read(&mut octets);
        let got = match first {
            Ok(0) => return None,
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no PDU: {error}"),
        };
        self.stream.read_exact(&mut octets[got..]).unwrap();
        let len = usize::from(Header::decode(&octets).unwrap().frag_length);
        octets.resize(len, 0);
        self.stream.read_exact(&mut octets[Header::LEN..]).unwrap();
        Some(octets)
    }

    /// The next answer to a lookup, or `None` when the server closed.
    pub fn page_or_end(&mut self) -> Option<Page> {
        let answer = self.answer_or_end()?;
        Some(answer.unwrap_or_else(|status| panic!("fault {status}")))
    }

    /// The same, where the answer may be a fault; fragments are joined.
    pub fn answer_or_end(&mut self) -> Option<Result<Page, FaultStatus>> {
        let mut stub = Vec::new();
        loop {
            let octets = self.pdu_or_end()?;
            let pdu = Pdu::decode(&octets).unwrap();
            match pdu.body {
                Body::Response(response) => stub.extend_from_slice(response.stub),
                Body::Fault(fault) => return Some(Err(fault.status)),
                other => panic!("no answer: {other:?}"),
            }
            if pdu.header.flags.contains(PfcFlags::LAST_FRAG) {
                break;
            }
        }
        let response = LookupResponse::decode(Input::new(&stub, ByteOrder::Little)).unwrap();
        let annotation = |entry: &ept::Entry| String::from_utf8(entry.annotation.to_vec()).unwrap();
        Some(Ok(Page {
            handle: response.handle,
            annotations: response.entries.iter().map(annotation).collect(),
        }))
    }

    /// One page of a lookup.
    pub fn page(&mut self, handle: ContextHandle, max_ents: u32) -> Result<Page, FaultStatus> {
        let request = self.lookup_request(handle, max_ents);
        self.send(&request);
        self.answer_or_end().expect("an answer")
    }

    /// The annotations of all entries.
    pub fn annotations(&mut self) -> Vec<String> {
        let mut handle = ContextHandle::NULL;
        let mut found = Vec::new();
        loop {
            let mut page = self.page(handle, 500).unwrap();
            found.append(&mut page.annotations);
            handle = page.handle;
            if handle.is_null() {
                return found;
            }
        }
    }

    fn pdu(&self, ptype: PacketType, body: Body) -> Vec<u8> {
        let flags = PfcFlags::FIRST_FRAG | PfcFlags::LAST_FRAG;
        let header = Header::new(ptype, flags, DataRepresentation::LITTLE, self.calls);
        let mut octets = Vec::new();
        Pdu::new(header, body).encode(&mut octets);
        octets
    }
}

/// A configuration's text with `count` endpoints, annotated `entry 0` and so on.
pub fn endpoints(count: usize) -> String {
    (0..count)
        .map(|number| {
            format!(
                "[[endpoint]]\ninterface = \"12345778-1234-abcd-ef00-{number:012x}\"\nversion = \"1.0\"\n\
                 annotation = \"entry {number}\"\nbindings = [\"ncacn_ip_tcp:[{}]\"]\n",
                1024 + number % 60_000
            )
        })
        .collect()
}
