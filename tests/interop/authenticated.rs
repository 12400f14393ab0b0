//! Foreign clients log on by NTLM, alone and within SPNEGO.
//!
//! Where it matters that a client really logged on, and how, the mapper requires just that: whoever does less is refused.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::logon::{ACCOUNTS, Logon, MECHANISMS, PROTECTIONS};
use crate::programs::{self, Finished};
use crate::refused::IMPACKET_DENIED;
use crate::registrar::Registrar;
use crate::registration::{CANT_PERFORM, OK, delete, insert, registers, service};
use crate::registry::{MAPPER, Place};
use crate::session::Session;
use crate::{impacket, rpcclient, samba};

/// A mapper that answers nobody who does not log on at `level`.
pub fn requiring_all(number: u8, size: usize, level: &str) -> Session {
    requiring(number, size, "everything", level)
}

/// A mapper that requires something of callers.
pub fn requiring(number: u8, size: usize, require: &str, level: &str) -> Session {
    let security = format!("require = \"{require}\"\nlevel = \"{level}\"\n");
    let address = Ipv4Addr::new(127, 0, 94, number);
    Session::with_accounts(address, size, "windows", &security, "")
}

/// A mapper with rules of who may register.
pub fn ruled(number: u8, security: &str, rules: &str) -> Session {
    let address = Ipv4Addr::new(127, 0, 96, number);
    Session::with_accounts(address, 13, "windows", security, rules)
}

/// Samba's registrar that logs on so.
pub fn samba_registrar(session: &mut Session, logon: Logon) -> Option<Registrar> {
    session.logon = Some(logon);
    let registrar = Registrar::samba("/dev/null", &session.tcp())?;
    Some(registrar.logged_on(&[logon.account, logon.password]))
}

/// impacket's registrar that logs on so.
pub fn impacket_registrar(session: &Session, logon: Logon) -> Option<Registrar> {
    let registrar = Registrar::impacket(&session.address().to_string())?;
    Some(registrar.logged_on(&[logon.account, logon.password, logon.level()]))
}

#[test]
fn rpcclient_lists_and_maps_at_each_protection() {
    let Some(rpcclient) = programs::find("rpcclient") else {
        return;
    };
    for (number, protection) in (1..).zip(PROTECTIONS) {
        let [logon, _] = Logon::each(protection);
        let mut session = requiring_all(number, 501, logon.required()).recorded();
        for logon in Logon::each(protection) {
            session.logon = Some(logon);
            rpcclient::lists_all(&session, &rpcclient);
            rpcclient::maps(&session, &rpcclient);
        }
        if let Some(sent) = session.finish() {
            // Two walks of an entry a page; what is sealed nobody else reads.
            let read = match protection {
                "seal" => 0,
                _ => 2 * 501,
            };
            assert_eq!(sent.entries, read, "{protection}: {sent:?}");
        }
    }
}

#[test]
fn impacket_looks_up_and_maps_at_levels_2_5_and_6() {
    let Some(python) = programs::find_in_environment("python3") else {
        return;
    };
    for (number, protection) in (11..).zip(["connect", "sign", "seal"]) {
        let logon = Logon::alice("ntlm", protection);
        // Pages of 500 entries are many fragments.
        let mut session = requiring_all(number, 501, logon.required());
        session.logon = Some(logon);
        impacket::looks_up(&session, &python, "ndr");
        impacket::maps(&session, &python, "ndr");
        impacket::maps(&session, &python, "ndr64");
        session.finish();
    }
}

#[test]
fn smbtorture_mgmt_passes_at_each_protection() {
    let Some(smbtorture) = programs::find("smbtorture") else {
        return;
    };
    for (number, protection) in (21..).zip(PROTECTIONS) {
        let [logon, _] = Logon::each(protection);
        // Of lookups only: it maps as nobody before.
        let mut session = requiring(number, 1, "lookups", logon.required()).recorded();
        for logon in Logon::each(protection) {
            session.logon = Some(logon);
            samba::mgmt_reaches_the_mapper(&session, &smbtorture);
        }
        session.finish();
    }
}

