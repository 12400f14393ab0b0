//! Clients that know a password, or do not, and all that they said.

use super::wire::{self, Identity};
use crate::fuzzing::Choices;
use crate::fuzzing::words::Words;
use crate::proto::{Call, Principal, SecurityContext, SecurityProvider};
use crate::security::ntlm::{Choice, Moment, Names, Ntlm, NtlmSettings, initiate_at};
use crate::security::oid;
use crate::security::spnego::{self, Offer, Spnego};
use crate::security::{
    Account, Accounts, Alone, Credentials, Mechanism, MechanismContext, NtHash, Secret,
};
use crate::wire::DataRepresentation;
use crate::wire::pdu::{
    AuthLevel, AuthType, AuthVerifier, Header, PacketType, Pdu, PfcFlags, Request,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The hash of the password of every account.
const SECRET: [u8; 16] = *b"nobody guesses t";

/// Clients of one connection, at most.
const MOST: usize = 16;

/// What begins the last message of NTLM.
const AUTHENTICATE: &[u8] = b"NTLMSSP\0\x03\0\0\0";

/// What the server authenticates by: NTLM, alone and within SPNEGO.
pub fn providers(anonymous: bool) -> Vec<Arc<dyn SecurityProvider>> {
    let names = Names {
        domain: "LAB".to_owned(),
        host: "MAPPER".to_owned(),
        ..Names::default()
    };
    let ntlm = Ntlm::new(NtlmSettings {
        names,
        accounts: Arc::new(All),
        anonymous,
        v1: false,
        lm: false,
    });
    let begun = AtomicU64::new(0);
    let mechanism: Arc<dyn Mechanism> = Arc::new(Counted { ntlm, begun });
    vec![
        Arc::new(Alone(mechanism.clone())),
        Arc::new(Spnego::new(vec![mechanism])),
    ]
}

/// Knows an account of every name.
#[derive(Debug)]
struct All;

impl Accounts for All {
    fn find(&self, name: &str) -> Option<Account> {
        Some(Account {
            name: name.into(),
            nt_hash: NtHash(SECRET),
            password: None,
        })
    }
}

/// NTLM whose challenges count up: no two are alike, and two runs have the same.
#[derive(Debug)]
struct Counted {
    ntlm: Ntlm,
    begun: AtomicU64,
}

impl Mechanism for Counted {
    fn auth_type(&self) -> AuthType {
        self.ntlm.auth_type()
    }

    fn oids(&self) -> &'static [&'static [u8]] {
        self.ntlm.oids()
    }

    fn accept(&self, level: AuthLevel) -> Box<dyn MechanismContext> {
        let challenge = self.begun.fetch_add(1, Relaxed).to_be_bytes();
        self.ntlm.accept_at(level, Moment { challenge, time: 1 })
    }

    fn may_block(&self) -> bool {
        false
    }
}

/// The client that a principal names; `None` for nobody.
pub fn number(principal: &Principal) -> Option<usize> {
    match principal {
        Principal::Anonymous => None,
        Principal::Named(name) => {
            let number = name.strip_prefix("client ").and_then(|n| n.parse().ok());
            Some(number.unwrap_or_else(|| panic!("{name} is nobody's name")))
        }
    }
}

/// What a client knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knows {
    /// Name and password.
    Password,
    /// The name alone.
    Name,
    /// Neither, so that it logs on as nobody.
    Nothing,
}

/// One client.
#[derive(Debug)]
struct Client {
    identity: Identity,
    knows: Knows,
    context: Box<dyn SecurityContext>,
    is_complete: bool,
    /// What the server said last, until it is answered.
    heard: Option<Vec<u8>>,
    /// The message that proves who it is, once said.
    proof: Option<Vec<u8>>,
    /// The fragments that it signed.
    signed: Vec<Signed>,
    /// How many of them calls were handed out for.
    used: usize,
}

/// A fragment that was signed.
#[derive(Debug)]
struct Signed {
    header: Header,
    context_id: u16,
    opnum: u16,
    object: Option<Uuid>,
    stub: Vec<u8>,
}

