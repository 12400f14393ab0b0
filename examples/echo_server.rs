//! A server of Samba's `rpcecho`: what a service of one's own looks like.
//!
//!     cargo run --example echo_server
//!
//! takes a free port and registers it at this host's endpoint mapper. Arguments:
//! string bindings to listen at, such as `ncacn_ip_tcp:127.0.0.1[5000]`, by
//! default `ncacn_ip_tcp:[]`; `--object UUID` to serve that object only; and
//! `--mapper BINDING` for another mapper. Ctrl-C or SIGTERM ends it.

mod echo;

use echo::*;
use epmapper::client::registrar::{RegistrarSettings, State};
use epmapper::host::{Call, Fault, Interface, Server, Stub};
use epmapper::wire::FaultStatus;
use epmapper::wire::binding::Binding;
use epmapper::wire::stub::Octets;
use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use uuid::Uuid;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal ends it.
async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let mut server = Server::builder()
        .interface_for(arguments.object, interface())
        .annotation("epmapper's echo");
    for binding in arguments.bindings {
        server = server.listen(binding);
    }
    if let Some(mapper) = arguments.mapper {
        server = server.mapper(RegistrarSettings {
            mappers: vec![mapper],
            ..RegistrarSettings::default()
        });
    }
    let server = server.start().await?;

    for binding in server.bindings() {
        println!("listening on {binding}");
    }
    if let Some(registration) = server.registration() {
        tokio::spawn(tell(registration));
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    server.stop().await;
    println!("stopped");
    Ok(())
}

/// Prints where it is registered, or why not, whenever that changes.
async fn tell(mut registration: watch::Receiver<State>) {
    while registration.changed().await.is_ok() {
        let state = registration.borrow_and_update().clone();
        if !matches!(state, State::Trying) {
            println!("{state}");
        }
    }
}

/// The interface: what each operation does.
pub fn interface() -> Interface {
    Interface::new(RPCECHO)
        .typed(opnum::ADD_ONE, |_, AddOne { number }| {
            let number = number.wrapping_add(1);
            Ok(AddOne { number })
        })
        .operation(opnum::ECHO_DATA, echo_data)
        .operation(opnum::SINK_DATA, sink_data)
        .operation(opnum::SOURCE_DATA, source_data)
        .typed(opnum::TEST_CALL, |_, TestCallRequest { s1 }| {
            Ok(TestCallResponse { s2: Some(s1) })
        })
        .typed(opnum::TEST_CALL_2, |_, TestCall2Request { level }| {
            let info = info(level).ok_or(FaultStatus::INVALID_TAG)?;
            Ok(TestCall2Response { info, status: 0 })
        })
        .typed_async(opnum::TEST_SLEEP, test_sleep)
        .typed(opnum::TEST_ENUM, |_, same: TestEnum| Ok(same))
        .typed(opnum::TEST_SURROUNDING, |_, TestSurrounding { data }| {
            test_surrounding(&data)
        })
        .typed(
            opnum::TEST_DOUBLE_POINTER,
            |_, TestDoublePointerRequest { data }| {
                let result = data.flatten().unwrap_or(0);
                Ok(TestDoublePointerResponse { result })
            },
        )
}

/// The octets that came. They are not copied but into the answer: an operation
/// over stubs may borrow from the request.
fn echo_data(call: &Call, stub: Stub<'_>) -> Result<Vec<u8>, Fault> {
    let out_data = data(stub)?;
    call.reply(&EchoDataResponse { out_data })
}

/// Takes octets, and gives nothing.
fn sink_data(call: &Call, stub: Stub<'_>) -> Result<Vec<u8>, Fault> {
    data(stub)?;
    call.reply(&Nothing {})
}

/// The octets of `EchoData` and `SinkData`: as many as `len` says.
fn data(stub: Stub<'_>) -> Result<Octets<'_>, Fault> {
    let EchoDataRequest { len, in_data } = stub.decode()?;
    if usize::try_from(len) != Ok(in_data.0.len()) {
        return Err(FaultStatus::INVALID_BOUND.into());
    }
    Ok(in_data)
}

/// The most octets that `SourceData` gives: 1 MiB. Four octets of a stranger
/// must not take all memory.
const MAX_SOURCE: u32 = 1 << 20;

/// As many octets as asked for, counting up.
fn source_data(call: &Call, stub: Stub<'_>) -> Result<Vec<u8>, Fault> {
    let SourceDataRequest { len } = stub.decode()?;
    if len > MAX_SOURCE {
        return Err(FaultStatus::INVALID_BOUND.into());
    }
    let octets: Vec<u8> = (0..len).map(|place| place as u8).collect();
    let out_data = octets.into();
    call.reply(&EchoDataResponse { out_data })
}

/// An arm of the union, with numbers that tell the members apart.
fn info(level: u16) -> Option<Info> {
    Some(match level {
        1 => Info::One(Info1 { v: 10 }),
        2 => Info::Two(Info2 { v: 20 }),
        3 => Info::Three(Info3 { v: 30 }),
        4 => Info::Four(Info4 { v: 40 }),
        5 => Info::Five(Info5 { v1: 50, v2: 60 }),
        6 => Info::Six(Info6 {
            v1: 70,
            info1: Info1 { v: 80 },
        }),
        7 => Info::Seven(Info7 {
            v1: 90,
            info4: Info4 { v: 100 },
        }),
        _ => return None,
    })
}

/// The longest that `TestSleep` sleeps.
const LONGEST_SLEEP: u32 = 60;

/// Answers some seconds later, unless the client cancels meanwhile.
async fn test_sleep(call: Call, TestSleep { seconds }: TestSleep) -> Result<TestSleep, Fault> {
    let sleep = Duration::from_secs(seconds.min(LONGEST_SLEEP).into());
    tokio::select! {
        () = tokio::time::sleep(sleep) => Ok(TestSleep { seconds }),
        () = call.cancelled() => Err(Fault::CANCELLED),
    }
}

/// Twice the number, and as many zeros.
fn test_surrounding(data: &Surrounding) -> Result<TestSurrounding, Fault> {
    let x = data.x.saturating_mul(2);
    let zeros = usize::try_from(x).ok().filter(|&zeros| zeros <= 1000);
    let zeros = zeros.ok_or(FaultStatus::INVALID_BOUND)?;
    let surrounding = vec![0; zeros].into();
    Ok(TestSurrounding {
        data: Surrounding { x, surrounding },
    })
}

/// What the command line says.
#[derive(Default)]
struct Arguments {
    bindings: Vec<Binding>,
    object: Option<Uuid>,
    mapper: Option<Binding>,
}

impl Arguments {
    /// Reads them.
    fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--object" => arguments.object = Some(parse(&value()?)?),
                "--mapper" => arguments.mapper = Some(parse(&value()?)?),
                binding => arguments.bindings.push(parse(binding)?),
            }
        }
        if arguments.bindings.is_empty() {
            arguments.bindings.push("ncacn_ip_tcp:[]".parse()?);
        }
        Ok(arguments)
    }
}

/// Reads a word of the command line; of a wrong one says which it is.
fn parse<T: FromStr<Err: Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error| format!("{word}: {error}"))
}
