//! What NTLM computes from passwords and challenges: one-way functions,
//! responses, keys and the MIC.
//!
//! # Source
//! MS-NLMP 3.3, 3.4.4 and 3.4.5.

use super::flags::Flags;
use super::names::{to_utf16, upper};
use crate::security::{NtHash, Password};
use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use md4::Md4;
use md5::{Digest, Md5};
use rc4::{Rc4, StreamCipher};
use zeroize::Zeroizing;

/// A key of 128 bits, forgotten when it is let go.
pub type Key = Zeroizing<[u8; 16]>;

/// Which end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The end that began.
    Client,
    /// The end that was asked.
    Server,
}

/// HMAC-MD5 over `parts`, one behind the other.
pub fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// RC4 from the start of `key`'s stream.
pub fn rc4(key: &[u8]) -> Rc4 {
    Rc4::new_from_slice(key).expect("keys here have 5 to 16 octets")
}

/// What a session key is wrapped and unwrapped with, RC4K.
pub fn rc4k(key: &Key, octets: &[u8; 16]) -> Key {
    let mut octets = Zeroizing::new(*octets);
    rc4(&**key).apply_keystream(&mut *octets);
    octets
}

/// NTOWFv2: what NTLMv2 proofs are made with.
///
/// # Source
/// MS-NLMP 3.3.2: the domain stays as it is written.
pub fn ntowf_v2(hash: &NtHash, user: &str, domain: &str) -> Key {
    let user = to_utf16(&upper(user));
    Zeroizing::new(hmac_md5(&hash.0, &[&user, &to_utf16(domain)]))
}

/// The NTLMv2 proof: what stands before the client's challenge.
///
/// # Source
/// MS-NLMP 3.3.2, NTProofStr.
pub fn proof_v2(ntowf: &Key, server: &[u8; 8], client_challenge: &[u8]) -> [u8; 16] {
    hmac_md5(&**ntowf, &[server, client_challenge])
}

/// The session base key of NTLMv2, which is its key exchange key, too.
pub fn session_base_v2(ntowf: &Key, proof: &[u8; 16]) -> Key {
    Zeroizing::new(hmac_md5(&**ntowf, &[proof]))
}

/// LMOWFv1; `None` where the password has letters outside of ASCII, since
/// nothing tells the code page, or more than 14.
///
/// # Source
/// MS-NLMP 3.3.1.
pub fn lmowf_v1(password: &Password) -> Option<Key> {
    let text = password.as_str();
    if !text.is_ascii() || text.len() > 14 {
        return None;
    }
    let mut octets = Zeroizing::new([0; 14]);
    octets[..text.len()].copy_from_slice(text.as_bytes());
    octets.make_ascii_uppercase();
    let mut hash = Key::default();
    for (half, seven) in hash.chunks_mut(8).zip(octets.chunks(7)) {
        half.copy_from_slice(&des(seven, b"KGS!@#$%"));
    }
    Some(hash)
}

/// The responses of NTLMv1 and LM: `challenge` thrice under the parts of a hash.
///
/// # Source
/// MS-NLMP 6, DESL.
pub fn response_v1(hash: &[u8; 16], challenge: &[u8; 8]) -> [u8; 24] {
    let mut padded = Zeroizing::new([0; 21]);
    padded[..16].copy_from_slice(hash);
    let mut response = [0; 24];
    for (part, seven) in response.chunks_mut(8).zip(padded.chunks(7)) {
        part.copy_from_slice(&des(seven, challenge));
    }
    response
}

/// The challenge that NTLMv1 answers with extended session security.
///
/// # Source
/// MS-NLMP 3.3.1.
pub fn extended_challenge(server: &[u8; 8], client: &[u8; 8]) -> [u8; 8] {
    let digest: [u8; 16] = Md5::new()
        .chain_update(server)
        .chain_update(client)
        .finalize()
        .into();
    let mut challenge = [0; 8];
    challenge.copy_from_slice(&digest[..8]);
    challenge
}

/// The session base key of NTLMv1.
pub fn session_base_v1(hash: &NtHash) -> Key {
    Zeroizing::new(Md4::digest(hash.0).into())
}

/// What the key exchange key of NTLMv1 depends on.
pub struct Exchange<'a> {
    /// What was negotiated.
    pub flags: Flags,
    /// LMOWFv1, where there is one.
    pub lmowf: Option<&'a Key>,
    /// The first octets of the LM response.
    pub lm_response: &'a [u8; 8],
    /// The server's challenge.
    pub server: &'a [u8; 8],
}

