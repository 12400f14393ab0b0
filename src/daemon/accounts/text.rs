//! The text of an accounts file: what it says, and where.
//!
//! Read value by value: messages of serde and of the parser quote what they
//! find, which may be a secret.

use super::{AccountsError, Listed, Proof};
use crate::daemon::config::{Mistake, NameFault, account_name, folded, line};
use crate::security::{NtHash, Password};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use zeroize::Zeroizing;

/// The table of accounts.
pub const TABLE: &str = "accounts";

/// The key of a hash.
pub const NT_HASH: &str = "nt_hash";

/// The key of a password.
pub const PASSWORD: &str = "password";

/// The most mistakes that are told of one file.
const MOST_TOLD: usize = 20;

/// Hex digits of a hash.
const HASH_DIGITS: usize = 32;

/// Where an account stands, in octets.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub key: Range<usize>,
    /// Its value; of one with a header of its own that header.
    pub value: Range<usize>,
    /// What proves it, from key to value.
    pub proof: Range<usize>,
}

/// What is wrong with one account. No variant holds a value.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// Not TOML.
    #[error(
        "not TOML, or a key for the second time; a line is NAME = {{ nt_hash = \"...\" }}, \
         and names with signs or spaces stand in quotes"
    )]
    Toml,
    /// Not text.
    #[error("not UTF-8")]
    Encoding,
    /// Something besides the table.
    #[error("only [accounts] has a place here")]
    Other,
    /// Not a table.
    #[error("accounts are written under [accounts], a line NAME = {{ nt_hash = \"...\" }} each")]
    NoTable,
    /// Not a name.
    #[error("{0}")]
    Name(NameFault),
    /// A name again.
    #[error("is in line {0} already; names are the same whatever the case of their letters")]
    Twice(usize),
    /// Not one of the two keys, and nothing else.
    #[error("write either `nt_hash` or `password`, and nothing else")]
    Keys,
    /// Not a text.
    #[error("write the value in quotes")]
    NotText,
    /// Not a hash.
    #[error("a hash has {HASH_DIGITS} hex digits")]
    Hash,
    /// No password.
    #[error("an empty password proves nothing")]
    Empty,
}

/// Reads a file's octets as text.
///
/// # Errors
/// `Mistaken` where they are none.
pub fn utf8(path: &Path, octets: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, AccountsError> {
    match str::from_utf8(&octets) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let before = octets.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|octet| **octet == b'\n').count();
            let told = vec![mistake(path, line, String::new(), &Fault::Encoding)];
            Err(AccountsError::Mistaken { told })
        }
    }
}

/// The accounts of a text, in the order of the parser.
///
/// # Errors
/// `Mistaken`, with the first of what is wrong.
pub fn read(path: &Path, text: &str) -> Result<Vec<Listed>, AccountsError> {
    let mut reader = Reader {
        text,
        told: Vec::new(),
        path,
    };
    let listed = reader.file();
    match reader.told.is_empty() {
        true => Ok(listed),
        false => {
            reader.told.sort_by_key(|mistake| mistake.line);
            reader.told.truncate(MOST_TOLD);
            Err(AccountsError::Mistaken { told: reader.told })
        }
    }
}

/// The table of accounts, where a text has one.
pub fn table<'t>(root: &'t DeTable<'_>) -> Option<&'t Spanned<DeValue<'t>>> {
    root.get(TABLE)
}

/// Reads one text.
struct Reader<'t> {
    /// What is read.
    text: &'t str,
    /// The file.
    path: &'t Path,
    /// What is wrong.
    told: Vec<Mistake>,
}

impl Reader<'_> {
    /// All accounts that are right.
    fn file(&mut self) -> Vec<Listed> {
        let root = match DeTable::parse(self.text) {
            Ok(root) => root.into_inner(),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.tell(at, "", &Fault::Toml);
                return Vec::new();
            }
        };
        let mut listed = Vec::new();
        for (key, value) in &root {
            match value.get_ref() {
                _ if key.get_ref() != TABLE => self.tell(key.span().start, "", &Fault::Other),
                DeValue::Table(table) => listed.extend(self.accounts(table)),
                _ => self.tell(key.span().start, TABLE, &Fault::NoTable),
            }
        }
        listed
    }

    /// The accounts that are right, each name once.
    fn accounts(&mut self, table: &DeTable) -> Vec<Listed> {
        let mut in_order: Vec<_> = table.iter().collect();
        in_order.sort_by_key(|(key, _)| key.span().start);
        let mut seen = HashMap::new();
        let mut listed = Vec::new();
        for (key, value) in in_order {
            let at = key.span().start;
            let name = key.get_ref().as_ref();
            let first = *seen.entry(folded(name)).or_insert(at);
            let account = match first == at {
                true => account(key, value),
                false => Err((at, Fault::Twice(line(self.text, first)))),
            };
            match account {
                Ok(account) => listed.push(account),
                Err((at, fault)) => self.tell(at, &shown(name), &fault),
            }
        }
        listed
    }

    /// Notes that something is wrong at an octet.
    fn tell(&mut self, at: usize, key: &str, fault: &Fault) {
        let line = line(self.text, at);
        self.told
            .push(mistake(self.path, line, key.to_owned(), fault));
    }
}

/// A mistake of the file.
fn mistake(path: &Path, line: usize, key: String, fault: &Fault) -> Mistake {
    Mistake {
        path: path.to_owned(),
        line,
        key,
        problem: fault.to_string(),
    }
}

/// A name for a log, if it is one; a text that is none might be anything.
fn shown(name: &str) -> String {
    match account_name(name) {
        Ok(()) => format!("{TABLE}.{name}"),
        Err(_) => TABLE.to_owned(),
    }
}

/// One account.
fn account(key: &Spanned<DeString>, value: &Spanned<DeValue>) -> Result<Listed, (usize, Fault)> {
    let at = key.span().start;
    let name = key.get_ref().as_ref();
    account_name(name).map_err(|fault| (at, Fault::Name(fault)))?;
    let DeValue::Table(table) = value.get_ref() else {
        return Err((at, Fault::Keys));
    };
    let mut pairs = table.iter();
    let (Some((proof_key, proof_value)), None) = (pairs.next(), pairs.next()) else {
        return Err((at, Fault::Keys));
    };
    let place = Place {
        key: key.span(),
        value: value.span(),
        proof: proof_key.span().start..proof_value.span().end,
    };
    let proof = proof(proof_key.get_ref(), proof_value.get_ref());
    Ok(Listed {
        name: name.to_owned(),
        proof: proof.map_err(|fault| (place.proof.start, fault))?,
        place,
    })
}

/// What proves an account.
fn proof(key: &str, value: &DeValue) -> Result<Proof, Fault> {
    if ![NT_HASH, PASSWORD].contains(&key) {
        return Err(Fault::Keys);
    }
    let DeValue::String(value) = value else {
        return Err(Fault::NotText);
    };
    if key == PASSWORD {
        let password = Arc::new(Password::new(value.to_string()));
        return match value.is_empty() {
            true => Err(Fault::Empty),
            false => Ok(Proof::Password(password)),
        };
    }
    match hash(value).ok_or(Fault::Hash)? {
        hash if hash == NtHash::of("") => Err(Fault::Empty),
        hash => Ok(Proof::NtHash(hash)),
    }
}

/// A hash in hex.
fn hash(digits: &str) -> Option<NtHash> {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if digits.len() != HASH_DIGITS || !is_hex {
        return None;
    }
    let number = u128::from_str_radix(digits, 16).ok()?;
    Some(NtHash(number.to_be_bytes()))
}