/// The clients of one connection, by number, and what they said.
#[derive(Debug, Default)]
pub struct Clients {
    all: Vec<Client>,
    /// Their PDUs.
    said: Vec<Vec<u8>>,
    /// Requests that they made, so that no two stubs are alike.
    requests: u32,
    /// Those that are logged on.
    logged_on: BTreeSet<usize>,
}

impl Clients {
    /// A client begins: a bind, or an alter_context.
    pub fn begin(&mut self, choices: &mut Choices, out: &mut Vec<u8>) {
        let bits = choices.u8();
        let level = choices.of([
            AuthLevel::INTEGRITY,
            AuthLevel::PRIVACY,
            AuthLevel::CONNECT,
            AuthLevel::PACKET,
        ]);
        let knows = match bits & 0x0c {
            0x04 => Knows::Name,
            0x08 => Knows::Nothing,
            _ => Knows::Password,
        };
        let number = self.all.len();
        if number >= MOST {
            return;
        }
        let mut context = initiator(number, knows, level, bits & 3);
        let token = context.proceed(&[]).expect("the client begins").token;
        let identity = Identity {
            auth_type: match bits & 3 {
                0 => AuthType::NTLM,
                _ => AuthType::SPNEGO,
            },
            level,
            id: number as u32,
        };
        self.all.push(Client {
            identity,
            knows,
            context,
            is_complete: false,
            heard: None,
            proof: None,
            signed: Vec::new(),
            used: 0,
        });
        let is_bind = number == 0 || bits & 0xe0 == 0x20;
        let ptype = match is_bind {
            true => PacketType::BIND,
            false => PacketType::ALTER_CONTEXT,
        };
        let multiplexing = match bits & 0x10 {
            0 => PfcFlags::CONC_MPX,
            _ => PfcFlags::PENDING_CANCEL,
        };
        let flags = PfcFlags::WHOLE | multiplexing;
        self.say(wire::leg(ptype, flags, identity, &token), out);
    }

    /// A client answers what it heard: an alter_context, or an rpc_auth_3.
    pub fn go_on(&mut self, choices: &mut Choices, out: &mut Vec<u8>) {
        let bits = choices.u8();
        let Some(client) = at(&mut self.all, bits >> 1) else {
            return;
        };
        let Some(heard) = client.heard.take() else {
            return;
        };
        let Ok(answer) = client.context.proceed(&heard) else {
            return;
        };
        client.is_complete |= answer.is_complete;
        if let Some(proof) = proof_in(&answer.token) {
            client.proof = Some(proof);
        }
        if answer.is_complete && answer.token.is_empty() {
            return;
        }
        let ptype = match bits & 1 {
            0 => PacketType::ALTER_CONTEXT,
            _ => PacketType::AUTH3,
        };
        let pdu = wire::leg(ptype, PfcFlags::WHOLE, client.identity, &answer.token);
        self.say(pdu, out);
    }

    /// A client calls, in some fragments.
    pub fn request(&mut self, choices: &mut Choices, out: &mut Vec<u8>) {
        let [bits, size, opnum] = [choices.u8(), choices.u8(), choices.u8()];
        self.requests += 1;
        let number = self.requests;
        let Some(client) = at(&mut self.all, bits >> 4) else {
            return;
        };
        if !client.is_complete {
            return;
        }
        let count = bits >> 2 & 3;
        let mut pdus = Vec::new();
        for piece in 0..=count {
            let mut stub = vec![piece; usize::from(size) * 11];
            let mark = number.to_le_bytes();
            stub.iter_mut().zip(mark).for_each(|(to, mark)| *to = mark);
            let mut flags = PfcFlags(0);
            if piece == 0 {
                flags = flags | PfcFlags::FIRST_FRAG;
            }
            if piece == count {
                flags = flags | PfcFlags::LAST_FRAG;
            }
            pdus.push(client.call(number, flags, (u16::from(bits & 3 == 3), opnum), &stub));
        }
        for pdu in pdus {
            self.say(pdu, out);
        }
    }

