//! Samba's `rpcecho`, as its public IDL describes it: what the operations take
//! and give. The server and the client of this folder share it.
//!
//! Each operation is two lists of parameters, what it takes and what it gives;
//! one does for both where they are the same. `epmapper::wire::stub` says which
//! type stands for what of IDL.

#![allow(dead_code)] // each end uses its half

use epmapper::wire::SyntaxId;
use epmapper::wire::stub::{Conformant, Enum16, Octets, WideString};
use epmapper::{ndr_enumeration, ndr_parameters, ndr_structure, ndr_union};
use uuid::uuid;

/// UUID and version, by which clients find it.
pub const RPCECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);

/// The operations, by number.
pub mod opnum {
    pub const ADD_ONE: u16 = 0;
    pub const ECHO_DATA: u16 = 1;
    pub const SINK_DATA: u16 = 2;
    pub const SOURCE_DATA: u16 = 3;
    pub const TEST_CALL: u16 = 4;
    pub const TEST_CALL_2: u16 = 5;
    pub const TEST_SLEEP: u16 = 6;
    pub const TEST_ENUM: u16 = 7;
    pub const TEST_SURROUNDING: u16 = 8;
    pub const TEST_DOUBLE_POINTER: u16 = 9;
}

ndr_parameters! {
    /// `AddOne([in] uint32 in_data, [out] uint32 *out_data)`: what it takes, and
    /// what it gives.
    #[derive(Debug, PartialEq)]
    pub struct AddOne {
        pub number: u32,
    }
}

ndr_parameters! {
    /// `EchoData([in] uint32 len, [in, size_is(len)] uint8 in_data[],
    /// [out, size_is(len)] uint8 out_data[])`: what it takes, and `SinkData`.
    #[derive(Debug, PartialEq)]
    pub struct EchoDataRequest<'a> {
        pub len: u32,
        pub in_data: Octets<'a>,
    }
}

ndr_parameters! {
    /// What `EchoData` gives, and `SourceData`.
    #[derive(Debug, PartialEq)]
    pub struct EchoDataResponse<'a> {
        pub out_data: Octets<'a>,
    }
}

ndr_parameters! {
    /// `SourceData([in] uint32 len, [out, size_is(len)] uint8 data[])`: what it
    /// takes.
    #[derive(Debug, PartialEq)]
    pub struct SourceDataRequest {
        pub len: u32,
    }
}

ndr_parameters! {
    /// No parameters: what `SinkData` gives.
    #[derive(Debug, PartialEq)]
    pub struct Nothing {}
}

ndr_parameters! {
    /// `TestCall([in, string] wchar_t *s1, [out, string] wchar_t **s2)`: what it
    /// takes.
    #[derive(Debug, PartialEq)]
    pub struct TestCallRequest {
        pub s1: WideString<100>,
    }
}

ndr_parameters! {
    /// What `TestCall` gives.
    #[derive(Debug, PartialEq)]
    pub struct TestCallResponse {
        pub s2: Option<WideString<100>>,
    }
}

ndr_parameters! {
    /// `uint32 TestCall2([in] uint16 level, [out, switch_is(level)] Info *info)`:
    /// what it takes.
    #[derive(Debug, PartialEq)]
    pub struct TestCall2Request {
        pub level: u16,
    }
}

ndr_parameters! {
    /// What `TestCall2` gives; the result comes last.
    #[derive(Debug, PartialEq)]
    pub struct TestCall2Response {
        pub info: Info,
        pub status: u32,
    }
}

ndr_union! {
    /// A union, its arms told by the level.
    #[derive(Debug, PartialEq)]
    pub enum Info: u16 {
        1 => One(Info1),
        2 => Two(Info2),
        3 => Three(Info3),
        4 => Four(Info4),
        5 => Five(Info5),
        6 => Six(Info6),
        7 => Seven(Info7),
    }
}

/// Declares the structures of the union and others that are as plain.
macro_rules! structures {
    ($($name:ident { $($member:ident: $type:ty),* })+) => {
        $(ndr_structure! {
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name { $(pub $member: $type),* }
        })+
    };
}

structures! {
    Info1 { v: u8 }
    Info2 { v: u16 }
    Info3 { v: u32 }
    Info4 { v: u64 }
    Info5 { v1: u8, v2: u64 }
    Info6 { v1: u8, info1: Info1 }
    Info7 { v1: u8, info4: Info4 }
    Enum2 { e1: Enum1, e2: Enum1Long }
    Surrounding { x: u32, surrounding: Conformant<u16, 1000> }
}

ndr_parameters! {
    /// `uint32 TestSleep([in] uint32 seconds)`: what it takes, and its result.
    #[derive(Debug, PartialEq)]
    pub struct TestSleep {
        pub seconds: u32,
    }
}

/// An `enum`, which is 16 bits wide in NDR and 32 in NDR64. Values without a
/// name are taken, too: smbtorture sends 76.
pub type Enum1 = Enum16;

ndr_enumeration! {
    /// A `[v1_enum] enum`, which is 32 bits wide, and takes no other values.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum Enum1Long: u32 {
        One = 1,
        Two = 2,
    }
}

ndr_union! {
    /// One of the enumerations, or both.
    #[derive(Debug, PartialEq)]
    pub enum Enum3: u16 {
        1 => Short(Enum1),
        2 => Both(Enum2),
    }
}

ndr_parameters! {
    /// `TestEnum([in, out] Enum1 *foo1, [in, out] Enum2 *foo2,
    /// [in, out, switch_is(*foo1)] Enum3 *foo3)`: what it takes, and what it
    /// gives.
    #[derive(Debug, PartialEq)]
    pub struct TestEnum {
        pub foo1: Enum1,
        pub foo2: Enum2,
        pub foo3: Enum3,
    }
}

ndr_parameters! {
    /// `TestSurrounding([in, out] Surrounding *data)`: what it takes, and what it
    /// gives.
    #[derive(Debug, PartialEq)]
    pub struct TestSurrounding {
        pub data: Surrounding,
    }
}

ndr_parameters! {
    /// `uint16 TestDoublePointer([in] uint16 ***data)`: what it takes, a
    /// reference to a pointer to a pointer.
    #[derive(Debug, PartialEq)]
    pub struct TestDoublePointerRequest {
        pub data: Option<Option<u16>>,
    }
}

ndr_parameters! {
    /// What `TestDoublePointer` gives.
    #[derive(Debug, PartialEq)]
    pub struct TestDoublePointerResponse {
        pub result: u16,
    }
}
