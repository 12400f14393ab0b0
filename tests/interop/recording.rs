//! Records what goes to and from one loopback address, and lets tshark judge it.

use std::io::Read;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::daemon::{DEADLINE, Log};
use crate::programs;

/// How long a mark is waited for before it is sent once more: dumpcap says that it captures before it does.
const NEXT_MARK: Duration = Duration::from_millis(200);

/// What tshark's expert may say of the traffic without being right about a mistake of ours.
///
/// TCP's own affairs, marks of reassembly, a floor of ncalrpc that tshark does not decode, and the refusal
/// that nmap provokes on purpose.
const INNOCENT: [&str; 12] = [
    "Connection ",
    "This frame ",
    "TCP ",
    "Duplicate ACK",
    "ACKed segment",
    "Previous segment",
    "D-SACK Sequence",
    "1st fragment",
    "Fragment",
    "Last fragment, reassembled",
    "RightHandSide not decoded yet for proto_id 0xc",
    "Bind not acknowledged",
];

/// What tshark is asked for; several values in one frame are separated by a bar.
const FIELDS: [&str; 7] = [
    "frame.number",
    "dcerpc.pkt_type",
    "epm.opnum",
    "epm.num_ents",
    "_ws.malformed",
    "dcerpc.long_frame",
    "_ws.expert.message",
];

/// A running capture.
pub struct Recording {
    dumpcap: Child,
    capture: Receiver<Vec<u8>>,
    octets: Vec<u8>,
    log: Log,
    /// Sends marks to itself, on the address that is recorded.
    marker: UdpSocket,
}

/// What the mapper sent in a session, as tshark counts it.
#[derive(Debug, Default)]
pub struct Sent {
    /// Frames with DCE/RPC.
    pub frames: usize,
    /// Answers to ept_lookup.
    pub lookups: usize,
    /// Entries in them.
    pub entries: usize,
    /// Answers to ept_map.
    pub maps: usize,
}