    /// Something that was said is said again, perhaps with another level, or
    /// instead of what is on its way.
    pub fn repeat(&mut self, choices: &mut Choices, out: &mut Vec<u8>) {
        let [which, bits] = [choices.u8(), choices.u8()];
        let Some(pdu) = at(&mut self.said, which) else {
            return;
        };
        let mut pdu = pdu.clone();
        if bits & 1 != 0
            && let Some(level) = verifier_at(&pdu).and_then(|at| pdu.get_mut(at + 1))
        {
            *level = bits >> 4;
        }
        if bits & 2 != 0 {
            out.clear();
        }
        out.extend(pdu);
    }

    /// The end of something that was said, its signature or a part of its token,
    /// takes the place of what ends now.
    pub fn graft(&mut self, choices: &mut Choices, out: &mut [u8]) {
        let [which, length] = [choices.u8(), choices.u8()];
        let Some(pdu) = at(&mut self.said, which) else {
            return;
        };
        let length = match length {
            0..128 => 16,
            _ => usize::from(length - 127),
        };
        let length = length.min(pdu.len()).min(out.len());
        let (to, from) = (out.len() - length, pdu.len() - length);
        out[to..].copy_from_slice(&pdu[from..]);
    }

    fn say(&mut self, pdu: Vec<u8>, out: &mut Vec<u8>) {
        out.extend(&pdu);
        self.said.push(pdu);
    }

    /// Takes the tokens out of whole PDUs of the server; how many octets those
    /// were.
    pub fn hear(&mut self, octets: &[u8]) -> usize {
        let mut rest = octets;
        while let Some(length) = Header::peek_frag_length(rest).map(usize::from)
            && length <= rest.len()
        {
            let pdu = Pdu::decode(&rest[..length]).expect("sent PDUs decode");
            let is_answer = matches!(
                pdu.header.ptype,
                PacketType::BIND_ACK | PacketType::ALTER_CONTEXT_RESP
            );
            if let Some(verifier) = pdu.auth.filter(|_| is_answer)
                && let Some(client) = self.all.get_mut(verifier.context_id as usize)
            {
                client.heard = Some(verifier.value.to_vec());
            }
            rest = &rest[length..];
        }
        octets.len() - rest.len()
    }

    /// The same stream comes once more.
    pub fn begin_anew(&mut self) {
        self.logged_on.clear();
        self.all.iter_mut().for_each(|client| client.used = 0);
    }

    /// Somebody who is logged on knows the password, and what it said of it has
    /// come as it was.
    pub fn check_proof(&self, number: usize, stream: &[u8]) {
        let client = &self.all[number];
        assert_eq!(client.knows, Knows::Password, "client {number} is taken");
        let proof = client.proof.as_ref();
        let proof = proof.unwrap_or_else(|| panic!("client {number} has not said who it is"));
        let has_come = stream.windows(proof.len()).any(|part| part == proof);
        assert!(has_come, "client {number} has not been heard");
    }

    /// Nobody logs on twice by what was said once.
    pub fn note_logon(&mut self, principal: &Principal) {
        if let Some(number) = number(principal) {
            let is_first = self.logged_on.insert(number);
            assert!(is_first, "client {number} is logged on already");
        }
    }

    /// A call is the next that its client signed, or one after it: those between
    /// them were answered with a fault.
    pub fn check_call(&mut self, number: usize, call: &Call) {
        let client = &mut self.all[number];
        let rest = &client.signed[client.used..];
        let begins = (0..rest.len()).filter(|at| rest[*at].is_first());
        let found = begins
            .into_iter()
            .find_map(|at| is_made_of(call, &rest[at..]).map(|n| at + n));
        let used = found.unwrap_or_else(|| panic!("client {number} has not signed {call:?}"));
        client.used += used;
    }

    /// The stub of a fragment for a client, which is to be signed for it.
    pub fn opened(&mut self, number: usize, octets: &[u8], pdu: &Pdu) -> Vec<u8> {
        let client = &mut self.all[number];
        let verifier = pdu.auth.expect("a signed fragment");
        assert_eq!(verifier.context_id, client.identity.id);
        assert_eq!(verifier.auth_type, client.identity.auth_type);
        assert_eq!(verifier.auth_level, client.identity.level);
        wire::opened(octets, &verifier, &mut *client.context)
    }

