//! Changes of an accounts file: one account is set or taken out, and all else
//! stays as it is written, remarks among it.
//!
//! The text is cut at the places that the parser tells, and what comes of it
//! read again: where that is not just the one change, the file stays as it is.

use super::write::Successor;
use super::{AccountsError, Listed, Proof, guard, text};
use crate::daemon::config::folded;
use crate::security::NtHash;
use nix::unistd::Uid;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::path::Path;
use toml::de::DeTable;
use zeroize::Zeroizing;

/// What setting an account came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// It is new.
    Added,
    /// It has another proof than before.
    Changed,
}

/// Gives an account a hash, in the file at `path`, which is made if there is
/// none. The daemon reads it as `user`.
///
/// # Errors
/// Those of reading and writing the file, and `Form`; it is as before then.
pub fn set(
    path: &Path,
    user: Option<Uid>,
    name: &str,
    hash: &NtHash,
) -> Result<Set, AccountsError> {
    let successor = Successor::of(path)?;
    let (before, metadata) = match guard::read(successor.target(), user) {
        Ok((text, metadata)) => (text, Some(metadata)),
        Err(error) if is_missing(&error) => Default::default(),
        Err(error) => return Err(error),
    };
    let (after, set) = with(successor.target(), &before, name, hash)?;
    successor.replace(after.as_bytes(), metadata.as_ref())?;
    Ok(set)
}

/// Takes an account out of the file at `path`.
///
/// # Errors
/// `Unknown` when it is not there; else as `set`.
pub fn remove(path: &Path, user: Option<Uid>, name: &str) -> Result<(), AccountsError> {
    // Before its successor is made, in a folder that may not be there.
    guard::read(path, user)?;
    let successor = Successor::of(path)?;
    let (before, metadata) = guard::read(successor.target(), user)?;
    let after = without(successor.target(), &before, name)?;
    successor.replace(after.as_bytes(), Some(&metadata))
}

/// Whether there is no such file.
fn is_missing(error: &AccountsError) -> bool {
    match error {
        AccountsError::Unreadable { cause, .. } => cause.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// A text in which an account has a hash.
fn with(
    path: &Path,
    before: &str,
    name: &str,
    hash: &NtHash,
) -> Result<(Zeroizing<String>, Set), AccountsError> {
    let listed = text::read(path, before)?;
    let (after, set) = match find(&listed, name) {
        Some(account) => {
            let after = spliced(before, account.place.proof.clone(), &written(hash));
            (after, Set::Changed)
        }
        None => (added(before, &listed, name, hash), Set::Added),
    };
    let mut expected = hashes(listed);
    expected.insert(folded(name), hash.clone());
    checked(path, after, &expected).map(|after| (after, set))
}

/// A text without an account.
fn without(path: &Path, before: &str, name: &str) -> Result<Zeroizing<String>, AccountsError> {
    let listed = text::read(path, before)?;
    let Some(account) = find(&listed, name) else {
        return Err(AccountsError::Unknown {
            path: path.to_owned(),
            name: name.to_owned(),
        });
    };
    let after = spliced(before, lines_of(before, &account.place), "");
    let mut expected = hashes(listed);
    expected.remove(&folded(name));
    checked(path, after, &expected)
}

/// The account of a name.
fn find<'l>(listed: &'l [Listed], name: &str) -> Option<&'l Listed> {
    let name = folded(name);
    listed.iter().find(|one| folded(&one.name) == name)
}

/// The hashes of accounts by their names without case.
fn hashes(listed: Vec<Listed>) -> HashMap<String, NtHash> {
    let hash = |proof| match proof {
        Proof::NtHash(hash) => hash,
        Proof::Password(password) => NtHash::of(password.as_str()),
    };
    let pairs = listed.into_iter();
    pairs
        .map(|one| (folded(&one.name), hash(one.proof)))
        .collect()
}