#[test]
fn smbtorture_mgmt_passes_sealed_in_big_endian() {
    let Some(smbtorture) = programs::find("smbtorture") else {
        return;
    };
    let mut session = requiring(25, 1, "lookups", "privacy").recorded();
    for logon in Logon::each("seal") {
        session.logon = Some(logon);
        let binding = format!(
            "ncacn_ip_tcp:{}[135,bigendian,seal,{}]",
            session.address(),
            logon.mechanism
        );
        let finished = samba::mgmt(&session, &smbtorture, &binding);
        // Samba reads two numbers of 16 bits as one of 32.
        samba::mgmt_reached_the_mapper(&session, &finished, "0x00030000");
    }
    session.finish();
}

#[test]
fn rpcmap_lists_interfaces_at_levels_2_5_and_6() {
    let Some(rpcmap) = programs::find_in_environment("rpcmap.py") else {
        return;
    };
    for (number, protection) in (31..).zip(["connect", "sign", "seal"]) {
        let logon = Logon::alice("ntlm", protection);
        let session = requiring_all(number, 1, logon.required()).recorded();
        let finished = run_rpcmap(&session, &rpcmap, Some(logon));
        finished.assert_success();
        let mapper = MAPPER.uuid.to_string().to_uppercase();
        assert!(
            finished.stdout.contains(&format!("{mapper} v3.0")),
            "{finished:#?}"
        );
        session.finish();
    }
}

/// rpcmap.py with credentials, or as nobody.
pub fn run_rpcmap(session: &Session, program: &Path, logon: Option<Logon>) -> Finished {
    let binding = format!("ncacn_ip_tcp:{}[135]", session.address());
    let Some(logon) = logon else {
        let arguments = ["-no-pass", "-auth-level", "1", &binding];
        return programs::run(program, &arguments, "");
    };
    let who = format!("LAB/{}:{}", logon.account, logon.password);
    let arguments = ["-auth-rpc", &who, "-auth-level", logon.level(), &binding];
    programs::run(program, &arguments, "")
}

/// rpcdump.py takes credentials and uses them on named pipes and proxies only, as it says itself.
#[test]
fn rpcdump_with_credentials_lists_as_nobody() {
    let Some(rpcdump) = programs::find_in_environment("rpcdump.py") else {
        return;
    };
    let dump = |session: &Session| {
        let [account, password] = ACCOUNTS[0];
        let target = format!("LAB/{account}:{password}@{}", session.address());
        let finished = programs::run(&rpcdump, &[&target], "");
        finished.assert_success();
        finished.text()
    };
    let open = requiring(34, 13, "nothing", "integrity");
    let text = dump(&open);
    assert!(text.contains("Received 13 endpoints."), "{text}");
    assert!(!open.daemon.log().contains("alice"), "nobody logged on");
    open.finish();
    let closed = requiring(35, 13, "lookups", "connect");
    let text = dump(&closed);
    assert!(
        text.contains(&format!("Protocol failed: {IMPACKET_DENIED}")),
        "{text}"
    );
    closed.finish();
}

/// Lets one account register.
const ALICE: &str = "[[register]]\naccounts = [\"alice\"]\n";

#[test]
fn python_samba_registers_as_an_account_that_a_rule_names() {
    let logons = ["sign", "seal"].map(Logon::each);
    for (number, logon) in (11..).zip(logons.into_iter().flatten()) {
        let mut session = ruled(number, "", ALICE);
        let Some(registrar) = samba_registrar(&mut session, logon) else {
            return;
        };
        // The clients that look log on, too; impacket by NTLM.
        session.logon = Some(Logon::alice("ntlm", "sign"));
        registers(session, &registrar);
    }
}

#[test]
fn impacket_registers_as_an_account_that_a_rule_names() {
    for (number, protection) in (21..).zip(["sign", "seal"]) {
        let logon = Logon::alice("ntlm", protection);
        let session = ruled(number, "", ALICE);
        let Some(registrar) = impacket_registrar(&session, logon) else {
            return;
        };
        registers(session.recorded(), &registrar);
    }
}

