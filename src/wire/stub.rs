//! Stubs of other people's interfaces, declared as their IDL has them.
//!
//! Holds a typed reader and writer over [`ndr`](super::ndr): what is declared
//! once is read and written in NDR 2.0 of both byte orders and in NDR64. Leaves
//! out floating point numbers, pipes and arrays of more than one dimension.
//! Always holds: no memory is taken for a count before the octets left and the
//! limit bear it out, and pointers nest at most [`MAX_DEPTH`] deep, so a stub
//! of a stranger costs an error at worst. What was read takes the memory of the
//! Rust types: an array of unions as much for an empty arm as for the longest,
//! a hundred times its octets where one is long; limits of arrays bound that.
//!
//! | IDL | here |
//! |---|---|
//! | `char`, `uint8`, `short`, `long`, `hyper`, `[v1_enum]` | `u8`, `i8` … `u64`, `i64` |
//! | `boolean`; `BOOL` | `bool`; [`Bool32`] |
//! | `enum` | [`Enum16`], or [`ndr_enumeration!`](crate::ndr_enumeration) |
//! | `GUID`, context handle | `Uuid`, [`ContextHandle`](super::ndr::ContextHandle) |
//! | `T *` at top level, `[ref]` | `T` |
//! | `T *` in a structure, `[ref]` | [`Ref<T>`] |
//! | `T *`, `[unique]` | `Option<T>`, or `Option<Box<T>>` |
//! | `T *`, `[ptr]` | [`Full<T>`] |
//! | `T a[N]` | `[T; N]` |
//! | `T a[]`, `[size_is]` | [`Conformant<T>`]; of octets [`Octets`] |
//! | `T a[]`, `[size_is, length_is]` | [`ConformantVarying<T>`] |
//! | `T a[N]`, `[length_is]` | [`Bounded<ConformantVarying<T>, N>`](Bounded) |
//! | `char *`, `wchar_t *`, `[string]` | [`CharString`], [`WideString`], in an `Option` when `[unique]` |
//! | `char a[N]`, `[string]` | [`Bounded<CharString, N>`](Bounded) |
//! | `struct`, `union` | [`ndr_structure!`](crate::ndr_structure), [`ndr_union!`](crate::ndr_union) |
//!
//! What an operation takes and what it gives are two lists of parameters, each
//! declared by [`ndr_parameters!`](crate::ndr_parameters): the `[in]` ones in
//! their order, the `[out]` ones with the result last.
//!
//! # Example
//!
//! An interface with one operation, in IDL:
//!
//! ```idl
//! typedef struct { long id; [unique, string] wchar_t *name; } USER;
//! long FindUsers([in, string] wchar_t *pattern, [in] long most,
//!     [out] long *count, [out, size_is(,*count)] USER **users);
//! ```
//!
//! In Rust, the shapes first:
//!
//! ```
//! use epmapper::wire::stub::{Conformant, Parameters, WideString};
//! use epmapper::wire::{ByteOrder, TransferSyntax};
//!
//! epmapper::ndr_structure! {
//!     #[derive(Debug, PartialEq)]
//!     pub struct User {
//!         pub id: u32,
//!         pub name: Option<WideString>,
//!     }
//! }
//! epmapper::ndr_parameters! {
//!     /// What `FindUsers` takes.
//!     #[derive(Debug, PartialEq)]
//!     pub struct FindUsers {
//!         pub pattern: WideString<64>, // of 64 characters at most
//!         pub most: u32,
//!     }
//! }
//! epmapper::ndr_parameters! {
//!     /// What `FindUsers` gives.
//!     #[derive(Debug, PartialEq)]
//!     pub struct FoundUsers {
//!         pub count: u32,
//!         pub users: Option<Conformant<User, 1000>>,
//!         pub status: u32,
//!     }
//! }
//!
//! // The client writes its request in the order and the syntax of its choice,
//! let (order, syntax) = (ByteOrder::Little, TransferSyntax::Ndr);
//! let asked = FindUsers { pattern: "a*".into(), most: 10 };
//! let stub = asked.encode(order, syntax);
//!
//! // and the server reads it in that which the call names.
//! let request = FindUsers::decode(&stub, order, syntax)?;
//! assert_eq!(request.pattern.to_string(), "a*");
//!
//! // The answer likewise, its pointers numbered by the writer.
//! let alice = User { id: 7, name: Some("alice".into()) };
//! let found = FoundUsers { count: 1, users: Some(vec![alice].into()), status: 0 };
//! let stub = found.encode(order, syntax);
//! assert_eq!(FoundUsers::decode(&stub, order, syntax)?, found);
//!
//! // A stub cut short says where and in which field.
//! let error = FindUsers::decode(&asked.encode(order, syntax)[..10], order, syntax);
//! assert_eq!(error.unwrap_err().to_string(), "pattern at octet 8: cut short, 2 octets left");
//! # Ok::<(), epmapper::wire::DecodeError>(())
//! ```
//!
//! # Source
//! C706 chapter 14; MS-RPCE 2.2.4 and 2.2.5.