/// The key exchange key of NTLMv1, KXKEY; `None` where it needs an LMOWFv1 that
/// is not there.
///
/// # Source
/// MS-NLMP 3.4.5.1.
pub fn kxkey_v1(base: Key, about: &Exchange) -> Option<Key> {
    if about.flags.contains(Flags::EXTENDED_SESSION_SECURITY) {
        let key = hmac_md5(&*base, &[about.server, about.lm_response]);
        return Some(Zeroizing::new(key));
    }
    let mut key = Key::default();
    if about.flags.contains(Flags::LM_KEY) {
        let lmowf = about.lmowf?;
        let mut second = Zeroizing::new([0xbd; 7]);
        second[0] = lmowf[7];
        key[..8].copy_from_slice(&des(&lmowf[..7], about.lm_response));
        key[8..].copy_from_slice(&des(&*second, about.lm_response));
    } else if about.flags.contains(Flags::NON_NT_SESSION_KEY) {
        key[..8].copy_from_slice(&about.lmowf?[..8]);
    } else {
        return Some(base);
    }
    Some(key)
}

/// The key that `sender` signs with, SIGNKEY of extended session security.
///
/// # Source
/// MS-NLMP 3.4.5.2.
pub fn sign_key(exported: &Key, sender: Sender) -> Key {
    let magic = match sender {
        Sender::Client => "session key to client-to-server signing key magic constant\0",
        Sender::Server => "session key to server-to-client signing key magic constant\0",
    };
    digest(&**exported, magic)
}

/// The key that `sender` seals with, SEALKEY of extended session security.
///
/// # Source
/// MS-NLMP 3.4.5.3.
pub fn seal_key(exported: &Key, flags: Flags, sender: Sender) -> Key {
    let magic = match sender {
        Sender::Client => "session key to client-to-server sealing key magic constant\0",
        Sender::Server => "session key to server-to-client sealing key magic constant\0",
    };
    let strength = if flags.contains(Flags::KEY_128) {
        16
    } else if flags.contains(Flags::KEY_56) {
        7
    } else {
        5
    };
    digest(&exported[..strength], magic)
}

/// The one key of sessions without extended session security.
///
/// # Source
/// MS-NLMP 3.4.5.3.
pub fn plain_key(exported: &Key, flags: Flags) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(if !flags.contains(Flags::LM_KEY) {
        exported.to_vec()
    } else if flags.contains(Flags::KEY_56) {
        [&exported[..7], &[0xa0]].concat()
    } else {
        [&exported[..5], &[0xe5, 0x38, 0xb0]].concat()
    })
}

/// The MIC over the three messages, the last with its MIC zeroed.
///
/// # Source
/// MS-NLMP 3.1.5.1.2.
pub fn mic(exported: &Key, messages: [&[u8]; 3]) -> [u8; 16] {
    hmac_md5(&**exported, &messages)
}

/// MD5 over a key and what it is to be used for.
fn digest(key: &[u8], magic: &str) -> Key {
    let digest = Md5::new().chain_update(key).chain_update(magic);
    Zeroizing::new(digest.finalize().into())
}

