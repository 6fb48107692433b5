//! One declaration per message: `declare!` yields the structs, their defaults, and decoding and encoding for
//! every version.
//!
//! ```text
//! declare! {
//!     /// What it is for.
//!     message FetchRequest, 4..=18, flexible 12.. {     the versions; the first flexible one, or NEVER
//!         cluster_id: Option<String>, 12.., tag(0), ignorable;
//!         replica_id: i32, 0..=14, default(-1);         the versions that have the field; its default
//!         topics: Vec<FetchTopic>, 0..;
//!     }
//!     /// A part of it.
//!     struct FetchTopic {
//!         topic: String, 0..=12, ignorable;
//!     }
//! }
//! ```
//!
//! The attributes say what Kafka's schemas say:
//! - An `Option` is nullable in all versions that have it, or from `nullable(1..)` on.
//! - A field that the version lacks takes its default when decoded. Encoding any other value is an error,
//!   unless the field is `ignorable`: then it is left out.
//! - A `tag(0)` field stands in the tagged section, and only if it differs from its default: librdkafka 2.0
//!   takes a default that was sent for a statement. Tagged fields are declared in the order of their tags.
//!   Unknown tags are skipped.

use super::error::{DecodeError, EncodeError};
use super::primitives::{Reader, Writer};
use crate::types::Uuid;
use bytes::Bytes;

/// The first flexible version of a message that never became flexible.
pub(super) const NEVER: i16 = i16::MAX;

/// The version in which a message is decoded or encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The message's version.
    pub number: i16,
    /// Whether it has compact lengths and tagged fields (KIP-482).
    pub flexible: bool,
}

/// A type that a field of a message can have.
pub trait Field: Sized {
    /// Reads a value off the front.
    fn read(reader: &mut Reader<'_>, version: Version) -> Result<Self, DecodeError>;
    /// Appends the value.
    fn write(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError>;
    /// The fewest bytes that any value takes: what bounds the length of an array.
    fn bytes_min(version: Version) -> usize;
}

/// A type that can also be null. Its own `Field` is the non-nullable form.
pub trait Nullable: Field {
    /// Reads a value or null off the front.
    fn read_nullable(reader: &mut Reader<'_>, version: Version) -> Result<Option<Self>, DecodeError>;
    /// Appends a value or null.
    fn write_nullable(value: Option<&Self>, writer: &mut Writer, version: Version)
    -> Result<(), EncodeError>;
    /// The fewest bytes that null or any value takes.
    fn nullable_bytes_min(version: Version) -> usize {
        Self::bytes_min(version)
    }
}

impl<T: Nullable> Field for Option<T> {
    #[inline]
    fn read(reader: &mut Reader<'_>, version: Version) -> Result<Self, DecodeError> {
        T::read_nullable(reader, version)
    }

    #[inline]
    fn write(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), writer, version)
    }

    #[inline]
    fn bytes_min(version: Version) -> usize {
        T::nullable_bytes_min(version)
    }
}

macro_rules! fixed_size_fields {
    ($($type:ty, $method:ident, $bytes:literal;)*) => {
        $(
            impl Field for $type {
                #[inline]
                fn read(reader: &mut Reader<'_>, _version: Version) -> Result<Self, DecodeError> {
                    reader.$method()
                }

                #[inline]
                fn write(&self, writer: &mut Writer, _version: Version) -> Result<(), EncodeError> {
                    writer.$method(*self);
                    Ok(())
                }

                #[inline]
                fn bytes_min(_version: Version) -> usize {
                    $bytes
                }
            }
        )*
    };
}

fixed_size_fields! {
    bool, bool, 1;
    i8, i8, 1;
    i16, i16, 2;
    u16, u16, 2;
    i32, i32, 4;
    u32, u32, 4;
    i64, i64, 8;
    f64, f64, 8;
    Uuid, uuid, 16;
}

/// The three types whose null is a length: their `Field` is the nullable form with null excluded.
macro_rules! length_prefixed_field {
    ($({$t:ident})? $type:ty, $kind:literal, $classic_bytes:literal) => {
        impl$(<$t: Field>)? Field for $type {
            #[inline]
            fn read(reader: &mut Reader<'_>, version: Version) -> Result<Self, DecodeError> {
                match Self::read_nullable(reader, version)? {
                    Some(value) => Ok(value),
                    None => Err(DecodeError::UnexpectedNull { field: $kind, version: version.number }),
                }
            }

            #[inline]
            fn write(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
                Self::write_nullable(Some(self), writer, version)
            }

            #[inline]
            fn bytes_min(version: Version) -> usize {
                if version.flexible { 1 } else { $classic_bytes }
            }
        }
    };
}

length_prefixed_field!(String, "a string", 2);
length_prefixed_field!(Bytes, "a byte field", 4);
length_prefixed_field!({T} Vec<T>, "an array", 4);

impl Nullable for String {
    #[inline]
    fn read_nullable(reader: &mut Reader<'_>, version: Version) -> Result<Option<Self>, DecodeError> {
        match reader.string_length(version.flexible)? {
            Some(length) => Ok(Some(reader.string(length)?)),
            None => Ok(None),
        }
    }