mod array;
mod declare;
mod pointer;
mod reader;
mod scalar;
mod text;
mod writer;

pub use array::{Bounded, Conformant, ConformantVarying, Octets};
pub use pointer::{Full, Ref};
pub use reader::{MAX_DEPTH, Reader};
pub use scalar::{Bool32, Enum16, Tag};
pub use text::{CharString, WideString};
pub use writer::Writer;

use super::drep::ByteOrder;
use super::input::DecodeError;
use super::syntax::TransferSyntax;

/// A limit of counts that leaves them to what is left of the stub.
pub const UNLIMITED: u64 = u64::MAX;

/// A type that lies in a stub; `'a` is how long the stub lives.
///
/// A value is in up to three places. Its head, the maximum counts of an array
/// that ends it, stands before the outermost structure that it ends. Its fixed
/// part stands where the value belongs. What its pointers point to is deferred
/// until the fixed part of the outermost construct has ended. [`Reader::read`]
/// and [`Writer::write`] put the three together.
///
/// Declared types get it by the macros; by hand it is seldom written.
///
/// # Source
/// C706 14.3.7.1 and 14.3.12.3.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no form in a stub",
    note = "the page of `epmapper::wire::stub` says what stands for which type of IDL: `WideString` for a string, `Conformant<T>` for an array"
)]
pub trait Ndr<'a>: Sized {
    /// The fewest octets that the fixed part has in any transfer syntax.
    const LEAST: usize;

    /// How many octets it takes on the stack while it is read.
    const SIZE: usize = size_of::<Self>();
    /// Whether it is an array, or ends in one, whose maximum is in the head.
    const CONFORMANT: bool = false;
    /// What the head says.
    type Head;
    /// What the fixed part says, a referent id for each pointer.
    type Fixed;

    /// What the fixed part is aligned to, a power of two.
    fn alignment(syntax: TransferSyntax) -> usize;

    /// Reads the head.
    ///
    /// # Errors
    /// `Truncated` when the octets end.
    fn read_head(r: &mut Reader<'a>, name: &'static str) -> Result<Self::Head, DecodeError>;

    /// Reads the fixed part.
    ///
    /// # Errors
    /// As the type has it.
    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        head: Self::Head,
    ) -> Result<Self::Fixed, DecodeError>;

    /// Reads what was deferred, and makes the value.
    ///
    /// # Errors
    /// As the types pointed to have it.
    fn read_deferred(
        r: &mut Reader<'a>,
        name: &'static str,
        fixed: Self::Fixed,
    ) -> Result<Self, DecodeError>;

    /// Writes the head.
    fn write_head(&self, _: &mut Writer) {}

    /// Writes the fixed part.
    fn write_fixed(&self, w: &mut Writer);

    /// Writes what was deferred.
    fn write_deferred(&self, _: &mut Writer) {}
}

/// The parameters of an operation in one direction, in their order.
///
/// [`ndr_parameters!`](crate::ndr_parameters) declares them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of parameters",
    note = "`epmapper::ndr_parameters!` declares one"
)]
pub trait Parameters<'a>: Sized {
    /// Reads them.
    ///
    /// # Errors
    /// As the parameters' types have it.
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Writes them.
    fn write(&self, w: &mut Writer);

    /// Reads them from a stub. What is left behind them is not looked at: some
    /// peers pad their stubs.
    ///
    /// # Errors
    /// As [`Reader::new`] and [`read`](Self::read).
    fn decode(
        stub: &'a [u8],
        order: ByteOrder,
        syntax: TransferSyntax,
    ) -> Result<Self, DecodeError> {
        Self::read(&mut Reader::new(stub, order, syntax)?)
    }

    /// Writes them as a stub.
    fn encode(&self, order: ByteOrder, syntax: TransferSyntax) -> Vec<u8> {
        let mut stub = Vec::new();
        self.write(&mut Writer::new(&mut stub, order, syntax));
        stub
    }
}