#[test]
fn accounts_that_no_rule_names_nobody_and_those_who_sign_nothing_do_not_register() {
    let mut session = ruled(31, "anonymous = true\n", ALICE);
    let entry = service(Place::Tcp(Some(session.address()), 50001), "refused");
    let calls = [insert(&[&entry], false)];
    let mut told = Vec::new();
    for mechanism in MECHANISMS {
        let connect = Logon::alice(mechanism, "connect");
        let bob = Logon::bob(mechanism, "sign");
        for (logon, level) in [(bob, "integrity"), (connect, "connect")] {
            let Some(registrar) = samba_registrar(&mut session, logon) else {
                return;
            };
            registrar.expect_faults(&calls);
            told.push(refused_by(logon.account, &format!("{mechanism} {level}")));
        }
    }
    session.logon = None;
    // Samba's client as nobody does not even begin to log on.
    let samba = Registrar::samba("/dev/null", &session.tcp()).expect("found before");
    samba.expect_faults(&calls);
    let address = session.address().to_string();
    for (logon, name, level) in [
        (None, "", ""),
        (Some(["", "", "5"]), "anonymous", "integrity"),
        (Some(["bob", ACCOUNTS[1][1], "6"]), "bob", "privacy"),
    ] {
        let Some(mut registrar) = Registrar::impacket(&address) else {
            return;
        };
        if let Some(logon) = logon {
            registrar = registrar.logged_on(&logon);
            told.push(refused_by(name, &format!("ntlm {level}")));
        }
        registrar.expect_faults(&calls);
    }
    let alice = samba_registrar(&mut session, Logon::alice("spnego", "seal"));
    alice.expect("found before").expect(&calls[0], OK);
    let log = session.daemon.log();
    for told in &told {
        assert!(log.contains(told), "no {told}: {log}");
    }
    let refused = log.matches("op=\"insert\" result=\"refused\"").count();
    assert_eq!(refused, told.len() + 2, "{log}");
    let accepted = "op=\"insert\" result=\"accepted\" did=\"inserted\" address=127.0.0.1 account=\"alice\" authentication=\"spnego privacy\"";
    assert!(log.contains(accepted), "{log}");
    session.finish();
}

/// What the audit trail says of somebody whose registration was refused.
fn refused_by(account: &str, authentication: &str) -> String {
    format!(
        "op=\"insert\" result=\"refused\" address=127.0.0.1 account=\"{account}\" authentication=\"{authentication}\""
    )
}

#[test]
fn what_an_account_registered_no_other_deletes() {
    let rules = "[[register]]\naccounts = [\"alice\", \"bob\"]\n[[register]]\nnetworks = [\"127.0.0.0/8\"]\n";
    let mut session = ruled(32, "", rules);
    let entry = service(Place::Tcp(Some(session.address()), 50001), "alice's");
    let alice = samba_registrar(&mut session, Logon::alice("ntlm", "sign"));
    let bob = samba_registrar(&mut session, Logon::bob("spnego", "seal"));
    let (Some(alice), Some(bob)) = (alice, bob) else {
        return;
    };
    alice.expect(&insert(&[&entry], false), OK);
    bob.expect(&delete(&[&entry]), CANT_PERFORM);
    bob.expect(&insert(&[&entry], true), CANT_PERFORM);
    // The same host without an account.
    session.logon = None;
    let here = Registrar::samba("/dev/null", &session.tcp()).expect("found before");
    here.expect(&delete(&[&entry]), CANT_PERFORM);
    let elsewhere = impacket_registrar(&session, Logon::bob("ntlm", "seal"));
    if let Some(impacket) = elsewhere {
        impacket.expect(&delete(&[&entry]), CANT_PERFORM);
    }
    session.registry.entries.push(entry.clone());
    if let Some(rpcclient) = programs::find("rpcclient") {
        rpcclient::lists_all(&session, &rpcclient);
    }
    alice.expect(&delete(&[&entry]), OK);
    let log = session.daemon.log();
    assert!(
        log.contains("op=\"delete\" result=\"refused\" address=127.0.0.1 account=\"bob\""),
        "{log}"
    );
    session.finish();
}