    #[inline]
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        version: Version,
    ) -> Result<(), EncodeError> {
        writer.string(value.map(String::as_str), version.flexible)
    }
}

impl Nullable for Bytes {
    #[inline]
    fn read_nullable(reader: &mut Reader<'_>, version: Version) -> Result<Option<Self>, DecodeError> {
        match reader.length(version.flexible)? {
            Some(length) => Ok(Some(reader.bytes(length)?)),
            None => Ok(None),
        }
    }

    #[inline]
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        version: Version,
    ) -> Result<(), EncodeError> {
        writer.length(value.map(Bytes::len), version.flexible, "byte field")?;
        if let Some(bytes) = value {
            writer.bytes(bytes);
        }
        Ok(())
    }
}

impl<T: Field> Nullable for Vec<T> {
    #[inline]
    fn read_nullable(reader: &mut Reader<'_>, version: Version) -> Result<Option<Self>, DecodeError> {
        let Some(length) = reader.array_length(version.flexible, T::bytes_min(version))? else {
            return Ok(None);
        };
        let mut elements = Self::with_capacity(length);
        for _ in 0..length {
            elements.push(T::read(reader, version)?);
        }
        Ok(Some(elements))
    }

    #[inline]
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        version: Version,
    ) -> Result<(), EncodeError> {
        writer.length(value.map(Vec::len), version.flexible, "array")?;
        for element in value.into_iter().flatten() {
            element.write(writer, version)?;
        }
        Ok(())
    }
}

/// Whether something can be null, for the check against `nullable(..)`.
pub(super) trait IsNull {
    fn is_null(&self) -> bool;
}

impl<T> IsNull for Option<T> {
    #[inline]
    fn is_null(&self) -> bool {
        self.is_none()
    }
}

/// The tags of a struct, in the order of declaration, must rise: Kafka wants them sorted on the wire.
pub(super) const fn assert_tags_rise(tags: &[Option<u32>]) {
    let mut previous: Option<u32> = None;
    let mut index = 0;
    while index < tags.len() {
        if let Some(tag) = tags[index] {
            if let Some(previous) = previous {
                assert!(tag > previous, "tagged fields are declared in the order of their tags");
            }
            previous = Some(tag);
        }
        index += 1;
    }
}

