//! A registrant of these tests: a connection from an address of its own, or over a local socket as a user
//! of its own, and what it asks for there.

use crate::daemon::DEADLINE;
use crate::run::{ConfigFile, Run, program};
use crate::skip;
use epmapper::wire::control::{self, CountersRequest, CountersResponse};
use epmapper::wire::ept::{
    self, ContextHandle, DeleteRequest, InquiryType, InsertRequest, LookupRequest, LookupResponse,
    MgmtDeleteRequest, StatusResponse, VersionOption,
};
use epmapper::wire::ndr::Referents;
use epmapper::wire::pdu::{Bind, Body, ContextsBuf, Header, Pdu, PfcFlags, Request};
use epmapper::wire::{
    ByteOrder, DataRepresentation, EptStatus, FaultStatus, Input, Output, SyntaxId, TransferSyntax,
};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use uuid::{Uuid, uuid};

/// An interface of no meaning.
pub const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
/// Another.
pub const OTHER: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20183"), 1, 0);
/// An object.
pub const OBJECT: Uuid = uuid!("11111111-2222-3333-4444-555555555555");

/// Where the daemons listen.
pub const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 84, 9);
/// A registrant.
pub const ANN: Ipv4Addr = Ipv4Addr::new(127, 0, 84, 1);
/// Another.
pub const BOB: Ipv4Addr = Ipv4Addr::new(127, 0, 84, 2);
/// Somebody whom no rule names.
pub const EVE: Ipv4Addr = Ipv4Addr::new(127, 0, 84, 66);

/// Lets `ANN` and `BOB` register; nobody is probed a second time.
pub const RULES: &str = "
[probe]
interval = \"1h\"
[[register]]
networks = [\"127.0.84.1\", \"127.0.84.2\"]
";

/// A daemon, with a local socket beside its port.
pub struct Mapper {
    pub run: Run,
    file: ConfigFile,
}

impl Mapper {
    /// Starts it with a configuration in `conversation`.
    pub fn start(conversation: &str, config: &str) -> Mapper {
        let head = format!("conversation = \"{conversation}\"\nlog_format = \"json\"\n");
        let file = ConfigFile::new(&(head + config));
        // Other users of these tests connect there.
        file.open_folder_to(0o755);
        let mut command = program();
        command.arg("--config").arg(file.path());
        command.args(["--listen", &format!("ncacn_ip_tcp:{HERE}[0]")]);
        let socket = socket_in(&file);
        command.args(["--listen", &format!("ncalrpc:[{}]", socket.display())]);
        let run = Run::listening(&mut command);
        run.expect("serving");
        Mapper { run, file }
    }

    /// A connection from an address.
    pub fn from(&self, source: Ipv4Addr) -> Session {
        let address = self.run.address();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let source = SocketAddr::from((source, 0));
        socket.bind(&source.into()).unwrap();
        socket.connect_timeout(&address.into(), DEADLINE).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Session::over(stream, &[SyntaxId::EPT])
    }

    /// A connection over the local socket, by this process.
    pub fn local(&self) -> Session {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Session::over(stream, &[SyntaxId::EPT, SyntaxId::CONTROL])
    }

    /// The same by another user; skipped loudly where that cannot be.
    pub fn as_user(&self, uid: u32) -> Option<Session> {
        let relay = Relay::connect(&self.socket(), uid)?;
        Some(Session::over(relay, &[SyntaxId::EPT, SyntaxId::CONTROL]))
    }

    /// How often something was counted.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        let counted = self.local().counters().into_iter();
        let mut counted = counted.filter(|(counter, _)| counter == name);
        counted
            .next()
            .unwrap_or_else(|| panic!("no counter {name}"))
            .1
    }

    /// Ends it; the events of the audit trail, as their fields.
    pub fn audit(self) -> Vec<serde_json::Value> {
        let ended = self.run.end(nix::sys::signal::Signal::SIGTERM);
        let lines = ended
            .log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|event: &serde_json::Value| event["target"] == "epmapper::audit")
            .map(|event| event["fields"].clone())
            .collect()
    }

    fn socket(&self) -> PathBuf {
        socket_in(&self.file)
    }
}

/// The local socket beside a configuration.
fn socket_in(file: &ConfigFile) -> PathBuf {
    file.path().with_file_name("EPMAPPER")
}

