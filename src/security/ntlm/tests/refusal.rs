//! What an end refuses.

use super::*;

/// Why a logon is refused.
fn reason(outcome: Result<LegAnswer, SecurityError>) -> &'static str {
    match outcome {
        Err(SecurityError::Denied { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_password_is_refused() {
    for level in LEVELS {
        let mut client = initiator(&credentials("User", "Domain", "password"), level);
        let outcome = exchange(&mut client, &mut acceptor(settings(), level));
        assert_eq!(reason(outcome), "wrong password");
    }
}

#[test]
fn an_unknown_account_is_refused() {
    let secret = Secret::NtHash(NtHash([0; 16]));
    let nobody = Credentials {
        secret,
        ..credentials("nobody", "", "")
    };
    let level = AuthLevel::INTEGRITY;
    for client in [nobody, credentials("nobody", "LAB", "Password")] {
        let outcome = exchange(
            &mut initiator(&client, level),
            &mut acceptor(settings(), level),
        );
        assert_eq!(reason(outcome), "unknown account");
    }
}