/// See the module's documentation.
macro_rules! declare {
    ($(
        $(#[$meta:meta])*
        $kind:ident $name:ident $(, $versions:expr, flexible $flexible:tt ..)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty, $present:expr $(, $attribute:ident $(($value:expr))?)*;
            )*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $name {
                $($(#[$field_meta])* pub $field: $type,)*
            }

            impl Default for $name {
                #[inline]
                fn default() -> Self {
                    Self {
                        $($field: $crate::wire::declare::default_of!($type $(, $attribute $(($value))?)*),)*
                    }
                }
            }

            $crate::wire::declare::declare_field! {
                $name { $($field: $type, $present, [$($attribute $(($value))?),*];)* }
            }

            $(
                impl $crate::wire::Message for $name {
                    const NAME: &'static str = stringify!($name);
                    const VERSIONS: $crate::wire::VersionRange =
                        $crate::wire::VersionRange { min: *$versions.start(), max: *$versions.end() };
                    const FLEXIBLE_SINCE: i16 = $flexible;
                }
            )?
        )*
    };
}

/// How one struct of a declaration is read and written.
macro_rules! declare_field {
    ($name:ident { $($field:ident: $type:ty, $present:expr, [$($attribute:tt)*];)* }) => {
        impl $crate::wire::declare::Field for $name {
            #[inline]
            #[allow(unused, reason = "only tagged fields are assigned twice; some records have no fields at all")]
            fn read(
                reader: &mut $crate::wire::Reader<'_>,
                version: $crate::wire::declare::Version,
            ) -> Result<Self, $crate::wire::DecodeError> {
                use $crate::wire::declare::{default_of, nullable_check, tag_of, Field};
                const {
                    $crate::wire::declare::assert_tags_rise(&[$(tag_of!($($attribute)*)),*]);
                }
                $(
                    let untagged = const { tag_of!($($attribute)*).is_none() };
                    let mut $field: $type = if untagged && ($present).contains(&version.number) {
                        let value = <$type as Field>::read(reader, version)?;
                        nullable_check!(decode $name $field, &value, version, $($attribute)*);
                        value
                    } else {
                        default_of!($type, $($attribute)*)
                    };
                )*
                if version.flexible {
                    reader.tagged_fields(|tag, section| {
                        $(
                            if tag_of!($($attribute)*) == Some(tag) && ($present).contains(&version.number) {
                                $field = <$type as Field>::read(section, version)?;
                                return Ok(true);
                            }
                        )*
                        Ok(false)
                    })?;
                }
                Ok(Self { $($field),* })
            }

            #[inline]
            #[allow(unused, reason = "some records have no fields at all")]
            fn write(
                &self,
                writer: &mut $crate::wire::Writer,
                version: $crate::wire::declare::Version,
            ) -> Result<(), $crate::wire::EncodeError> {
                use $crate::wire::declare::{default_of, is_ignorable, nullable_check, tag_of, Field};
                let mut tagged_count = 0u32;
                $(
                    if !($present).contains(&version.number) {
                        if const { !is_ignorable!($($attribute)*) }
                            && self.$field != default_of!($type, $($attribute)*)
                        {
                            return Err($crate::wire::EncodeError::NotInVersion {
                                message: stringify!($name),
                                field: stringify!($field),
                                version: version.number,
                            });
                        }
                    } else if const { tag_of!($($attribute)*).is_some() } {
                        tagged_count += u32::from(self.$field != default_of!($type, $($attribute)*));
                    } else {
                        nullable_check!(encode $name $field, &self.$field, version, $($attribute)*);
                        Field::write(&self.$field, writer, version)?;
                    }
                )*
                if version.flexible {
                    writer.unsigned_varint(tagged_count);
                    $(
                        if let Some(tag) = const { tag_of!($($attribute)*) }
                            && ($present).contains(&version.number)
                            && self.$field != default_of!($type, $($attribute)*)
                        {
                            writer.unsigned_varint(tag);
                            writer.sized(|writer| Field::write(&self.$field, writer, version))?;
                        }
                    )*
                }
                Ok(())
            }

            #[inline]
            #[allow(unused, reason = "some records have no fields at all")]
            fn bytes_min(version: $crate::wire::declare::Version) -> usize {
                use $crate::wire::declare::tag_of;
                let mut bytes = usize::from(version.flexible);
                $(
                    if ($present).contains(&version.number) && const { tag_of!($($attribute)*).is_none() } {
                        bytes += <$type as $crate::wire::declare::Field>::bytes_min(version);
                    }
                )*
                bytes
            }
        }

        impl $crate::wire::declare::Nullable for $name {
            fn read_nullable(
                reader: &mut $crate::wire::Reader<'_>,
                version: $crate::wire::declare::Version,
            ) -> Result<Option<Self>, $crate::wire::DecodeError> {
                // A negative byte says null, any other that the structure follows.
                if reader.i8()? < 0 {
                    return Ok(None);
                }
                $crate::wire::declare::Field::read(reader, version).map(Some)
            }

            fn write_nullable(
                value: Option<&Self>,
                writer: &mut $crate::wire::Writer,
                version: $crate::wire::declare::Version,
            ) -> Result<(), $crate::wire::EncodeError> {
                let Some(value) = value else {
                    writer.i8(-1);
                    return Ok(());
                };
                writer.i8(1);
                $crate::wire::declare::Field::write(value, writer, version)
            }

            fn nullable_bytes_min(_version: $crate::wire::declare::Version) -> usize {
                1
            }
        }
    };
}

/// The value of the attribute `default(..)`, else the type's own default.
macro_rules! default_of {
    ($type:ty, default($value:expr) $(, $($rest:tt)*)?) => { $value };
    ($type:ty, $other:ident $(($value:expr))? $(, $($rest:tt)*)?) => {
        $crate::wire::declare::default_of!($type, $($($rest)*)?)
    };
    ($type:ty $(,)?) => { <$type>::default() };
}

/// The value of the attribute `tag(..)`, if any.
macro_rules! tag_of {
    (tag($value:expr) $(, $($rest:tt)*)?) => { Some($value as u32) };
    ($other:ident $(($value:expr))? $(, $($rest:tt)*)?) => { $crate::wire::declare::tag_of!($($($rest)*)?) };
    () => { None::<u32> };
}

/// Whether the attribute `ignorable` is there.
macro_rules! is_ignorable {
    (ignorable $(, $($rest:tt)*)?) => { true };
    ($other:ident $(($value:expr))? $(, $($rest:tt)*)?) => {
        $crate::wire::declare::is_ignorable!($($($rest)*)?)
    };
    () => { false };
}

/// Refuses null in versions outside of the attribute `nullable(..)`.
macro_rules! nullable_check {
    ($direction:ident $name:ident $field:ident, $checked:expr, $version:ident,
     nullable($range:expr) $(, $($rest:tt)*)?) => {
        if !($range).contains(&$version.number) && $crate::wire::declare::IsNull::is_null($checked) {
            return Err($crate::wire::declare::nullable_check!(@$direction $name $field $version));
        }
    };
    ($direction:ident $name:ident $field:ident, $checked:expr, $version:ident,
     $other:ident $(($value:expr))? $(, $($rest:tt)*)?) => {
        $crate::wire::declare::nullable_check!(
            $direction $name $field, $checked, $version, $($($rest)*)?
        )
    };
    ($direction:ident $name:ident $field:ident, $checked:expr, $version:ident, ) => {};
    (@decode $name:ident $field:ident $version:ident) => {
        $crate::wire::DecodeError::UnexpectedNull {
            field: concat!(stringify!($name), ".", stringify!($field)),
            version: $version.number,
        }
    };
    (@encode $name:ident $field:ident $version:ident) => {
        $crate::wire::EncodeError::UnexpectedNull {
            message: stringify!($name),
            field: stringify!($field),
            version: $version.number,
        }
    };
}

pub(super) use {declare, declare_field, default_of, is_ignorable, nullable_check, tag_of};

#[cfg(test)]
#[expect(unreachable_pub, reason = "what is declared is public, wherever it stands")]
mod tests {
    use crate::types::Uuid;
    use crate::wire::{DecodeError, EncodeError, Message, Reader, Writer};
    use bytes::Bytes;

    declare! {
        /// One of everything.
        message Sample, 1..=4, flexible 3.. {
            number: i32, 0.., default(-1);
            gone: String, 0..=1;
            lossy: i64, 2.., default(7), ignorable;
            maybe: Option<Vec<Part>>, 0.., nullable(2..), default(Some(Vec::new()));
            low: i8, 3.., tag(0), ignorable;
            high: Option<Part>, 4.., tag(5);
        }

        /// A part.
        struct Part {
            name: Option<String>, 0..;
            id: Uuid, 4..;
        }
    }

    fn encoded(sample: &Sample, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        sample.encode(&mut writer, version)?;
        Ok(writer.into_bytes())
    }

    fn decoded(bytes: &[u8], version: i16) -> Result<Sample, DecodeError> {
        let bytes = Bytes::copy_from_slice(bytes);
        let mut reader = Reader::new(&bytes);
        let sample = Sample::decode(&mut reader, version)?;
        reader.finish()?;
        Ok(sample)
    }

    #[test]
    fn fields_stand_in_their_versions_only() {
        let sample = Sample { number: 1, gone: "x".into(), ..Sample::default() };
        let bytes = encoded(&sample, 1).unwrap();
        assert_eq!(&bytes[..], b"\0\0\0\x01\0\x01x\0\0\0\0");
        assert_eq!(decoded(&bytes, 1), Ok(sample));
        let bytes = encoded(&Sample::default(), 2).unwrap();
        assert_eq!(&bytes[..], b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x07\0\0\0\0");
        assert_eq!(decoded(&bytes, 2), Ok(Sample::default()));
    }

    #[test]
    fn what_a_version_lacks_is_dropped_only_if_ignorable() {
        let lossy = Sample { lossy: 9, low: 1, ..Sample::default() };
        assert_eq!(encoded(&lossy, 1), encoded(&Sample::default(), 1));
        let gone = Sample { gone: "x".into(), ..Sample::default() };
        assert_eq!(
            encoded(&gone, 2),
            Err(EncodeError::NotInVersion { message: "Sample", field: "gone", version: 2 })
        );
        let high = Sample { high: Some(Part::default()), ..Sample::default() };
        assert_eq!(
            encoded(&high, 3),
            Err(EncodeError::NotInVersion { message: "Sample", field: "high", version: 3 })
        );
    }

    #[test]
    fn null_is_for_versions_that_allow_it() {
        let null = Sample { maybe: None, ..Sample::default() };
        assert_eq!(
            encoded(&null, 1),
            Err(EncodeError::UnexpectedNull { message: "Sample", field: "maybe", version: 1 })
        );
        assert_eq!(
            decoded(b"\0\0\0\x01\0\0\xff\xff\xff\xff", 1),
            Err(DecodeError::UnexpectedNull { field: "Sample.maybe", version: 1 })
        );
        assert_eq!(
            decoded(b"\0\0\0\x01\xff\xff\0\0\0\0", 1),
            Err(DecodeError::UnexpectedNull { field: "a string", version: 1 })
        );
        assert_eq!(decoded(&encoded(&null, 2).unwrap(), 2), Ok(null));
    }

    #[test]
    fn tagged_fields_are_sent_unless_default_and_in_order() {
        assert_eq!(encoded(&Sample::default(), 4).unwrap().last(), Some(&0));
        let part = Part { name: Some("p".into()), id: Uuid(3) };
        let sample = Sample { low: 4, high: Some(part), ..Sample::default() };
        let bytes = encoded(&sample, 4).unwrap();
        let expected =
            [b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x07\x01\x02\0\x01\x04\x05\x14\x01\x02p", &[0; 15][..], &[3, 0]]
                .concat();
        assert_eq!(bytes, expected);
        assert_eq!(decoded(&bytes, 4), Ok(sample));
    }

    #[test]
    fn unknown_tagged_fields_are_skipped() {
        let start = b"\0\0\0\x01\0\0\0\0\0\0\0\x07\x01";
        let known = Sample { number: 1, low: 4, ..Sample::default() };
        let tagged = |section: &[u8], version| decoded(&[start, section].concat(), version);
        assert_eq!(tagged(b"\x02\0\x01\x04\x09\x02zz", 3), Ok(known.clone()));
        assert_eq!(tagged(b"\x02\0\x01\x04\x05\x02zz", 3), Ok(known), "tag 5 is unknown in version 3");
        assert_eq!(
            tagged(b"\x01\0\x02\x04\x04", 3),
            Err(DecodeError::TaggedFieldTooLong { tag: 0, excess: 1 })
        );
        assert_eq!(
            tagged(b"\xff\xff\xff\xff\x0f", 3),
            Err(DecodeError::Truncated { needed: 1, remaining: 0 }),
            "four billion tagged fields end with the bytes"
        );
        assert_eq!(
            tagged(b"\x01\x07\xff\xff\xff\xff\x0f", 3),
            Err(DecodeError::Truncated { needed: 0xffff_ffff, remaining: 0 })
        );
    }

    #[test]
    fn versions_outside_of_the_range_are_refused() {
        for version in [-1, 0, 5] {
            assert_eq!(
                decoded(&[], version),
                Err(DecodeError::UnsupportedVersion { message: "Sample", version })
            );
            assert_eq!(
                encoded(&Sample::default(), version),
                Err(EncodeError::UnsupportedVersion { message: "Sample", version })
            );
        }
    }
}
