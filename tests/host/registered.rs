//! Servers that a real mapper tells of.

use crate::daemon::DEADLINE;
use crate::living::Home;
use crate::{COUNTER, add_one, builder, counter};
use epmapper::client::registrar::{Kept, State};
use epmapper::client::{Client, Encoding, Mapper, RegistrarSettings};
use epmapper::host::{Builder, Interface, Server};
use epmapper::wire::binding::Binding;
use epmapper::wire::ept::{self, MapRequest, MapResponse};
use epmapper::wire::ndr::{ContextHandle, Referents};
use epmapper::wire::tower::{ProtocolSequence, Tower, TowerBuf};
use epmapper::wire::{SyntaxId, TransferSyntax};
use nix::sys::signal::Signal;
use std::future::Future;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// Waits for what is to come.
async fn wait<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it does not come")
}

/// A server of nothing yet, which registers at the mapper of a home.
fn registering(home: &Home, address: &str) -> Builder {
    let mappers = vec![home.at().parse().unwrap()];
    builder(address)
        .annotation("counter")
        .mapper(RegistrarSettings {
            mappers,
            ..RegistrarSettings::default()
        })
}

/// The same, of a counter, once it has started.
async fn counting(home: &Home, address: &str) -> Server {
    let server = registering(home, address).interface(counter(1));
    wait(server.start()).await.unwrap()
}

/// Where a mapper says that the counter is over TCP, to a client that asks in a
/// transfer syntax, about an object.
async fn mapped(home: &Home, syntax: TransferSyntax, object: Option<Uuid>) -> Vec<Binding> {
    let deadline = Instant::now() + DEADLINE;
    let at = home.at().parse().unwrap();
    let client = Client::connect(&at, SyntaxId::EPT, Encoding::Any, deadline).await;
    let like = Binding::new(ProtocolSequence::NcacnIpTcp);
    let pattern = TowerBuf::from_binding(COUNTER, syntax.id(), &like).unwrap();
    let mut referents = Referents::after(0);
    let request = MapRequest {
        object: Some(referents.point(object.unwrap_or_default())),
        tower: Some(referents.point(pattern.octets())),
        handle: ContextHandle::NULL,
        max_towers: 10,
    };
    let asked = client
        .unwrap()
        .call(ept::MAP, |out| request.encode(out))
        .await;
    let reply = asked.unwrap();
    let answer = reply.decode(MapResponse::decode).unwrap();
    let towers = answer.towers.iter().flatten();
    towers.map(|tower| binding(&tower.value)).collect()
}

/// Where a tower says that a server is.
fn binding(tower: &[u8]) -> Binding {
    let parts = Tower::decode(tower).unwrap().parts().unwrap();
    Binding::from_tower(&parts, None).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_found_by_its_interface_until_it_stops() {
    let home = Home::new("");
    let _run = home.start();
    let server = counting(&home, "127.0.32.30").await;
    wait(server.registered()).await;
    let state = server.registration().unwrap().borrow().clone();
    assert!(
        matches!(
            state,
            State::Registered {
                kept: Kept::Process,
                ..
            }
        ),
        "{state}"
    );
    for syntax in [TransferSyntax::Ndr, TransferSyntax::Ndr64] {
        let found = mapped(&home, syntax, None).await;
        assert_eq!(found, server.bindings());
    }
    assert_eq!(
        add_one(&server.bindings()[0], Encoding::Any).await.unwrap(),
        42
    );
    assert_eq!(wait(server.stop()).await, 0);
    assert_eq!(mapped(&home, TransferSyntax::Ndr, None).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapper_that_is_not_there_is_waited_for_and_followed() {
    let home = Home::new("");
    let server = counting(&home, "127.0.32.31").await;
    let mut state = server.registration().unwrap();
    let waits = |state: &State| matches!(state, State::Waiting { .. });
    wait(state.wait_for(waits)).await.unwrap();
    // It serves meanwhile.
    assert_eq!(
        add_one(&server.bindings()[0], Encoding::Any).await.unwrap(),
        42
    );
    for _ in 0..2 {
        let run = home.start();
        wait(state.wait_for(State::is_registered)).await.unwrap();
        assert_eq!(mapped(&home, TransferSyntax::Ndr, None).await.len(), 1);
        spawn_blocking(|| run.end(Signal::SIGKILL)).await.unwrap();
        wait(state.wait_for(|state| !state.is_registered()))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_of_one_interface_are_found_by_their_objects() {
    let home = Home::new("");
    let _run = home.start();
    let [one, two] = [1, 2].map(Uuid::from_u128);
    let mut servers = Vec::new();
    for (object, step) in [(one, 1), (two, 2)] {
        let server = registering(&home, "127.0.32.32").interface_for([object], counter(step));
        let server = wait(server.start()).await.unwrap();
        wait(server.registered()).await;
        servers.push(server);
    }
    for (object, server) in [one, two].into_iter().zip(&servers) {
        let found = mapped(&home, TransferSyntax::Ndr, Some(object)).await;
        assert_eq!(found, server.bindings());
    }
    // One that stops takes its own entries alone.
    wait(servers.remove(0).stop()).await;
    assert_eq!(mapped(&home, TransferSyntax::Ndr, Some(one)).await, []);
    assert_eq!(mapped(&home, TransferSyntax::Ndr, Some(two)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_dropped_is_forgotten_as_well() {
    let home = Home::new("");
    let _run = home.start();
    let server = counting(&home, "127.0.32.33").await;
    wait(server.registered()).await;
    drop(server);
    let gone = async {
        while !mapped(&home, TransferSyntax::Ndr, None).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    wait(gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_ndr_alone_is_registered_in_ndr_alone() {
    let home = Home::new("");
    let _run = home.start();
    let id = SyntaxId::new(Uuid::from_u128(0x77), 1, 0);
    let plain = Interface::new(id).transfer_syntaxes(&[TransferSyntax::Ndr]);
    let server = registering(&home, "127.0.32.34");
    let server = server.interface(counter(1)).interface(plain);
    let server = wait(server.start()).await.unwrap();
    wait(server.registered()).await;
    let deadline = Instant::now() + DEADLINE;
    let at = home.at().parse().unwrap();
    let mut mapper = Mapper::connect(&at, Encoding::Any, deadline).await.unwrap();
    let all = mapper.lookup(&Default::default()).await.unwrap();
    let own = all.iter().filter(|entry| &*entry.annotation == b"counter");
    let mut shown: Vec<_> = own
        .map(|entry| {
            let parts = entry.tower().unwrap().parts().unwrap();
            (
                parts.interface == id,
                TransferSyntax::of(parts.transfer_syntax),
            )
        })
        .collect();
    shown.sort_unstable_by_key(|(is_plain, syntax)| {
        (*is_plain, *syntax == Some(TransferSyntax::Ndr64))
    });
    // Remote management has none.
    let (ndr, ndr64) = (Some(TransferSyntax::Ndr), Some(TransferSyntax::Ndr64));
    assert_eq!(shown, [(false, ndr), (false, ndr64), (true, ndr)]);
}