impl Recording {
    /// Starts to record all traffic of `address`, and returns when it does; `None` without dumpcap and tshark.
    pub fn start(address: Ipv4Addr) -> Option<Recording> {
        let (dumpcap, _) = (programs::find("dumpcap")?, programs::find("tshark")?);
        let mut dumpcap = Command::new(dumpcap)
            .args([
                "-q",
                "-p",
                "-i",
                "lo",
                "-B",
                "16",
                "-f",
                &format!("host {address}"),
                "-w",
                "-",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dumpcap starts");
        let capture = chunks(dumpcap.stdout.take().expect("stdout is a pipe"));
        let log = Log::of(dumpcap.stderr.take().expect("stderr is a pipe"));
        let marker = UdpSocket::bind((address, 0)).expect("a socket on the recorded address");
        let mut recording = Recording {
            dumpcap,
            capture,
            octets: Vec::new(),
            log,
            marker,
        };
        recording.reach("the recording begins");
        Some(recording)
    }

    /// Ends the recording when all traffic so far is in it, and returns the capture file.
    pub fn finish(mut self) -> Vec<u8> {
        self.reach("the recording ends");
        let pid = i32::try_from(self.dumpcap.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("dumpcap runs");
        assert!(
            self.log.wait_for_end(),
            "dumpcap does not stop: {}",
            self.log.text()
        );
        self.octets.extend(self.capture.iter().flatten());
        self.assert_complete();
        std::mem::take(&mut self.octets)
    }

    /// Sends marks until one of them is in the capture.
    fn reach(&mut self, mark: &str) {
        let here = self.marker.local_addr().expect("the marker's address");
        let until = Instant::now() + DEADLINE;
        let mut searched = self.octets.len();
        loop {
            self.marker
                .send_to(mark.as_bytes(), here)
                .expect("a mark is sent");
            let next = Instant::now() + NEXT_MARK;
            while let Ok(chunk) = self
                .capture
                .recv_timeout(next.saturating_duration_since(Instant::now()))
            {
                self.octets.extend(chunk);
                let from = searched.saturating_sub(mark.len());
                if self.octets[from..]
                    .windows(mark.len())
                    .any(|window| window == mark.as_bytes())
                {
                    return;
                }
                searched = self.octets.len();
            }
            assert!(
                Instant::now() < until,
                "dumpcap does not record: {}",
                self.log.text()
            );
        }
    }

    /// A frame that the kernel dropped could hide a fault, or look like one.
    fn assert_complete(&self) {
        let log = self.log.text();
        let told = log
            .lines()
            .find(|line| line.contains("received/dropped"))
            .unwrap_or_default();
        assert!(
            told.contains("/0 (pcap:0/"),
            "frames are missing in the capture: {log}"
        );
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.dumpcap.kill();
        let _ = self.dumpcap.wait();
    }
}

/// Reads a pipe in a thread of its own.
fn chunks(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Lets tshark dissect a capture: what the server on `port` sent, or the first fault in it.
///
/// What clients send is not judged: nmap's octets are no RPC.
pub fn judge(octets: &[u8], port: u16) -> Result<Sent, String> {
    let folder = TempDir::new().expect("a folder for the capture");
    let file = folder.path().join("session.pcapng");
    std::fs::write(&file, octets).expect("the capture is written");
    let sent = format!("tcp.srcport == {port} && (dcerpc || _ws.malformed || _ws.expert)");
    let mut arguments = vec!["-Y", &sent];
    arguments.extend(["-T", "fields", "-E", "aggregator=|"]);
    arguments.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
    let mut all = Sent::default();
    for line in tshark(&file, port, &arguments).lines() {
        let fields: Vec<&str> = line.splitn(FIELDS.len(), '\t').collect();
        let fields: [&str; FIELDS.len()] =
            fields.try_into().expect("the fields that were asked for");
        let faults = faults(fields);
        if !faults.is_empty() {
            let filter = format!("frame.number == {}", fields[0]);
            let dissection = tshark(
                &file,
                port,
                &["-V", "-x", "-O", "dcerpc,epm,mgmt", "-Y", &filter],
            );
            return Err(format!(
                "tshark finds fault with frame {}: {faults:?}\n{dissection}",
                fields[0]
            ));
        }
        all.add(fields);
    }
    Ok(all)
}

/// What tshark finds wrong with a frame.
fn faults([.., malformed, long, expert]: [&str; FIELDS.len()]) -> Vec<&str> {
    let innocent = |message: &str| {
        INNOCENT
            .iter()
            .any(|innocent| message.starts_with(innocent))
    };
    let marks = [("Malformed", malformed), ("Long frame", long)].into_iter();
    let marks = marks
        .filter(|(_, mark)| !mark.is_empty())
        .map(|(fault, _)| fault);
    let said = expert
        .split('|')
        .filter(|message| !message.is_empty() && !innocent(message));
    marks.chain(said).collect()
}

impl Sent {
    fn add(&mut self, [_, types, operations, entries, ..]: [&str; FIELDS.len()]) {
        let count = |operation: &str| {
            operations
                .split('|')
                .filter(|seen| *seen == operation)
                .count()
        };
        self.frames += usize::from(!types.is_empty());
        self.lookups += count("2");
        self.maps += count("3");
        self.entries += entries
            .split('|')
            .filter_map(|count| count.parse::<usize>().ok())
            .sum::<usize>();
    }
}

/// What tshark says of a capture. Whatever the port sends counts as DCE/RPC, so that what does not look like it is seen.
fn tshark(file: &Path, port: u16, arguments: &[&str]) -> String {
    let program = programs::find("tshark").expect("found before the recording");
    let file = file.to_str().expect("a path in UTF-8");
    let port = format!("tcp.port=={port},dcerpc");
    let all: Vec<&str> = ["-r", file, "-d", &port]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let finished = programs::run(&program, &all, "");
    finished.assert_success();
    finished.stdout
}