/// An entry to register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct New {
    pub object: Uuid,
    /// The tower's octets, if there is one.
    pub tower: Option<Vec<u8>>,
    pub annotation: String,
}

impl New {
    /// A tower without object and annotation.
    pub fn of(tower: Vec<u8>) -> New {
        New {
            object: Uuid::nil(),
            tower: Some(tower),
            annotation: String::new(),
        }
    }

    /// `ECHO` at a port of `HERE`.
    pub fn echo(port: u16) -> New {
        New::of(tcp(ECHO, HERE, port))
    }

    pub fn under(self, object: Uuid) -> New {
        New { object, ..self }
    }

    pub fn annotated(self, annotation: &str) -> New {
        let annotation = annotation.to_owned();
        New { annotation, ..self }
    }
}

/// A tower of floors 1 and 2 and those below: protocol and right-hand side.
pub fn tower(interface: SyntaxId, syntax: SyntaxId, lower: &[(u8, &[u8])]) -> Vec<u8> {
    let mut octets = (2 + lower.len() as u16).to_le_bytes().to_vec();
    for id in [interface, syntax] {
        octets.extend([19, 0, 0x0d]);
        octets.extend(id.uuid.to_bytes_le());
        octets.extend(id.major.to_le_bytes());
        octets.extend([2, 0]);
        octets.extend(id.minor.to_le_bytes());
    }
    for (protocol, rhs) in lower {
        octets.extend([1, 0, *protocol]);
        octets.extend((rhs.len() as u16).to_le_bytes());
        octets.extend(*rhs);
    }
    octets
}

/// A tower of ncacn_ip_tcp in NDR, as DCE servers register it.
pub fn tcp(interface: SyntaxId, address: Ipv4Addr, port: u16) -> Vec<u8> {
    let (address, port) = (address.octets(), port.to_be_bytes());
    let lower: [(u8, &[u8]); 3] = [(0x0b, &[1, 0]), (0x07, &port), (0x09, &address)];
    tower(interface, SyntaxId::NDR, &lower)
}

/// How stubs of a call are written.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub order: ByteOrder,
    pub syntax: TransferSyntax,
}

impl Form {
    pub const LITTLE: Form = Form {
        order: ByteOrder::Little,
        syntax: TransferSyntax::Ndr,
    };

    /// All that there are.
    pub const ALL: [Form; 3] = [
        Form::LITTLE,
        Form {
            order: ByteOrder::Big,
            syntax: TransferSyntax::Ndr,
        },
        Form {
            order: ByteOrder::Little,
            syntax: TransferSyntax::Ndr64,
        },
    ];
}

/// What a call that changes the map gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    Status(EptStatus),
    /// A fault, and whether it says that nothing was executed.
    Fault(FaultStatus, bool),
}

pub const OK: Got = Got::Status(EptStatus::OK);
pub const CANT_PERFORM_OP: Got = Got::Status(EptStatus::CANT_PERFORM_OP);
pub const INVALID_ENTRY: Got = Got::Status(EptStatus::INVALID_ENTRY);
pub const NOT_REGISTERED: Got = Got::Status(EptStatus::NOT_REGISTERED);
pub const NO_MEMORY: Got = Got::Status(EptStatus::NO_MEMORY);

/// Whatever carries octets both ways.
trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// A connection with every interface as two contexts, NDR and NDR64.
pub struct Session {
    stream: Box<dyn Stream>,
    calls: u32,
    /// How stubs are written.
    pub form: Form,
    /// What the headers of requests name.
    pub object: Option<Uuid>,
}

impl Session {
    fn over(stream: impl Read + Write + Send + 'static, interfaces: &[SyntaxId]) -> Session {
        let mut session = Session {
            stream: Box::new(stream),
            calls: 0,
            form: Form::LITTLE,
            object: None,
        };
        let syntaxes = [SyntaxId::NDR, SyntaxId::NDR64];
        for (place, interface) in (0..).step_by(2).zip(interfaces) {
            for (id, syntax) in (place..).zip(syntaxes) {
                session.offer(id, *interface, syntax);
            }
        }
        session
    }