/// DES of one block under the 7 octets of `key`, spread to leave room for
/// parity.
fn des(key: &[u8], block: &[u8; 8]) -> [u8; 8] {
    let bits = key
        .iter()
        .fold(0, |bits, octet| bits << 8 | u64::from(*octet));
    let mut spread = Zeroizing::new([0; 8]);
    for (place, octet) in spread.iter_mut().enumerate() {
        // The shift leaves seven bits, before the parity that DES ignores.
        *octet = ((bits >> (49 - 7 * place)) as u8) << 1;
    }
    let mut block = (*block).into();
    Des::new(&(*spread).into()).encrypt_block(&mut block);
    block.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::ntlm::tests::hex;

    const SERVER: [u8; 8] = 0x0123456789abcdef_u64.to_be_bytes();
    const CLIENT: [u8; 8] = [0xaa; 8];

    fn key(value: u128) -> Key {
        Zeroizing::new(value.to_be_bytes())
    }

    fn hash() -> NtHash {
        NtHash::of("Password")
    }

    fn lmowf() -> Key {
        lmowf_v1(&Password::new("Password".to_owned())).unwrap()
    }

    #[test]
    fn lmowf_v1_is_the_published_one() {
        // MS-NLMP 4.2.2.1.1.
        assert_eq!(lmowf(), key(0xe52cac67419a9a224a3b108f3fa6cb6d));
    }

    #[test]
    fn an_lm_hash_is_of_short_ascii_passwords_only() {
        for password in ["fifteen letters", "pässword"] {
            assert_eq!(lmowf_v1(&Password::new(password.to_owned())), None);
        }
    }

    #[test]
    fn responses_of_ntlm_v1_are_the_published_ones() {
        // MS-NLMP 4.2.2.2.1 and 4.2.2.2.2.
        assert_eq!(
            response_v1(&hash().0, &SERVER).to_vec(),
            hex("67c43011f30298a2ad35ece64f16331c44bdbed927841f94")
        );
        assert_eq!(
            response_v1(&lmowf(), &SERVER).to_vec(),
            hex("98def7b87f88aa5dafe2df779688a172def11c7d5ccdef13")
        );
    }

    #[test]
    fn key_exchange_keys_of_ntlm_v1_are_the_published_ones() {
        // MS-NLMP 4.2.2.1.3, 4.2.2.2.3: by default, with a key of no NT session
        // and with the LM key.
        let base = session_base_v1(&hash());
        assert_eq!(base, key(0xd87262b0cde4b1cb7499becccdf10784));
        let lm = response_v1(&lmowf(), &SERVER);
        let wrapped = |flags| {
            let about = Exchange {
                flags,
                lmowf: Some(&lmowf()),
                lm_response: lm.first_chunk().unwrap(),
                server: &SERVER,
            };
            let key = kxkey_v1(base.clone(), &about).unwrap();
            let wrapped = rc4k(&key, &[0x55; 16]);
            (key, wrapped)
        };
        let default = wrapped(Flags::KEY_EXCHANGE);
        assert_eq!(default.0, base);
        assert_eq!(default.1, key(0x518822b1b3f350c8958682ecbb3e3cb7));
        let non_nt = wrapped(Flags::NON_NT_SESSION_KEY);
        assert_eq!(non_nt.0, key(0xe52cac67419a9a220000000000000000));
        assert_eq!(non_nt.1, key(0x7452ca55c225a1ca04b48fae32cf56fc));
        let lm_key = wrapped(Flags::LM_KEY);
        assert_eq!(lm_key.0, key(0xb09e379f7fbecb1eaf0afdcb0383c8a0));
        assert_eq!(lm_key.1, key(0x4cd7bb57d697ef9b549f02b8f9b37864));
    }

    #[test]
    fn ntlm_v1_with_extended_session_security_is_the_published_one() {
        // MS-NLMP 4.2.3.1 to 4.2.3.4.
        let challenge = extended_challenge(&SERVER, &CLIENT);
        assert_eq!(
            response_v1(&hash().0, &challenge).to_vec(),
            hex("7537f803ae367128ca458204bde7caf81e97ed2683267232")
        );
        let about = Exchange {
            flags: Flags::EXTENDED_SESSION_SECURITY,
            lmowf: None,
            lm_response: &CLIENT,
            server: &SERVER,
        };
        let exported = kxkey_v1(session_base_v1(&hash()), &about).unwrap();
        assert_eq!(exported, key(0xeb93429a8bd952f8b89c55b87f475edc));
        assert_eq!(
            sign_key(&exported, Sender::Client),
            key(0x60e799be5c72fc92922ae8ebe961fb8d)
        );
        assert_eq!(
            seal_key(&exported, Flags::KEY_56, Sender::Client),
            key(0x04dd7f014d8504d265a25cc86a3a7c06)
        );
    }

    #[test]
    fn ntlm_v2_is_the_published_one() {
        // MS-NLMP 4.2.4.1 and 4.2.4.2; the client's challenge of time 0.
        let ntowf = ntowf_v2(&hash(), "User", "Domain");
        assert_eq!(ntowf, key(0x0c868a403bfd7a93a3001ef22ef02e3f));
        let info =
            hex("02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000");
        let challenge = [
            &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &CLIENT[..],
            &[0; 4],
            &info,
            &[0; 4],
        ]
        .concat();
        let proof = proof_v2(&ntowf, &SERVER, &challenge);
        assert_eq!(proof.to_vec(), hex("68cd0ab851e51c96aabc927bebef6a1c"));
        // LMv2, which no end sends or takes, is made alike.
        assert_eq!(
            proof_v2(&ntowf, &SERVER, &CLIENT).to_vec(),
            hex("86c35097ac9cec102554764a57cccc19")
        );
        let base = session_base_v2(&ntowf, &proof);
        assert_eq!(base, key(0x8de40ccadbc14a82f15cb0ad0de95ca3));
        assert_eq!(
            rc4k(&base, &[0x55; 16]),
            key(0xc5dad2544fc9799094ce1ce90bc9d03e)
        );
    }

    #[test]
    fn keys_of_128_bits_are_the_published_ones() {
        // MS-NLMP 4.2.4.4.
        let exported = Zeroizing::new([0x55; 16]);
        assert_eq!(
            sign_key(&exported, Sender::Client),
            key(0x4788dc861b4782f35d43fd98fe1a2d39)
        );
        assert_eq!(
            seal_key(&exported, Flags::KEY_128, Sender::Client),
            key(0x59f600973cc4960a25480a7c196e4c58)
        );
    }

    #[test]
    fn weak_keys_are_cut_as_the_document_says() {
        // MS-NLMP 3.4.5.3.
        let exported = Zeroizing::new([0x55; 16]);
        let strengths = [
            (Flags::LM_KEY | Flags::KEY_56, "55555555555555a0"),
            (Flags::LM_KEY, "5555555555e538b0"),
            (Flags::KEY_56, "55555555555555555555555555555555"),
        ];
        for (flags, expected) in strengths {
            assert_eq!(*plain_key(&exported, flags), hex(expected), "{flags:?}");
        }
        let forty = seal_key(&exported, Flags::NONE, Sender::Server);
        assert_ne!(forty, seal_key(&exported, Flags::KEY_56, Sender::Server));
    }
}
