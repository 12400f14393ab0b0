//! Macros that declare a type as IDL has it, and how it lies in a stub.

/// Declares a structure with its members in their order.
///
/// The whole is aligned to its most aligned member; in NDR64 it is filled up to
/// as much unless a conformant array ends it. A lifetime is that of the stub.
///
/// ```
/// epmapper::ndr_structure! {
///     /// A point, and what it is called.
///     #[derive(Debug, PartialEq)]
///     pub struct Point<'a> {
///         pub x: u32,
///         pub name: Option<epmapper::wire::stub::CharString<'a, 64>>,
///     }
/// }
/// ```
///
/// # Source
/// C706 14.3.7 and MS-RPCE 2.2.5.3.4.
#[macro_export]
macro_rules! ndr_structure {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(<$life:lifetime>)? {
        $($(#[$about:meta])* $member_vis:vis $member:ident: $type:ty),+ $(,)?
    }) => {
        $(#[$meta])* $vis struct $name $(<$life>)? {
            $($(#[$about])* $member_vis $member: $type),+
        }
        $crate::ndr_structure!(@lives $name $(<$life>)? { $($member: $type),+ });
    };
    (@lives $name:ident <$life:lifetime> $members:tt) => {
        $crate::ndr_structure!(@implement $life, $name<$life>, $members);
    };
    (@lives $name:ident $members:tt) => {
        $crate::ndr_structure!(@implement 'stub, $name, $members);
    };
    (@implement $life:lifetime, $self:ty, { $($member:ident: $type:ty),+ }) => {
        impl<$life> $crate::wire::stub::Ndr<$life> for $self {
            const LEAST: usize =
                0 $(+ <$type as $crate::wire::stub::Ndr<$life>>::LEAST)+;
            const CONFORMANT: bool =
                false $(|| <$type as $crate::wire::stub::Ndr<$life>>::CONFORMANT)+;
            type Head = $crate::ndr_structure!(@head $life, $($type),+);
            type Fixed = ($(<$type as $crate::wire::stub::Ndr<$life>>::Fixed,)+);

            fn alignment(syntax: $crate::wire::TransferSyntax) -> usize {
                let mut most = 1;
                $(most = most.max(<$type as $crate::wire::stub::Ndr<$life>>::alignment(syntax));)+
                most
            }

            fn read_head(
                r: &mut $crate::wire::stub::Reader<$life>,
                _: &'static str,
            ) -> Result<Self::Head, $crate::wire::DecodeError> {
                $crate::ndr_structure!(@read_head $life, r, $($member: $type),+)
            }

            fn read_fixed(
                r: &mut $crate::wire::stub::Reader<$life>,
                name: &'static str,
                head: Self::Head,
            ) -> Result<Self::Fixed, $crate::wire::DecodeError> {
                let alignment = Self::alignment(r.syntax());
                r.align(name, alignment)?;
                $crate::ndr_structure!(@read_fixed $life, r, head, [], $($member: $type),+);
                if !Self::CONFORMANT {
                    r.align64(name, alignment)?;
                }
                Ok(($($member,)+))
            }

            fn read_deferred(
                r: &mut $crate::wire::stub::Reader<$life>,
                _: &'static str,
                fixed: Self::Fixed,
            ) -> Result<Self, $crate::wire::DecodeError> {
                let ($($member,)+) = fixed;
                Ok(Self { $($member: <$type as $crate::wire::stub::Ndr<$life>>::read_deferred(
                    r, stringify!($member), $member,
                )?),+ })
            }

            fn write_head(&self, w: &mut $crate::wire::stub::Writer) {
                $($crate::wire::stub::Ndr::write_head(&self.$member, w);)+
            }

            fn write_fixed(&self, w: &mut $crate::wire::stub::Writer) {
                let alignment = Self::alignment(w.syntax());
                w.align(alignment);
                $($crate::wire::stub::Ndr::write_fixed(&self.$member, w);)+
                if !Self::CONFORMANT {
                    w.align64(alignment);
                }
            }

            fn write_deferred(&self, w: &mut $crate::wire::stub::Writer) {
                $($crate::wire::stub::Ndr::write_deferred(&self.$member, w);)+
            }
        }
    };
    // The head is that of the last member; the others have none.
    (@head $life:lifetime, $last:ty) => { <$last as $crate::wire::stub::Ndr<$life>>::Head };
    (@head $life:lifetime, $first:ty, $($rest:ty),+) => {
        $crate::ndr_structure!(@head $life, $($rest),+)
    };
    (@read_head $life:lifetime, $r:ident, $member:ident: $last:ty) => {
        <$last as $crate::wire::stub::Ndr<$life>>::read_head($r, stringify!($member))
    };
    (@read_head $life:lifetime, $r:ident, $member:ident: $first:ty, $($rest:tt)+) => {
        $crate::ndr_structure!(@read_head $life, $r, $($rest)+)
    };
    (@read_fixed $life:lifetime, $r:ident, $head:ident, [], $member:ident: $last:ty) => {
        let $member = <$last as $crate::wire::stub::Ndr<$life>>::read_fixed(
            $r, stringify!($member), $head,
        )?;
    };
    (@read_fixed $life:lifetime, $r:ident, $head:ident, [], $member:ident: $first:ty, $($rest:tt)+) => {
        let $member = <$first as $crate::wire::stub::Ndr<$life>>::read_fixed(
            $r, stringify!($member), (),
        )?;
        $crate::ndr_structure!(@read_fixed $life, $r, $head, [], $($rest)+);
    };
}

/// Declares the parameters of an operation in one direction: a structure with
/// [`Parameters`](crate::wire::stub::Parameters).
///
/// They lie one after the other, each with what it points to behind it; a
/// reference pointer among them is its pointee.
///
/// ```
/// epmapper::ndr_parameters! {
///     pub struct AddOne {
///         pub number: u32,
///     }
/// }
/// ```
#[macro_export]
macro_rules! ndr_parameters {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(<$life:lifetime>)? {
        $($(#[$about:meta])* $member_vis:vis $member:ident: $type:ty),* $(,)?
    }) => {
        $(#[$meta])* $vis struct $name $(<$life>)? {
            $($(#[$about])* $member_vis $member: $type),*
        }
        $crate::ndr_parameters!(@lives $name $(<$life>)? { $($member: $type),* });
    };
    (@lives $name:ident <$life:lifetime> $members:tt) => {
        $crate::ndr_parameters!(@implement $life, $name<$life>, $members);
    };
    (@lives $name:ident $members:tt) => {
        $crate::ndr_parameters!(@implement 'stub, $name, $members);
    };
    (@implement $life:lifetime, $self:ty, { $($member:ident: $type:ty),* }) => {
        impl<$life> $crate::wire::stub::Parameters<$life> for $self {
            #[allow(unused_variables)] // without parameters
            fn read(
                r: &mut $crate::wire::stub::Reader<$life>,
            ) -> Result<Self, $crate::wire::DecodeError> {
                Ok(Self { $($member: r.read(stringify!($member))?),* })
            }

            #[allow(unused_variables)] // without parameters
            fn write(&self, w: &mut $crate::wire::stub::Writer) {
                $(w.write(&self.$member);)*
            }
        }
    };
}

/// Declares a union by the type of its tag and its arms, encapsulated or not:
/// the tag is on the wire with both.
///
/// `()` is an empty arm. An arm `_` takes every other tag, and keeps it. That a
/// parameter which says the tag too agrees, the caller checks with `tag`.
///
/// ```
/// epmapper::ndr_union! {
///     #[derive(Debug, PartialEq)]
///     pub enum Number: u16 {
///         1 => Short(u16),
///         2 => Long(u32),
///         3 => Nothing(()),
///         _ => Other(u32),
///     }
/// }
/// assert_eq!(Number::Long(7).tag(), 2);
/// assert_eq!(Number::Other(9, 7).tag(), 9);
/// ```
///
/// # Source
/// C706 14.3.8; MS-RPCE 2.2.5.3.3: in NDR64 tag and arm are aligned to the most
/// aligned arm.
#[macro_export]
macro_rules! ndr_union {
    ($(#[$meta:meta])* $vis:vis enum $name:ident $(<$life:lifetime>)?: $tag:ty {
        $($(#[$about:meta])* $value:literal => $arm:ident($type:ty)),+
        $(, $(#[$other_about:meta])* _ => $other:ident($other_type:ty))? $(,)?
    }) => {
        $(#[$meta])* $vis enum $name $(<$life>)? {
            $($(#[$about])* $arm($type),)+
            $($(#[$other_about])* $other(u32, $other_type),)?
        }
        impl $(<$life>)? $name $(<$life>)? {
            /// The tag.
            #[allow(dead_code)] // where no caller asks
            $vis fn tag(&self) -> u32 {
                match self {
                    $(Self::$arm(_) => $value,)+
                    $(Self::$other(tag, _) => *tag,)?
                }
            }
        }
        $crate::ndr_union!(@lives $name $(<$life>)?: $tag = {
            $($value => $arm($type)),+ $(, _ => $other($other_type))?
        });
    };
    (@lives $name:ident <$life:lifetime>: $tag:ty = $arms:tt) => {
        $crate::ndr_union!(@implement $life, $name<$life>, $tag, $arms);
    };
    (@lives $name:ident: $tag:ty = $arms:tt) => {
        $crate::ndr_union!(@implement 'stub, $name, $tag, $arms);
    };
    (@implement $life:lifetime, $self:ty, $tag:ty, {
        $($value:literal => $arm:ident($type:ty)),+ $(, _ => $other:ident($other_type:ty))?
    }) => {
        const _: () = {
            use $crate::wire::stub::{Ndr, Reader, Tag, Writer};
            use $crate::wire::{DecodeError, DecodeFault, TransferSyntax};

            /// The fixed parts of the arms.
            pub enum Fixed<$life> {
                $($arm(<$type as Ndr<$life>>::Fixed),)+
                $($other(u32, <$other_type as Ndr<$life>>::Fixed),)?
            }

            impl<$life> Fixed<$life> {
                /// What the most aligned arm is aligned to.
                fn arms(syntax: TransferSyntax) -> usize {
                    let mut most = 1;
                    $(most = most.max(<$type as Ndr<$life>>::alignment(syntax));)+
                    $(most = most.max(<$other_type as Ndr<$life>>::alignment(syntax));)?
                    most
                }
            }

            impl<$life> Ndr<$life> for $self {
                const LEAST: usize = <$tag as Tag>::LEAST;
                type Head = ();
                type Fixed = Fixed<$life>;

                fn alignment(syntax: TransferSyntax) -> usize {
                    <$tag as Tag>::alignment(syntax).max(Fixed::<$life>::arms(syntax))
                }

                fn read_head(_: &mut Reader<$life>, _: &'static str) -> Result<(), DecodeError> {
                    Ok(())
                }

                fn read_fixed(
                    r: &mut Reader<$life>,
                    name: &'static str,
                    (): (),
                ) -> Result<Self::Fixed, DecodeError> {
                    let syntax = r.syntax();
                    r.align64(name, Self::alignment(syntax))?;
                    let at = r.input();
                    let tag = <$tag as Tag>::read(r, name)?;
                    r.align64(name, Fixed::<$life>::arms(syntax))?;
                    match tag {
                        $($value => Ok(Fixed::$arm(r.fixed::<$type>(name)?)),)+
                        $(tag => Ok(Fixed::$other(tag, r.fixed::<$other_type>(name)?)),)?
                        #[allow(unreachable_patterns)] // with an arm for every tag
                        tag => Err(at.fault(name, DecodeFault::Value(tag.into()))),
                    }
                }

                fn read_deferred(
                    r: &mut Reader<$life>,
                    name: &'static str,
                    fixed: Self::Fixed,
                ) -> Result<Self, DecodeError> {
                    match fixed {
                        $(Fixed::$arm(fixed) => {
                            <$type as Ndr<$life>>::read_deferred(r, name, fixed).map(Self::$arm)
                        })+
                        $(Fixed::$other(tag, fixed) => {
                            <$other_type as Ndr<$life>>::read_deferred(r, name, fixed)
                                .map(|value| Self::$other(tag, value))
                        })?
                    }
                }

                fn write_fixed(&self, w: &mut Writer) {
                    let syntax = w.syntax();
                    w.align64(Self::alignment(syntax));
                    <$tag as Tag>::write(w, self.tag());
                    w.align64(Fixed::<$life>::arms(syntax));
                    match self {
                        $(Self::$arm(value) => {
                            value.write_head(w);
                            value.write_fixed(w);
                        })+
                        $(Self::$other(_, value) => {
                            value.write_head(w);
                            value.write_fixed(w);
                        })?
                    }
                }

                fn write_deferred(&self, w: &mut Writer) {
                    match self {
                        $(Self::$arm(value) => value.write_deferred(w),)+
                        $(Self::$other(_, value) => value.write_deferred(w),)?
                    }
                }
            }
        };
    };
}

/// Declares an enumeration whose other values are refused: of `Enum16` where
/// IDL has a plain `enum`, of `u32` where it has `[v1_enum]`, of `u8` or `u16`
/// where it says so. Where peers send values without a name, take the number
/// itself instead.
///
/// ```
/// use epmapper::wire::stub::Enum16;
///
/// epmapper::ndr_enumeration! {
///     #[derive(Clone, Copy, Debug, PartialEq, Eq)]
///     pub enum Colour: Enum16 {
///         Red = 1,
///         Green = 2,
///     }
/// }
/// ```
#[macro_export]
macro_rules! ndr_enumeration {
    ($(#[$meta:meta])* $vis:vis enum $name:ident: $tag:ty {
        $($(#[$about:meta])* $variant:ident = $value:literal),+ $(,)?
    }) => {
        $(#[$meta])* $vis enum $name { $($(#[$about])* $variant = $value),+ }
        const _: () = {
            use $crate::wire::stub::{Ndr, Reader, Tag, Writer};
            use $crate::wire::{DecodeError, DecodeFault, TransferSyntax};

            impl<'stub> Ndr<'stub> for $name {
                const LEAST: usize = <$tag as Tag>::LEAST;
                type Head = ();
                type Fixed = Self;

                fn alignment(syntax: TransferSyntax) -> usize {
                    <$tag as Tag>::alignment(syntax)
                }

                fn read_head(_: &mut Reader<'stub>, _: &'static str) -> Result<(), DecodeError> {
                    Ok(())
                }

                fn read_fixed(
                    r: &mut Reader<'stub>,
                    name: &'static str,
                    (): (),
                ) -> Result<Self, DecodeError> {
                    let at = r.input();
                    match <$tag as Tag>::read(r, name)? {
                        $($value => Ok(Self::$variant),)+
                        value => Err(at.fault(name, DecodeFault::Value(value.into()))),
                    }
                }

                fn read_deferred(
                    _: &mut Reader<'stub>,
                    _: &'static str,
                    fixed: Self,
                ) -> Result<Self, DecodeError> {
                    Ok(fixed)
                }

                fn write_fixed(&self, w: &mut Writer) {
                    let value = match self {
                        $(Self::$variant => $value,)+
                    };
                    <$tag as Tag>::write(w, value);
                }
            }
        };
    };
}