/// A text, if it says what is expected.
fn checked(
    path: &Path,
    after: Zeroizing<String>,
    expected: &HashMap<String, NtHash>,
) -> Result<Zeroizing<String>, AccountsError> {
    let says = text::read(path, &after).map(hashes);
    match says {
        Ok(says) if says == *expected => Ok(after),
        _ => Err(AccountsError::Form {
            path: path.to_owned(),
        }),
    }
}

/// A text with a new account: behind the last line under `[accounts]`, or at
/// the end, under a header of its own where need be.
fn added(before: &str, listed: &[Listed], name: &str, hash: &NtHash) -> Zeroizing<String> {
    let (key, hash) = (key(name), written(hash));
    let line = Zeroizing::new(format!("{key} = {{ {} }}\n", *hash));
    let (at, lines) = match headers(before) {
        Headers::None => (
            before.len(),
            Zeroizing::new(format!("[accounts]\n{}", *line)),
        ),
        Headers::Table(header) => (end_of_table(listed, &header), line),
        Headers::Other => {
            let lines = format!("\n[accounts.{key}]\n{}\n", *hash);
            (before.len(), Zeroizing::new(lines))
        }
    };
    let at = line_end(before, at);
    let is_broken = before
        .get(..at)
        .is_some_and(|head| !head.is_empty() && !head.ends_with('\n'));
    let lines = match is_broken {
        true => Zeroizing::new(format!("\n{}", *lines)),
        false => lines,
    };
    spliced(before, at..at, &lines)
}

/// What a text has in place of `[accounts]`.
enum Headers {
    /// Nothing.
    None,
    /// It, and where.
    Table(Range<usize>),
    /// Headers of single accounts, or an inline table.
    Other,
}

/// Looks for `[accounts]`.
fn headers(before: &str) -> Headers {
    let root = DeTable::parse(before).ok();
    let span = root.as_ref().and_then(|root| text::table(root.get_ref()));
    let Some(span) = span.map(toml::Spanned::span) else {
        return Headers::None;
    };
    let header = before.get(span.clone()).unwrap_or_default();
    let inner = header
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_quote = |c: char| c == '"' || c == '\'';
    match inner.map(|inner| inner.trim().trim_matches(is_quote)) {
        Some(text::TABLE) => Headers::Table(span),
        _ => Headers::Other,
    }
}

/// Where the last account under a header ends, or the header.
fn end_of_table(listed: &[Listed], header: &Range<usize>) -> usize {
    let places = || listed.iter().map(|one| &one.place);
    // Accounts with a header of their own follow it.
    let own = places().filter(|place| place.value.start < place.key.start);
    let own = own.map(|place| place.value.start);
    let next = own
        .filter(|at| *at >= header.end)
        .min()
        .unwrap_or(usize::MAX);
    let ends = places().map(|place| place.value.end.max(place.proof.end));
    let ends = ends.filter(|end| *end > header.end && *end < next);
    ends.max().unwrap_or(header.end)
}

/// The lines of an account, and of its header if it has one.
fn lines_of(before: &str, place: &text::Place) -> Range<usize> {
    let start = place.key.start.min(place.value.start);
    let head = before.get(..start).unwrap_or_default();
    let start = head.rfind('\n').map_or(0, |newline| newline + 1);
    start..line_end(before, place.proof.end.max(place.value.end))
}

/// Behind the line that `at` is in.
fn line_end(before: &str, at: usize) -> usize {
    let rest = before.get(at..).unwrap_or_default();
    rest.find('\n')
        .map_or(before.len(), |newline| at + newline + 1)
}

/// A text with something else in a place.
fn spliced(before: &str, place: Range<usize>, with: &str) -> Zeroizing<String> {
    let head = before.get(..place.start).unwrap_or_default();
    let tail = before.get(place.end..).unwrap_or_default();
    // Made in one piece: what grows leaves copies behind.
    let mut after = String::with_capacity(head.len() + with.len() + tail.len());
    after.extend([head, with, tail]);
    Zeroizing::new(after)
}

/// A name as a key of TOML.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match name.chars().all(is_bare) {
        true => name.to_owned(),
        // A name has neither backslashes nor control characters.
        false => format!("\"{}\"", name.replace('"', "\\\"")),
    }
}

