//! Whom clients log on as, how, and how far that protects.

/// The accounts of sessions: name and password.
pub const ACCOUNTS: [[&str; 2]; 2] = [["alice", "Alice-Secret7"], ["bob", "Bob-Secret7"]];
/// Samba's words for the protection of a connection.
pub const PROTECTIONS: [&str; 4] = ["connect", "packet", "sign", "seal"];
/// Samba's words for the mechanisms.
pub const MECHANISMS: [&str; 2] = ["ntlm", "spnego"];
/// What an account is in front of; epmapperd takes any.
pub const DOMAIN: &str = "LAB";

/// How a client logs on.
#[derive(Clone, Copy, Debug)]
pub struct Logon {
    pub account: &'static str,
    pub password: &'static str,
    /// One of [`MECHANISMS`].
    pub mechanism: &'static str,
    /// One of [`PROTECTIONS`].
    pub protection: &'static str,
}

impl Logon {
    /// The first account.
    pub fn alice(mechanism: &'static str, protection: &'static str) -> Logon {
        let [account, password] = ACCOUNTS[0];
        Logon {
            account,
            password,
            mechanism,
            protection,
        }
    }

    /// The second account.
    pub fn bob(mechanism: &'static str, protection: &'static str) -> Logon {
        let [account, password] = ACCOUNTS[1];
        Logon {
            account,
            password,
            ..Logon::alice(mechanism, protection)
        }
    }

    /// Every mechanism with a protection.
    pub fn each(protection: &'static str) -> [Logon; 2] {
        MECHANISMS.map(|mechanism| Logon::alice(mechanism, protection))
    }

    /// The same, by somebody who is no account.
    pub fn unknown(self) -> Logon {
        let account = "mallory";
        Logon { account, ..self }
    }

    /// The same with another account's password.
    pub fn wrong(self) -> Logon {
        let [_, password] = ACCOUNTS[1];
        Logon { password, ..self }
    }

    /// Options of a string binding of Samba's.
    pub fn options(self) -> String {
        format!(",{},{}", self.protection, self.mechanism)
    }

    /// Samba's argument that tells who it is.
    pub fn user(self) -> String {
        format!("-U{DOMAIN}\\{}%{}", self.account, self.password)
    }

    /// The level, as impacket names it; it knows no SPNEGO without Kerberos.
    pub fn level(self) -> &'static str {
        assert_eq!(self.mechanism, "ntlm");
        match self.protection {
            "connect" => "2",
            "sign" => "5",
            "seal" => "6",
            other => panic!("impacket does not sign at {other}"),
        }
    }

    /// The least level that a configuration can ask for and that this one has.
    pub fn required(self) -> &'static str {
        match self.protection {
            "connect" => "connect",
            "packet" | "sign" => "integrity",
            _ => "privacy",
        }
    }
}
