//! Names of accounts.
//!
//! A name is the same in whatever case its letters are written; what is kept of
//! one has them small. Leaves out who has which name: whoever made sure of that
//! brings it here.

use std::fmt;
use std::sync::Arc;

/// The name of an account, its letters small: `alice`, or of a Kerberos
/// principal `alice@lab.example`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

impl AccountName {
    /// The longest name that is one, in octets.
    pub const MAX_LEN: usize = 255;

    /// The account of a name; `None` where it can be none: without a letter,
    /// with a NUL, or too long.
    pub fn new(name: &str) -> Option<AccountName> {
        let len = name.chars().map(|c| folded(c).len_utf8()).sum::<usize>();
        let is_one = (1..=Self::MAX_LEN).contains(&len) && !name.contains('\0');
        is_one.then(|| AccountName(name.chars().map(folded).collect::<String>().into()))
    }

    /// Whether `name` is its name, in whatever case.
    pub fn is(&self, name: &str) -> bool {
        name.chars().map(folded).eq(self.0.chars())
    }

    /// The name, its letters small.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        Printable(&self.0).fmt(f)
    }
}

/// The small form of a letter: where two letters are each other's, and no
/// third is. So no two names become one that differ in more than their case,
/// as those with the Kelvin sign and with k would.
fn folded(letter: char) -> char {
    /// What a letter becomes, if it is one letter still.
    fn one(mut becomes: impl Iterator<Item = char>) -> Option<char> {
        let only = becomes.next();
        becomes.next().map_or(only, |_| None)
    }
    let small = one(letter.to_lowercase());
    let back = small.and_then(|small| one(small.to_uppercase()));
    match small {
        Some(small) if back == Some(letter) => small,
        _ => letter,
    }
}

/// Text of a peer's as a log or a terminal may have it: what steers one is
/// written out.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'t>(pub &'t str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            // `escape_debug` would double these, though they are plain.
            '\\' | '\'' | '"' => fmt::Write::write_char(f, c),
            _ => c.escape_debug().fmt(f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The account of a name that is one.
    fn account(name: &str) -> AccountName {
        AccountName::new(name).unwrap()
    }

    #[test]
    fn a_name_is_the_same_in_whatever_case() {
        let alice = account("Alice@LAB.Example");
        assert_eq!(alice, account("aLICE@lab.EXAMPLE"));
        assert_eq!(alice.as_str(), "alice@lab.example");
        assert!(alice.is("ALICE@LAB.EXAMPLE"));
        for other in ["alice", "alice@lab.example.", "alicf@lab.example", ""] {
            assert!(!alice.is(other), "{other}");
        }
        assert_eq!(account("MÜLLER"), account("müller"));
    }

    #[test]
    fn letters_that_only_look_alike_make_no_two_accounts_one() {
        for (one, other) in [
            ("\u{212a}en", "ken"), // the Kelvin sign
            ("\u{130}da", "ida"),  // I with a dot
            ("\u{17f}am", "sam"),  // the long s
            ("stra\u{1e9e}e", "strasse"),
            ("\u{430}lice", "alice"), // a Cyrillic a
        ] {
            assert_ne!(account(one), account(other));
            assert!(!account(one).is(other) && !account(other).is(one));
        }
    }

    #[test]
    fn a_name_made_small_stays_as_it_is() {
        for letter in (0..=0xffff).filter_map(char::from_u32) {
            assert_eq!(folded(folded(letter)), folded(letter), "{letter:?}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_no_name() {
        let long = "a".repeat(AccountName::MAX_LEN + 1);
        for none in ["", "a\0b", &long, &"ü".repeat(128)] {
            assert_eq!(AccountName::new(none), None);
        }
        assert!(AccountName::new(&long[1..]).is_some());
    }

    #[test]
    fn a_name_steers_no_terminal() {
        assert_eq!(
            account("o'b\x1b[2J\u{202e}").to_string(),
            "o'b\\u{1b}[2j\\u{202e}"
        );
    }
}
