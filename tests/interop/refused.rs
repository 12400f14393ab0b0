//! Foreign clients that log on wrongly, not at all, or at a lower level than the mapper requires.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::authenticated::{
    impacket_registrar, requiring, requiring_all, ruled, run_rpcmap, samba_registrar,
};
use crate::logon::{ACCOUNTS, Logon, PROTECTIONS};
use crate::registration::{NOT_REGISTERED, insert, service};
use crate::registry::{Interface, MAPPER, Place, UNKNOWN};
use crate::session::Session;
use crate::{impacket, programs, rpcclient, samba};

/// What Samba's clients say of fault 5.
const DENIED: &str = "NT_STATUS_ACCESS_DENIED";
/// The same as a number.
const DENIED_NUMBER: u32 = 0xc000_0022;
/// What it says of a bind whose logon fails.
const LOGON_FAILURE: u32 = 0xc000_006d;
/// What impacket says of fault 5.
pub const IMPACKET_DENIED: &str = "rpc_s_access_denied";

/// ept_map of the mapper's own interface, for impacket.
fn map_call() -> Value {
    map_call_of(MAPPER)
}

/// ept_map of an interface, for impacket.
fn map_call_of(interface: Interface) -> Value {
    json!({"map": {"interface": impacket::interface_value(interface), "protseq": "ncacn_ip_tcp"}})
}

/// ept_lookup of all, for impacket.
fn lookup_call() -> Value {
    json!({"lookup": {"inquiry_type": 0, "vers_option": 1, "object": null, "interface": null}})
}

#[test]
fn wrong_passwords_and_unknown_accounts_are_refused_of_each_client() {
    let Some(clients) = Clients::find() else {
        return;
    };
    // As many as are tried: none of them has to wait.
    let rules = "[limits]\nwrong_logons = 1000\n[[register]]\naccounts = [\"alice\"]\n";
    let mut session = ruled(1, "", rules);
    let mut tried = 0;
    let mut refused = |session: &mut Session, logon: Logon| {
        session.logon = Some(logon);
        tried += clients.are_refused(session, logon);
        let log = session.daemon.log();
        let told = format!(
            "op=\"logon\" result=\"refused\" account=\"{}\" authentication={}",
            logon.account, logon.mechanism
        );
        assert!(log.contains(&told), "{log}");
        assert!(!log.contains(logon.password), "{log}");
        // Some try more than once.
        let refusals = log.matches("op=\"logon\" result=\"refused\"").count();
        assert!(refusals >= tried, "{tried}: {log}");
    };
    for protection in PROTECTIONS {
        for logon in Logon::each(protection) {
            refused(&mut session, logon.wrong());
            refused(&mut session, logon.unknown());
        }
    }
    assert!(!session.daemon.log().contains("op=\"insert\""));
    session.finish();
}

/// Clients of each kind.
struct Clients {
    rpcclient: PathBuf,
    smbtorture: PathBuf,
    python: PathBuf,
    rpcmap: PathBuf,
}

impl Clients {
    fn find() -> Option<Clients> {
        programs::find_python_samba()?;
        Some(Clients {
            rpcclient: programs::find("rpcclient")?,
            smbtorture: programs::find("smbtorture")?,
            python: programs::find_in_environment("python3")?,
            rpcmap: programs::find_in_environment("rpcmap.py")?,
        })
    }

    /// Asserts that every client that can log on so is refused; returns how often somebody tried.
    fn are_refused(&self, session: &mut Session, logon: Logon) -> usize {
        session.logon = Some(logon);
        let listed = rpcclient::run(session, &self.rpcclient, "epmlookup");
        assert!(listed.text().contains(DENIED), "{listed:#?}");
        assert!(!listed.text().contains("abstract_syntax="), "{listed:#?}");
        let asked = samba::mgmt(session, &self.smbtorture, &session.tcp());
        let own = samba::own_part(&asked);
        assert!(!own.contains("server is listening"), "{asked:#?}");
        let said = match logon.mechanism {
            "spnego" => "NT_STATUS_LOGON_FAILURE",
            _ => DENIED,
        };
        assert!(own.contains(said), "{asked:#?}");
        let entry = service(Place::Tcp(Some(session.address()), 50001), "refused");
        let registrar = samba_registrar(session, logon).expect("Samba is there");
        match logon.mechanism {
            "spnego" => assert_eq!(registrar.refusal(), LOGON_FAILURE),
            _ => {
                let answers = registrar.answers(&[insert(&[&entry], false)]);
                assert_eq!(answers, [json!({"error": DENIED_NUMBER})]);
            }
        }
        if logon.mechanism == "spnego" || logon.protection == "packet" {
            return 3;
        }
        let calls = [map_call(), lookup_call()];
        let answers = impacket::hept(session, &self.python, "ndr", &calls);
        assert_eq!(answers, vec![json!({"fault": IMPACKET_DENIED}); 2]);
        self.maps_nothing(session, Some(logon));
        let registrar = impacket_registrar(session, logon).expect("impacket is there");
        let answers = registrar.answers(&[insert(&[&entry], false)]);
        assert_eq!(answers, [json!({"fault": IMPACKET_DENIED})]);
        7
    }

