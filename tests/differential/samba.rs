//! Samba's mapper as this test needs it: one process for all connections, and known when it is another one.

use crate::pdus::{BindBody, Draft, Element};
use crate::samba_mapper::{Kind, SambaMapper};
use epmapper::wire::pdu::PacketType;
use epmapper::wire::{ByteOrder, SyntaxId};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A running Samba.
pub struct Samba {
    mapper: SambaMapper,
    /// samba-dcerpcd, whose children serve.
    parent: u32,
}

impl Samba {
    /// Starts samba-dcerpcd; `None` where it is not installed. Its mapper does not end for want of clients.
    pub fn start(address: Ipv4Addr) -> Option<Samba> {
        let mapper = SambaMapper::start_with(Kind::S3, address, &["PEER_IDLE=86400"])?;
        let parent = mapper.told("pid").parse().expect("a process id");
        let samba = Samba { mapper, parent };
        samba.ask();
        Some(samba)
    }

    pub fn address(&self) -> Ipv4Addr {
        self.mapper.address()
    }

    /// The processes that serve the mapper's connections now.
    pub fn workers(&self) -> Vec<u32> {
        let parent = self.parent;
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let pids = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        let serves = |pid: &u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "rpcd_epmapper"
        };
        pids.filter(serves).collect()
    }

    /// The process that serves the mapper's connections, proven alive.
    ///
    /// One that crashes may be there for a while, so it is asked: the first client after its end starts another.
    pub fn worker(&self) -> u32 {
        self.ask();
        let workers = self.workers();
        let [worker] = workers[..] else {
            panic!("Samba's mapper is one process, not {workers:?}");
        };
        worker
    }

    /// Binds until that is answered.
    fn ask(&self) {
        const TRIES: usize = 60;
        /// A connection that comes while the mapper crashes may never be answered.
        const PATIENCE: Duration = Duration::from_secs(1);
        let element = Element::new(0, SyntaxId::EPT, &[SyntaxId::NDR]);
        let order = ByteOrder::Little;
        let body = BindBody::new(&[element]).octets(order);
        let bind = Draft::new(order, PacketType::BIND, 1, body).octets();
        let is_answered = || {
            let mut stream = TcpStream::connect((self.address(), 135)).expect("samba-dcerpcd");
            stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
            let mut answer = [0; 16];
            stream.write_all(&bind).is_ok() && stream.read_exact(&mut answer).is_ok()
        };
        assert!(
            (0..TRIES).any(|_| is_answered()),
            "Samba's mapper does not come back"
        );
    }
}