    /// How many are logged on.
    #[cfg(test)]
    pub fn logged_on(&self) -> usize {
        self.logged_on.len()
    }
}

impl Client {
    /// A fragment of a call, as its level asks for it.
    fn call(
        &mut self,
        call_id: u32,
        flags: PfcFlags,
        (context_id, opnum): (u16, u8),
        stub: &[u8],
    ) -> Vec<u8> {
        let header = Header::new(
            PacketType::REQUEST,
            flags,
            DataRepresentation::LITTLE,
            call_id,
        );
        let request = Request {
            alloc_hint: 0,
            context_id,
            opnum: opnum.into(),
            object: None,
            stub,
        };
        self.signed.push(Signed {
            header,
            context_id,
            opnum: request.opnum,
            object: request.object,
            stub: stub.to_vec(),
        });
        wire::protected(header, request, self.identity, &mut *self.context)
    }
}

impl Signed {
    fn is_first(&self) -> bool {
        self.header.flags.contains(PfcFlags::FIRST_FRAG)
    }

    fn is_last(&self) -> bool {
        self.header.flags.contains(PfcFlags::LAST_FRAG)
    }
}

/// How many fragments a call is made of, if it is of the first ones.
fn is_made_of(call: &Call, fragments: &[Signed]) -> Option<usize> {
    let first = fragments.first()?;
    let count = fragments.iter().position(Signed::is_last)? + 1;
    let head = (call.id, call.context_id, call.opnum, call.object);
    let signed = (
        first.header.call_id,
        first.context_id,
        first.opnum,
        first.object,
    );
    let stubs = fragments[..count].iter().map(|signed| &signed.stub[..]);
    let stub = stubs.collect::<Vec<_>>().concat();
    (head == signed && call.stub == stub).then_some(count)
}

/// One of a list, whatever the number.
fn at<T>(list: &mut [T], number: u8) -> Option<&mut T> {
    let count = list.len().max(1);
    list.get_mut(usize::from(number) % count)
}

/// Where a PDU's verifier begins.
fn verifier_at(pdu: &[u8]) -> Option<usize> {
    let header = Pdu::decode(pdu).ok()?.header;
    AuthVerifier::offset(&header).ok()?
}

/// The last message of NTLM in a token.
fn proof_in(token: &[u8]) -> Option<Vec<u8>> {
    let inner = match spnego::token::NegTokenResp::decode(token) {
        Ok(response) => response.response_token?,
        Err(_) => token,
    };
    inner.starts_with(AUTHENTICATE).then(|| inner.to_vec())
}

/// A client's end: NTLM alone, within SPNEGO, there behind Kerberos, or as it is
/// under SPNEGO's type.
fn initiator(number: usize, knows: Knows, level: AuthLevel, kind: u8) -> Box<dyn SecurityContext> {
    let credentials = Credentials {
        user: match knows {
            Knows::Nothing => String::new(),
            _ => format!("client {number}"),
        },
        domain: String::new(),
        secret: Secret::NtHash(NtHash(match knows {
            Knows::Password => SECRET,
            _ => [0; 16],
        })),
    };
    let level = match level {
        AuthLevel::PACKET => AuthLevel::INTEGRITY,
        level => level,
    };
    let choice = Choice {
        challenge: [number as u8; 8],
        key: Zeroizing::new([!(number as u8); 16]),
        time: 1,
    };
    let context = initiate_at(&credentials, level, choice);
    let ntlm = Offer {
        oid: oid::NTLM,
        context,
    };
    let kerberos = Words::new(AuthType::KERBEROS, &[oid::KERBEROS], 3, true);
    let kerberos = Offer {
        oid: oid::KERBEROS,
        context: Box::new(kerberos.speaker(true)),
    };
    match kind {
        0 | 3 => ntlm.context,
        1 => spnego::initiate(vec![ntlm]),
        _ => spnego::initiate(vec![kerberos, ntlm]),
    }
}
