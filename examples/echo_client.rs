//! A client of Samba's `rpcecho`: finds its server by nothing but the UUID, and
//! calls every operation.
//!
//!     cargo run --example echo_client 127.0.0.1
//!
//! The argument is a host, whose endpoint mapper is asked, or a string binding:
//! `OBJECT@ncacn_ip_tcp:HOST` asks for the server of an object, and one with an
//! endpoint asks nobody. A second one, such as `ndr64` or `big`, says how stubs
//! are written. Ends with 0 when every answer was right.

mod echo;

use echo::*;
use epmapper::client::{Encoding, Handle, Options};
use epmapper::wire::ByteOrder;
use epmapper::wire::binding::Binding;
use epmapper::wire::stub::Enum16;
use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

/// Whether answers were right.
type Answers = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Connects, and makes the calls.
async fn run(arguments: &[String]) -> Answers {
    let (place, encoding) = match arguments {
        [place] => (place, Encoding::Any),
        [place, encoding] => (place, self::encoding(encoding)?),
        _ => return Err("usage: echo_client HOST|BINDING [ndr|ndr64|big]".into()),
    };
    let options = Options {
        settings: encoding.into(),
        ..Options::default()
    };
    let mut server = Handle::connect(&binding(place)?, RPCECHO, &options).await?;
    println!("connected to {}", server.binding());
    call_each(&mut server).await
}

/// Where to go: a host alone is asked over TCP.
fn binding(place: &str) -> Result<Binding, Box<dyn Error>> {
    let tcp = format!("ncacn_ip_tcp:{place}");
    // Only a binding has a colon behind its protocol sequence.
    Ok(place.parse().or_else(|_| tcp.parse())?)
}

/// How stubs are to be written, by name.
fn encoding(name: &str) -> Result<Encoding, Box<dyn Error>> {
    match name {
        "ndr" => Ok(Encoding::Ndr(ByteOrder::Little)),
        "big" => Ok(Encoding::Ndr(ByteOrder::Big)),
        "ndr64" => Ok(Encoding::Ndr64),
        _ => Err(format!("no encoding is called {name}").into()),
    }
}

/// Calls every operation, and prints what it answers.
async fn call_each(server: &mut Handle) -> Answers {
    let ask = AddOne { number: 41 };
    let AddOne { number } = server.invoke(opnum::ADD_ONE, &ask).await?;
    check(number == 42, format!("AddOne(41) = {number}"))?;

    move_data(server).await?;

    let s1 = "hello".into();
    let ask = TestCallRequest { s1 };
    let TestCallResponse { s2 } = server.invoke(opnum::TEST_CALL, &ask).await?;
    let text = s2.map_or("nothing".to_owned(), |text| text.to_string());
    check(text == "hello", format!("TestCall(hello) = {text}"))?;

    for level in 1..=7 {
        let ask = TestCall2Request { level };
        let answer: TestCall2Response = server.invoke(opnum::TEST_CALL_2, &ask).await?;
        let right = answer.info.tag() == u32::from(level) && answer.status == 0;
        check(right, format!("TestCall2({level}) = {:?}", answer.info))?;
    }

    let ask = TestSleep { seconds: 1 };
    let TestSleep { seconds } = server.invoke(opnum::TEST_SLEEP, &ask).await?;
    check(seconds == 1, format!("TestSleep(1) = {seconds}"))?;

    call_shapes(server).await
}

/// Octets by the hundred thousand, in many fragments. What an answer holds of
/// them is borrowed from its stub, so it is read out of the reply.
async fn move_data(server: &mut Handle) -> Answers {
    let octets: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let len = 100_000;
    let in_data = octets.as_slice().into();
    let ask = EchoDataRequest { len, in_data };

    let reply = server.ask(opnum::ECHO_DATA, &ask).await?;
    let EchoDataResponse { out_data } = reply.parameters()?;
    check(out_data.0 == octets, "EchoData: the same 100000 octets")?;

    let Nothing {} = server.invoke(opnum::SINK_DATA, &ask).await?;
    check(true, "SinkData: nothing")?;

    let ask = SourceDataRequest { len };
    let reply = server.ask(opnum::SOURCE_DATA, &ask).await?;
    let EchoDataResponse { out_data } = reply.parameters()?;
    check(out_data.0 == octets, "SourceData: 100000 octets")
}

/// Enumerations, a structure that ends in an array, pointers to pointers.
async fn call_shapes(server: &mut Handle) -> Answers {
    let foo2 = Enum2 {
        e1: Enum16(76),
        e2: Enum1Long::Two,
    };
    let ask = TestEnum {
        foo1: Enum16(1),
        foo2,
        foo3: Enum3::Short(Enum16(2)),
    };
    let answer: TestEnum = server.invoke(opnum::TEST_ENUM, &ask).await?;
    check(answer == ask, format!("TestEnum: {:?}", answer.foo3))?;

    let surrounding = vec![1, 2, 3].into();
    let data = Surrounding { x: 3, surrounding };
    let ask = TestSurrounding { data };
    let TestSurrounding { data } = server.invoke(opnum::TEST_SURROUNDING, &ask).await?;
    let right = data.x == 6 && data.surrounding.0 == [0; 6];
    check(
        right,
        format!("TestSurrounding(3): {:?}", data.surrounding.0),
    )?;

    for (data, right) in [(Some(Some(12)), 12), (Some(None), 0), (None, 0)] {
        let ask = TestDoublePointerRequest { data };
        let TestDoublePointerResponse { result } =
            server.invoke(opnum::TEST_DOUBLE_POINTER, &ask).await?;
        check(
            result == right,
            format!("TestDoublePointer({data:?}) = {result}"),
        )?;
    }
    Ok(())
}

/// Prints an answer that is right, and fails of one that is not.
fn check(right: bool, answer: impl Display) -> Answers {
    if !right {
        return Err(format!("this is not right: {answer}").into());
    }
    println!("{answer}");
    Ok(())
}