    /// Asks for one context, which has to be accepted.
    fn offer(&mut self, id: u16, interface: SyntaxId, syntax: SyntaxId) {
        let mut contexts = ContextsBuf::new(ByteOrder::Little);
        contexts.push(id, interface, &[syntax]);
        let bind = Bind {
            max_xmit_frag: 5840,
            max_recv_frag: 5840,
            assoc_group_id: 0,
            contexts: contexts.as_contexts(),
        };
        let body = match self.calls {
            0 => Body::Bind(bind),
            _ => Body::AlterContext(bind),
        };
        self.calls += 1;
        self.send(PfcFlags::WHOLE, body);
        let answer = self.receive();
        match Pdu::decode(&answer).unwrap().body {
            Body::BindAck(ack) | Body::AlterContextResp(ack) => {
                assert!(ack.results.iter().all(|result| result.result.0 == 0));
            }
            other => panic!("not accepted: {other:?}"),
        }
    }

    fn send(&mut self, flags: PfcFlags, body: Body) {
        let drep = match self.form.order {
            ByteOrder::Little => DataRepresentation::LITTLE,
            ByteOrder::Big => DataRepresentation::BIG,
        };
        let header = Header::new(body.packet_type().unwrap(), flags, drep, self.calls);
        let mut octets = Vec::new();
        Pdu::new(header, body).encode(&mut octets);
        self.stream.write_all(&octets).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut octets = vec![0; Header::LEN];
        self.stream.read_exact(&mut octets).unwrap();
        let length = Header::decode(&octets).unwrap().frag_length;
        octets.resize(length.into(), 0);
        self.stream.read_exact(&mut octets[Header::LEN..]).unwrap();
        octets
    }

    /// Calls an operation of an interface, 0 for ept and 1 for control.
    fn call(
        &mut self,
        interface: u16,
        opnum: u16,
        encode: impl FnOnce(&mut Output),
    ) -> Result<Vec<u8>, (FaultStatus, bool)> {
        /// Octets of a stub in one fragment, a multiple of 8.
        const FRAGMENT: usize = 5600;
        let mut stub = Vec::new();
        encode(&mut Output::stub(
            &mut stub,
            self.form.order,
            self.form.syntax,
        ));
        let context_id = 2 * interface + u16::from(self.form.syntax == TransferSyntax::Ndr64);
        self.calls += 1;
        let fragments: Vec<&[u8]> = match stub.is_empty() {
            true => vec![&[]],
            false => stub.chunks(FRAGMENT).collect(),
        };
        for (place, fragment) in fragments.iter().enumerate() {
            let mut flags = PfcFlags::default();
            if place == 0 {
                flags = flags | PfcFlags::FIRST_FRAG;
            }
            if place + 1 == fragments.len() {
                flags = flags | PfcFlags::LAST_FRAG;
            }
            let request = Request {
                alloc_hint: 0,
                context_id,
                opnum,
                object: self.object,
                stub: fragment,
            };
            self.send(flags, Body::Request(request));
        }
        self.answer()
    }

    /// The stub that answers, its fragments joined.
    fn answer(&mut self) -> Result<Vec<u8>, (FaultStatus, bool)> {
        let mut stub = Vec::new();
        loop {
            let octets = self.receive();
            let pdu = Pdu::decode(&octets).unwrap();
            match pdu.body {
                Body::Response(response) => stub.extend_from_slice(response.stub),
                Body::Fault(fault) => {
                    let did_not_execute = pdu.header.flags.contains(PfcFlags::DID_NOT_EXECUTE);
                    return Err((fault.status, did_not_execute));
                }
                other => panic!("no answer: {other:?}"),
            }
            if pdu.header.flags.contains(PfcFlags::LAST_FRAG) {
                return Ok(stub);
            }
        }
    }

