//! NTLM against other people's: tokens from captures, and Samba's and impacket's
//! ends of an exchange.

#![cfg(feature = "daemon")]

mod support;

use epmapper::proto::Principal;
use epmapper::proto::security::Packet;
use epmapper::security::ntlm::{
    Authenticate, AvPairs, Challenge, ClientChallenge, Names, Negotiate, Ntlm, NtlmSettings,
    initiate,
};
use epmapper::security::{
    Account, Accounts, Credentials, Mechanism, MechanismContext, NtHash, Password, Secret,
};
use epmapper::wire::pdu::{AuthLevel, AuthType, Pdu};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use support::skip;

/// What NTLM's messages begin with.
const SIGNATURE: &[u8] = b"NTLMSSP\0";

#[test]
fn tokens_of_own_captures_are_read_and_written_again() {
    let tally = read_all(&support::own_captures());
    println!("{tally:?}");
    for kind in 1..=3 {
        assert!(tally.get(&kind).is_some_and(|count| *count > 0), "{kind}");
    }
}

#[test]
fn tokens_of_more_captures_are_read_and_written_again() {
    if let Some(folder) = support::more_captures() {
        println!("{:?}", read_all(&folder));
    }
}

/// Reads the tokens of a folder's captures; how many there are of each kind.
fn read_all(folder: &Path) -> BTreeMap<u8, usize> {
    let mut tally = BTreeMap::new();
    for path in support::captures_in(folder) {
        if support::truth::tcp_rows(&path).is_empty() {
            continue;
        }
        for captured in support::capture::read(&path).pdus {
            let Some((kind, token)) = token(&captured.octets) else {
                continue;
            };
            *tally.entry(kind).or_default() += 1;
            check(kind, token).unwrap_or_else(|error| {
                panic!("{} frame {}: {error}", path.display(), captured.frame)
            });
        }
    }
    tally
}

/// The NTLM message in a PDU's verifier, in SPNEGO or without, and its kind.
fn token(octets: &[u8]) -> Option<(u8, &[u8])> {
    let verifier = Pdu::decode(octets).ok()?.auth?;
    if ![AuthType::NTLM, AuthType::SPNEGO].contains(&verifier.auth_type) {
        return None;
    }
    let mut windows = verifier.value.windows(SIGNATURE.len());
    let begin = windows.position(|window| window == SIGNATURE)?;
    let token = &verifier.value[begin..];
    Some((*token.get(8)?, token))
}

/// Reads a message of a kind, and again what is written of it.
fn check(kind: u8, token: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    match kind {
        1 => {
            let message = Negotiate::decode(token)?;
            assert_eq!(Negotiate::decode(&message.encode())?, message);
        }
        2 => {
            let message = Challenge::decode(token)?;
            AvPairs::decode(message.target_info)?;
            assert_eq!(Challenge::decode(&message.encode())?, message);
        }
        _ => {
            let message = Authenticate::decode(token)?;
            if message.nt_response.len() > 24 {
                let info = ClientChallenge::decode(&message.nt_response[16..])?.info;
                assert!(!info.has_mic() || message.mic.is_some());
            }
            assert_eq!(Authenticate::decode(&message.encode())?, message);
        }
    }
    Ok(())
}

/// Knows one account.
#[derive(Debug)]
struct One;

impl Accounts for One {
    fn find(&self, name: &str) -> Option<Account> {
        name.eq_ignore_ascii_case("User").then(|| Account {
            name: Arc::from("User"),
            nt_hash: NtHash::of("Password"),
            password: None,
        })
    }
}

/// A server's context.
fn acceptor(level: AuthLevel) -> Box<dyn MechanismContext> {
    let ntlm = Ntlm::new(NtlmSettings {
        names: Names {
            domain: "LAB".to_owned(),
            host: "MAPPER".to_owned(),
            dns_domain: "lab.example".to_owned(),
            dns_host: "mapper.lab.example".to_owned(),
        },
        accounts: Arc::new(One),
        anonymous: true,
        v1: false,
        lm: false,
    });
    ntlm.accept(level)
}

/// A client's context.
fn initiator(password: &str) -> Box<dyn MechanismContext> {
    let credentials = Credentials {
        user: "User".to_owned(),
        domain: "Domain".to_owned(),
        secret: Secret::Password(Arc::new(Password::new(password.to_owned()))),
    };
    initiate(&credentials, AuthLevel::PRIVACY)
}

/// Another's end.
struct Peer {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts one; `None` where the host has none of its kind.
    fn start(python: &Path, arguments: &[&str]) -> Option<Peer> {
        if !python.is_file() {
            skip::lacking(&python.display().to_string());
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ntlm/peer.py");
        let mut process = Command::new(python)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Peer {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            process,
        })
    }

