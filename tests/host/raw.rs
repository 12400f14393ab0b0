//! A client that names objects, joins association groups and cancels.

use epmapper::proto::{ClientAssociation, ClientEvent, ClientSettings};
use epmapper::wire::pdu::{Body, Header, PacketType, Pdu, PfcFlags, Request};
use epmapper::wire::stub::Parameters;
use epmapper::wire::{ByteOrder, FaultStatus, SyntaxId, TransferSyntax};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// A connection that is bound to an interface, in NDR.
pub struct Raw {
    stream: TcpStream,
    association: ClientAssociation,
    /// The association group.
    pub group: u32,
}

impl Raw {
    /// Connects, and binds in a new group.
    pub async fn connect(port: &str, interface: SyntaxId) -> Raw {
        Raw::join(port, interface, 0).await
    }

    /// Connects, and binds in a group.
    pub async fn join(port: &str, interface: SyntaxId, group: u32) -> Raw {
        let settings = ClientSettings {
            answer_timeout: crate::DEADLINE,
            ..ClientSettings::default()
        };
        let mut raw = Raw {
            stream: TcpStream::connect(port).await.unwrap(),
            association: ClientAssociation::new(settings),
            group,
        };
        let contexts = [(0, interface, &[SyntaxId::NDR][..])];
        raw.association.bind(Instant::now(), group, &contexts);
        match raw.event().await {
            ClientEvent::Bound { agreed, .. } => raw.group = agreed.group,
            other => panic!("{other:?}"),
        }
        raw
    }

    /// Calls an operation about an object.
    pub async fn ask<In, Out>(
        &mut self,
        opnum: u16,
        object: Option<Uuid>,
        asked: &In,
    ) -> Result<Out, (FaultStatus, bool)>
    where
        In: for<'a> Parameters<'a>,
        Out: for<'a> Parameters<'a>,
    {
        self.begin(opnum, object, asked);
        match self.event().await {
            ClientEvent::Response { order, stub } => {
                Ok(Out::decode(&stub, order, TransferSyntax::Ndr).unwrap())
            }
            ClientEvent::Fault {
                status,
                did_not_execute,
            } => Err((status, did_not_execute)),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a call that wants no answer.
    pub async fn tell(&mut self, opnum: u16, asked: &impl for<'a> Parameters<'a>) {
        /// An id that no other call of these tests gets to.
        const CALL_ID: u32 = 1000;
        let flags = PfcFlags::WHOLE | PfcFlags::MAYBE;
        let order = ByteOrder::Little;
        let header = Header::new(PacketType::REQUEST, flags, order.into(), CALL_ID);
        let stub = asked.encode(order, TransferSyntax::Ndr);
        let request = Request {
            alloc_hint: stub.len() as u32,
            context_id: 0,
            opnum,
            object: None,
            stub: &stub,
        };
        let mut octets = Vec::new();
        Pdu::new(header, Body::Request(request)).encode(&mut octets);
        self.stream.write_all(&octets).await.unwrap();
    }

    /// Makes ready to send a call.
    pub fn begin(&mut self, opnum: u16, object: Option<Uuid>, asked: &impl for<'a> Parameters<'a>) {
        let stub = asked.encode(ByteOrder::Little, TransferSyntax::Ndr);
        self.association
            .call(Instant::now(), 0, opnum, object, &stub);
    }

    /// Makes ready to cancel the call under way.
    pub fn cancel(&mut self) {
        self.association.cancel();
    }

    /// Sends what is ready.
    pub async fn flush(&mut self) {
        while let Some(octets) = self.association.poll_transmit() {
            let sent = self.stream.write(octets).await.unwrap();
            self.association.transmitted(sent);
        }
    }

    /// Sends what is ready, and gives what comes of it.
    pub async fn event(&mut self) -> ClientEvent {
        self.flush().await;
        let mut octets = bytes::BytesMut::new();
        loop {
            if let Some(event) = self.association.poll_event() {
                return event;
            }
            let read = self.stream.read_buf(&mut octets);
            let read = tokio::time::timeout(crate::DEADLINE, read).await;
            match read.expect("an answer") {
                // A reset is an end as well.
                Ok(0) | Err(_) => self.association.peer_closed(),
                Ok(_) => self.association.receive(&mut octets),
            }
        }
    }

    /// Waits until the server has closed the connection.
    pub async fn closed(mut self) {
        let read = tokio::time::timeout(crate::DEADLINE, self.stream.read_u8()).await;
        assert!(read.expect("an end").is_err());
    }
}
