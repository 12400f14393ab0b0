//! Who registers over the network, by what is shown of him.

use crate::client::{ALICE, BOB, NOBODY, Way, Who};
use crate::world::World;
use epmapper::client::ept::NewEntry;
use epmapper::client::{Authentication, ClientError, Failure, Mapper, Settings};
use epmapper::wire::binding::Binding;
use epmapper::wire::pdu::AuthLevel;
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{FaultStatus, SyntaxId};
use std::time::Duration;
use tokio::time::Instant;
use uuid::{Uuid, uuid};

const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);

/// Alice registers, and whoever has an account.
const RULES: &str = "anonymous = true\n\
    [[register]]\ninterfaces = [\"60a15ec5-4de8-11d7-a637-005056a20182\"]\naccounts = [\"ALICE\"]\n";
const ALL: &str = "anonymous = true\n[[register]]\nauthenticated = true\n";

const CONNECT: AuthLevel = AuthLevel::CONNECT;
const SIGNED: [AuthLevel; 3] = [AuthLevel::PACKET, AuthLevel::INTEGRITY, AuthLevel::PRIVACY];

/// A tower at a port.
fn tower(port: u16) -> TowerBuf {
    let binding: Binding = format!("ncacn_ip_tcp:[{port}]").parse().unwrap();
    TowerBuf::from_binding(ECHO, SyntaxId::NDR, &binding).unwrap()
}

/// A mapper that is asked under a logon, or without.
async fn mapper(world: &World, logon: Option<(Way, AuthLevel, Who<'static>)>) -> Mapper {
    let binding = format!("ncacn_ip_tcp:{}[135]", world.address().ip());
    let binding: Binding = binding.parse().unwrap();
    let settings = logon.map_or(Settings::default(), |(way, level, who)| {
        let begin = move |level| Ok(way.context(level, who));
        Settings::default().authenticate(Authentication::new(way.auth_type(), level, begin))
    });
    let deadline = Instant::now() + Duration::from_secs(300);
    Mapper::connect(&binding, settings, deadline).await.unwrap()
}

/// Registers a port, or takes it out.
async fn change(by: &mut Mapper, port: u16, is_insert: bool) -> Result<(), ClientError> {
    let tower = tower(port);
    let entry = NewEntry {
        object: Uuid::nil(),
        tower: tower.octets(),
        annotation: b"",
    };
    match is_insert {
        true => by.insert(&[entry], false).await,
        false => by.delete(&[entry]).await,
    }
}

/// What is said to whom nothing is allowed: that there is no such operation.
#[track_caller]
fn assert_refused(outcome: Result<(), ClientError>, who: &str) {
    let failure = outcome.expect_err(who).failure;
    let none = matches!(failure, Failure::Fault(FaultStatus::OP_RNG_ERROR));
    assert!(none, "{who}: {failure:?}");
}

#[tokio::test]
async fn whom_a_rule_names_registers_at_levels_that_sign() {
    let world = World::with(RULES, 1);
    for way in Way::ALL {
        for level in SIGNED {
            let mut alice = mapper(&world, Some((way, level, ALICE))).await;
            change(&mut alice, 5000, true).await.unwrap();
            let mut bob = mapper(&world, Some((way, level, BOB))).await;
            assert_refused(change(&mut bob, 5001, true).await, "bob");
            assert_refused(change(&mut bob, 5000, false).await, "bob");
            let mut nobody = mapper(&world, Some((way, level, NOBODY))).await;
            assert_refused(change(&mut nobody, 5001, true).await, "nobody");
            change(&mut alice, 5000, false).await.unwrap();
        }
        let mut alice = mapper(&world, Some((way, CONNECT, ALICE))).await;
        assert_refused(change(&mut alice, 5001, true).await, "alice at connect");
    }
    let mut anonymous = mapper(&world, None).await;
    assert_refused(change(&mut anonymous, 5001, true).await, "without a logon");
    world.end();
}

#[tokio::test]
async fn what_an_account_registered_is_no_other_accounts_to_delete() {
    let world = World::with(ALL, 1);
    let level = AuthLevel::INTEGRITY;
    let mut alice = mapper(&world, Some((Way::NTLM, level, ALICE))).await;
    change(&mut alice, 5000, true).await.unwrap();
    let mut bob = mapper(&world, Some((Way::NTLM, level, BOB))).await;
    change(&mut bob, 5001, true).await.unwrap();
    let failure = change(&mut bob, 5000, false).await.unwrap_err().failure;
    assert!(matches!(failure, Failure::Status(_)), "{failure:?}");
    let mut nobody = mapper(&world, Some((Way::NTLM, level, NOBODY))).await;
    assert_refused(change(&mut nobody, 5002, true).await, "nobody");
    // In another way and case it is still she.
    let who: Who = ("ALICE", ALICE.1);
    let mut again = mapper(&world, Some((Way::SPNEGO, AuthLevel::PRIVACY, who))).await;
    change(&mut again, 5000, false).await.unwrap();
    world.end();
}