    /// The next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// The next token.
    fn token(&mut self) -> Vec<u8> {
        let line = self.line();
        assert!(!line.is_empty(), "the peer says no more");
        let octet = |at| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        (0..line.len()).step_by(2).map(octet).collect()
    }

    /// Answers.
    fn tell(&mut self, token: &[u8]) {
        let hex: String = token.iter().map(|octet| format!("{octet:02x}")).collect();
        writeln!(self.input, "{hex}").unwrap();
    }

    /// Has it log on.
    fn log_on(&mut self, server: &mut dyn MechanismContext) {
        let answer = server.proceed(&self.token()).unwrap();
        assert!(!answer.is_complete);
        self.tell(&answer.token);
        let answer = server.proceed(&self.token()).unwrap();
        assert!(answer.is_complete);
    }

    /// Exchanges codes over the mechanisms of SPNEGO.
    fn agree_on_mechanisms(&mut self, server: &mut dyn MechanismContext) {
        let mechanisms = self.token();
        server.check_mic(&mechanisms, &self.token()).unwrap();
        self.tell(&server.mic(&mechanisms).unwrap());
        server.mics_exchanged();
    }

    /// Takes its last line, and sees that it ends well.
    fn ends(mut self, last: &str) {
        assert_eq!(self.line(), last);
        drop(self.input);
        assert!(self.process.wait().unwrap().success());
    }
}

/// Where python3-samba is.
fn system_python() -> PathBuf {
    PathBuf::from("/usr/bin/python3")
}

/// A packet that is a stub only.
fn stub(octets: &mut [u8]) -> Packet<'_> {
    Packet {
        stub: 0..octets.len(),
        octets,
        signs_header: true,
    }
}

#[test]
fn samba_logs_on_and_packets_fit_both_ways() {
    let cases = [
        ("connect", AuthLevel::CONNECT),
        ("sign", AuthLevel::INTEGRITY),
        ("seal", AuthLevel::PRIVACY),
    ];
    let whos = [
        ("samba", Principal::Named("User".into())),
        ("samba-spnego", Principal::Named("User".into())),
        ("samba-anonymous", Principal::Anonymous),
    ];
    for (who, principal) in whos {
        for (word, level) in cases {
            let Some(mut peer) = Peer::start(&system_python(), &[who, word]) else {
                return;
            };
            let mut server = acceptor(level);
            peer.log_on(&mut *server);
            assert_eq!(server.principal(), principal);
            // It has no code where nothing is to be signed.
            if who == "samba-spnego" && level != AuthLevel::CONNECT {
                peer.agree_on_mechanisms(&mut *server);
            }
            if word == "sign" {
                let signature = peer.token();
                let packet = Packet {
                    octets: &mut b"headstubtail".to_owned(),
                    stub: 4..8,
                    signs_header: true,
                };
                server.verify(packet, &signature).unwrap();
            }
            for count in 0..if word == "connect" { 0 } else { 4 } {
                let wrapped = peer.token();
                let (signature, octets) = wrapped.split_at(16);
                let mut octets = octets.to_vec();
                server.verify(stub(&mut octets), signature).unwrap();
                assert_eq!(octets, format!("there {count}").into_bytes());
                let mut octets = format!("back {count}").into_bytes();
                let mut signature = [0; 16];
                server.protect(stub(&mut octets), &mut signature).unwrap();
                peer.tell(&[&signature[..], &octets].concat());
            }
            peer.ends("done");
        }
    }
}

#[test]
fn impacket_logs_on() {
    let folder = std::env::var_os("EPMAPPER_VENV").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv"),
        PathBuf::from,
    );
    for level in [AuthLevel::CONNECT, AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        let Some(mut peer) = Peer::start(&folder.join("bin/python3"), &["impacket"]) else {
            return;
        };
        peer.log_on(&mut *acceptor(level));
        peer.ends("done");
    }
}

#[test]
fn samba_takes_our_proof_and_no_wrong_one() {
    for (password, verdict) in [("Password", "accepted"), ("password", "refused")] {
        if !Path::new("/usr/bin/ntlm_auth").is_file() {
            skip::lacking("ntlm_auth");
            return;
        }
        let Some(mut peer) = Peer::start(&system_python(), &["ntlm_auth"]) else {
            return;
        };
        let mut client = initiator(password);
        peer.tell(&client.proceed(&[]).unwrap().token);
        let answer = client.proceed(&peer.token()).unwrap();
        assert!(answer.is_complete);
        peer.tell(&answer.token);
        peer.ends(verdict);
    }
}