    /// Asserts that rpcmap.py, which asks for the list of interfaces, is refused.
    fn maps_nothing(&self, session: &Session, logon: Option<Logon>) {
        let mapped = run_rpcmap(session, &self.rpcmap, logon).text();
        let told = format!("Protocol failed: {IMPACKET_DENIED}");
        assert!(mapped.contains(&told), "{logon:?}: {mapped}");
    }
}

#[test]
fn where_everything_requires_integrity_whoever_does_less_is_refused() {
    let Some(clients) = Clients::find() else {
        return;
    };
    let mut session = requiring_all(41, 13, "integrity");
    let connect = [
        None,
        Some(Logon::alice("ntlm", "connect")),
        Some(Logon::alice("spnego", "connect")),
    ];
    for logon in connect {
        session.logon = logon;
        let listed = rpcclient::run(&session, &clients.rpcclient, "epmlookup");
        assert!(listed.text().contains(DENIED), "{logon:?}: {listed:#?}");
        let mapped = rpcclient::run(&session, &clients.rpcclient, "epmmap samr ncacn_ip_tcp");
        assert!(mapped.text().contains(DENIED), "{logon:?}: {mapped:#?}");
        let asked = samba::mgmt(&session, &clients.smbtorture, &session.tcp());
        let own = samba::own_part(&asked);
        assert!(own.contains(DENIED), "{logon:?}: {asked:#?}");
        if logon.is_some_and(|logon| logon.mechanism == "spnego") {
            continue;
        }
        let calls = [map_call(), lookup_call()];
        let answers = impacket::hept(&session, &clients.python, "ndr", &calls);
        assert_eq!(answers, vec![json!({"fault": IMPACKET_DENIED}); 2]);
        clients.maps_nothing(&session, logon);
    }
    for protection in ["packet", "sign", "seal"] {
        for logon in Logon::each(protection) {
            session.logon = Some(logon);
            rpcclient::lists_all(&session, &clients.rpcclient);
        }
    }
    session.finish();
}

#[test]
fn where_lookups_require_integrity_mapping_is_for_everybody() {
    let Some(clients) = Clients::find() else {
        return;
    };
    let mut session = requiring(42, 13, "lookups", "integrity");
    for logon in [None, Some(Logon::alice("ntlm", "connect"))] {
        session.logon = logon;
        let listed = rpcclient::run(&session, &clients.rpcclient, "epmlookup");
        assert!(listed.text().contains(DENIED), "{logon:?}: {listed:#?}");
        let calls = [lookup_call()];
        let answers = impacket::hept(&session, &clients.python, "ndr", &calls);
        assert_eq!(answers, [json!({"fault": IMPACKET_DENIED})]);
        clients.maps_nothing(&session, logon);
        // Interfaces are listed to nobody, all other management is for everybody.
        let asked = samba::mgmt(&session, &clients.smbtorture, &session.tcp());
        let own = samba::own_part(&asked);
        assert!(own.contains("server is listening"), "{asked:#?}");
        assert!(!own.contains("e1af8308-"), "{asked:#?}");
        rpcclient::maps(&session, &clients.rpcclient);
        impacket::maps(&session, &clients.python, "ndr");
    }
    session.logon = Some(Logon::alice("ntlm", "sign"));
    rpcclient::lists_all(&session, &clients.rpcclient);
    impacket::looks_up(&session, &clients.python, "ndr");
    session.finish();
}

#[test]
fn whoever_asks_as_nobody_may_log_on_over_the_same_connection_and_ask_again() {
    let Some(python) = programs::find_in_environment("python3") else {
        return;
    };
    let served = |session: &Session| json!(format!("ncacn_ip_tcp:{}[135]", session.address()));
    let denied = json!({"fault": IMPACKET_DENIED});
    for (number, require) in [(43, "everything"), (44, "nothing")] {
        let session = requiring(number, 13, require, "integrity");
        for level in ["5", "6"] {
            for context in ["same", "other"] {
                let answers = ask_late(&session, &python, map_call(), level, context);
                let first = match require {
                    "everything" => denied.clone(),
                    _ => served(&session),
                };
                assert_eq!(answers, [first, served(&session)], "{level} {context}");
            }
        }
        // As Windows' client, which found nothing and logs on to see more.
        let answers = ask_late(&session, &python, map_call_of(UNKNOWN), "5", "same");
        let not_found = json!({"status": NOT_REGISTERED});
        let first = match require {
            "everything" => denied.clone(),
            _ => not_found.clone(),
        };
        assert_eq!(answers, [first, not_found]);
        session.finish();
    }
    let session = requiring(45, 13, "everything", "integrity");
    let answers = ask_late(&session, &python, map_call(), "2", "same");
    assert_eq!(answers, [denied.clone(), denied], "level connect");
    session.finish();
}

/// What impacket gets as nobody, and then over the same connection as an account.
fn ask_late(
    session: &Session,
    python: &Path,
    call: Value,
    level: &str,
    context: &str,
) -> Vec<Value> {
    let [account, password] = ACCOUNTS[0];
    let (script, address) = (
        programs::script("late_logon.py"),
        session.address().to_string(),
    );
    let arguments = [&script, &address, account, password, level, context];
    let finished = programs::run(python, &arguments, &call.to_string());
    finished.assert_success();
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}