    fn input<'a>(&self, stub: &'a [u8]) -> Input<'a> {
        Input::stub(stub, self.form.order, self.form.syntax)
    }

    /// Calls an operation that answers with a status alone.
    fn change(&mut self, opnum: u16, encode: impl FnOnce(&mut Output)) -> Got {
        match self.call(0, opnum, encode) {
            Ok(stub) => {
                let response = StatusResponse::decode(self.input(&stub)).unwrap();
                Got::Status(response.status)
            }
            Err((status, did_not_execute)) => Got::Fault(status, did_not_execute),
        }
    }

    /// ept_insert.
    pub fn insert(&mut self, entries: &[New], replace: bool) -> Got {
        let entries = wire(entries);
        let request = InsertRequest { entries, replace };
        self.change(ept::INSERT, |out| request.encode(out))
    }

    /// ept_delete.
    pub fn delete(&mut self, entries: &[New]) -> Got {
        let entries = wire(entries);
        self.change(ept::DELETE, |out| DeleteRequest { entries }.encode(out))
    }

    /// ept_mgmt_delete; `object` counts where it is said.
    pub fn mgmt_delete(&mut self, object: Option<Uuid>, tower: Option<&[u8]>) -> Got {
        let mut referents = Referents::after(0);
        let request = MgmtDeleteRequest {
            object_speced: object.is_some(),
            object: object.map(|object| referents.point(object)),
            tower: tower.map(|tower| referents.point(tower)),
        };
        self.change(ept::MGMT_DELETE, |out| request.encode(out))
    }

    /// Any octets as the stub of an operation.
    pub fn raw(&mut self, opnum: u16, stub: &[u8]) -> Got {
        self.change(opnum, |out| out.octets(stub))
    }

    /// ept_inq_object.
    pub fn inq_object(&mut self) -> Uuid {
        let stub = self.call(0, ept::INQ_OBJECT, |_| {}).unwrap();
        let response = ept::InqObjectResponse::decode(self.input(&stub)).unwrap();
        assert_eq!(response.status, EptStatus::OK);
        response.object
    }

    /// All entries but the mapper's own, in their order.
    pub fn entries(&mut self) -> Vec<New> {
        let mut handle = ContextHandle::NULL;
        let mut found = Vec::new();
        loop {
            let request = LookupRequest {
                inquiry_type: InquiryType::ALL_ELTS,
                object: None,
                interface: None,
                vers_option: VersionOption::ALL,
                handle,
                max_ents: 500,
            };
            let stub = self
                .call(0, ept::LOOKUP, |out| request.encode(out))
                .unwrap();
            let response = LookupResponse::decode(self.input(&stub)).unwrap();
            found.extend(response.entries.iter().map(|entry| New {
                object: entry.object,
                tower: entry.tower_octets().map(<[u8]>::to_vec),
                annotation: String::from_utf8(entry.annotation.to_vec()).unwrap(),
            }));
            handle = response.handle;
            if handle.is_null() {
                break;
            }
        }
        let ept = SyntaxId::EPT.uuid.to_bytes_le();
        found.retain(|entry| !entry.tower.as_ref().unwrap()[5..].starts_with(&ept));
        found
    }

    /// What the mapper counts.
    fn counters(&mut self) -> Vec<(String, u64)> {
        let request = CountersRequest {
            max_counters: control::MAX_COUNTERS,
        };
        let stub = self
            .call(1, control::COUNTERS, |out| request.encode(out))
            .unwrap();
        let response = CountersResponse::decode(self.input(&stub)).unwrap();
        let counters = response.counters.iter();
        counters
            .map(|counter| {
                (
                    String::from_utf8_lossy(&counter.name).into_owned(),
                    counter.value,
                )
            })
            .collect()
    }
}

/// Entries as a stub has them.
fn wire(entries: &[New]) -> Vec<ept::Entry<'_>> {
    let mut referents = Referents::after(0);
    let entries = entries.iter().map(|entry| ept::Entry {
        object: entry.object,
        tower: entry
            .tower
            .as_ref()
            .map(|tower| referents.point(tower.into())),
        annotation: entry.annotation.as_bytes().into(),
    });
    entries.collect()
}

/// A program of another user that connects to a local socket and passes octets on.
struct Relay {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

/// Debian's, which every user may run.
const PYTHON: &str = "/usr/bin/python3";

/// What it does.
const RELAY: &str = "
import os, select, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
ways = {0: server.sendall, server.fileno(): lambda octets: os.write(1, octets)}
while True:
    for end in select.select(list(ways), [], [])[0]:
        octets = os.read(end, 65536)
        if not octets:
            sys.exit()
        ways[end](octets)
";

impl Relay {
    fn connect(socket: &Path, uid: u32) -> Option<Relay> {
        let id = uid.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        let child = command
            .args([PYTHON, "-c", RELAY])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        if child.is_err() || !nix::unistd::geteuid().is_root() {
            skip::lacking("root, setpriv and python3");
            return None;
        }
        let mut child = child.unwrap();
        Some(Relay {
            to: child.stdin.take().unwrap(),
            from: child.stdout.take().unwrap(),
            child,
        })
    }
}

impl Read for Relay {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.from.read(octets)
    }
}

impl Write for Relay {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.to.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