/// A hash as it is written, with its key.
fn written(hash: &NtHash) -> Zeroizing<String> {
    let mut written = Zeroizing::new(String::with_capacity(64));
    let _ = write!(written, "{} = \"", text::NT_HASH);
    for octet in &hash.0 {
        let _ = write!(written, "{octet:02x}");
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// The hash of a password, as it is written.
    const HASH: &str = "nt_hash = \"a4f49c406510bdcab6824ee7c30fd852\"";

    /// The password of it.
    const WORD: &str = "Password";

    /// A text after an account got that password.
    fn set_in(before: &str, name: &str) -> Result<(String, Set), AccountsError> {
        let set = with(Path::new("f"), before, name, &NtHash::of(WORD));
        set.map(|(after, set)| (after.to_string(), set))
    }

    /// A text after an account went.
    fn removed_from(before: &str, name: &str) -> Result<String, AccountsError> {
        without(Path::new("f"), before, name).map(|after| after.to_string())
    }

    #[test]
    fn a_new_account_follows_the_last_under_the_header() {
        let line = format!("a = {{ {HASH} }}\n");
        for (before, after) in [
            ("", "[accounts]\nLINE"),
            ("# mine", "# mine\n[accounts]\nLINE"),
            ("[accounts]", "[accounts]\nLINE"),
            ("[accounts] # x\n\n# end\n", "[accounts] # x\nLINE\n# end\n"),
            (
                "[ \"accounts\" ]\nz = { password = \"x\" } # he\n\n# end\n",
                "[ \"accounts\" ]\nz = { password = \"x\" } # he\nLINE\n# end\n",
            ),
            (
                "[accounts]\nz.password = '''\nx'''\n[accounts.y]\npassword = \"y\"\n",
                "[accounts]\nz.password = '''\nx'''\nLINE[accounts.y]\npassword = \"y\"\n",
            ),
            (
                "[accounts.z]\npassword = 'x'",
                "[accounts.z]\npassword = 'x'\n\n[accounts.a]\nHASH\n",
            ),
        ] {
            let after = after.replace("LINE", &line).replace("HASH", HASH);
            assert_eq!(set_in(before, "a").unwrap(), (after, Set::Added));
        }
    }

    #[test]
    fn another_hash_takes_the_place_of_any_proof_and_nothing_else_moves() {
        for before in [
            "# head\n[accounts]\n\"a\"  =  { PROOF } # he\nb = { password = \"x\" }\n",
            "[accounts]\r\na.PROOF # he\r\n",
            "[accounts.A]\n# he\nPROOF\n\n[accounts.b]\npassword = 'x'",
            "accounts = { b = { password = \"x\" }, a = { PROOF } }\n",
            "accounts.a.PROOF\n",
        ] {
            for proof in [
                "password = \"old\"",
                "nt_hash = '00000000000000000000000000000001'",
            ] {
                let text = before.replace("PROOF", proof);
                let after = before.replace("PROOF", HASH);
                assert_eq!(set_in(&text, "a").unwrap(), (after, Set::Changed));
            }
        }
    }

    #[test]
    fn an_account_goes_with_its_lines_and_no_others() {
        for (before, after) in [
            (
                "[accounts]\n# one\na = { password = \"x\" } # he\nb = { password = \"y\" }",
                "[accounts]\n# one\nb = { password = \"y\" }",
            ),
            (
                "[accounts]\nb.password = \"y\"\nA.password = '''\nx'''",
                "[accounts]\nb.password = \"y\"\n",
            ),
            (
                "[accounts.a]\npassword = \"x\"\n[accounts.b]\npassword = \"y\"\n",
                "[accounts.b]\npassword = \"y\"\n",
            ),
        ] {
            assert_eq!(removed_from(before, "a").unwrap(), after);
        }
        let error = removed_from("[accounts]\nb = { password = \"y\" }", "a").unwrap_err();
        assert_eq!(error.to_string(), "there is no account `a` in f");
    }

    #[test]
    fn what_would_lose_another_account_is_not_done() {
        let inline = "accounts = { a = { password = \"x\" }, b = { password = \"y\" } }";
        for result in [
            removed_from(inline, "a"),
            set_in(inline, "c").map(|(after, _)| after),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, AccountsError::Form { .. }), "{error}");
        }
    }

    #[test]
    fn any_name_is_written_so_that_it_is_read_again() {
        for name in [
            "a",
            "A-1_b",
            "a b",
            "o'\"hara\"",
            "\u{e9}\u{1f600}",
            "a.b",
            "#=[]{}",
            "1",
        ] {
            let (text, _) = set_in("", name).unwrap();
            let listed = text::read(Path::new("f"), &text).unwrap();
            assert_eq!(listed[0].name, name);
            assert_eq!(removed_from(&text, name).unwrap(), "[accounts]\n");
        }
    }

    /// A folder with an accounts file of a mode.
    fn folder_with(mode: u32) -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("accounts.toml");
        fs::write(&path, "[accounts]\nb = { password = \"y\" }\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    /// The files of a folder.
    fn files_of(folder: &TempDir) -> Vec<OsString> {
        let files = fs::read_dir(folder.path()).unwrap();
        files.map(|file| file.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_keeps_its_owner_and_its_owners_rights() {
        for mode in [0o600, 0o400] {
            let (folder, path) = folder_with(mode);
            let before = path.metadata().unwrap();
            set(&path, None, "a", &NtHash::of(WORD)).unwrap();
            let after = path.metadata().unwrap();
            assert_eq!(after.mode() & 0o7777, mode);
            assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
            assert_ne!(after.ino(), before.ino());
            assert_eq!(files_of(&folder), ["accounts.toml"]);
        }
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_changed() {
        let (folder, path) = folder_with(0o600);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        set(&link, None, "a", &NtHash::of(WORD)).unwrap();
        remove(&link, None, "b").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        let text = format!("[accounts]\na = {{ {HASH} }}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn what_is_refused_leaves_file_and_folder_as_they_were() {
        let (folder, path) = folder_with(0o640);
        let text = fs::read_to_string(&path).unwrap();
        let hash = NtHash::of(WORD);
        assert!(set(&path, None, "a", &hash).is_err());
        assert!(remove(&path, None, "b").is_err());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(remove(&path, None, "a").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert!(set(&folder.path().join("no/accounts"), None, "a", &hash).is_err());
        assert!(remove(&folder.path().join("none"), None, "a").is_err());
        assert_eq!(files_of(&folder), ["accounts.toml"]);
    }

    #[test]
    fn what_a_crash_left_is_taken_over_and_what_leads_elsewhere_is_not() {
        let (folder, path) = folder_with(0o600);
        let left = folder.path().join("accounts.toml.new");
        fs::write(&left, "half".repeat(1000)).unwrap();
        fs::set_permissions(&left, Permissions::from_mode(0o666)).unwrap();
        set(&path, None, "a", &NtHash::of(WORD)).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(files_of(&folder), ["accounts.toml"]);
        symlink("/dev/null", &left).unwrap();
        assert!(set(&path, None, "a", &NtHash::of(WORD)).is_err());
        fs::remove_file(&left).unwrap();
        fs::hard_link(&path, &left).unwrap();
        let error = set(&path, None, "a", &NtHash::of(WORD)).unwrap_err();
        assert!(error.to_string().ends_with("take it away"), "{error}");
    }

    #[test]
    fn changes_at_the_same_time_are_all_made() {
        let (folder, path) = folder_with(0o600);
        std::thread::scope(|scope| {
            for one in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for two in 0..8 {
                        set(path, None, &format!("{one}-{two}"), &NtHash::of(WORD)).unwrap();
                    }
                });
            }
        });
        let (text, _) = guard::read(&path, None).unwrap();
        assert_eq!(text::read(&path, &text).unwrap().len(), 1 + 8 * 8);
        assert_eq!(files_of(&folder), ["accounts.toml"]);
    }
}
