//! Types of configured values, the rules they obey, and how a text becomes a value.
//!
//! As in Kafka, surrounding blanks do not count, booleans ignore case, and a list is separated by commas
//! with optional blanks around them. A refusal names the key, the value and what is allowed.

use std::fmt;

/// The type of a configured value; the numbers are those of DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// 32 bits, signed.
    Int = 3,
    /// 16 bits, signed.
    Short = 4,
    /// 64 bits, signed.
    Long = 5,
    /// A floating-point number.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
}

/// What a value must obey besides its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Anything of the type.
    Any,
    /// A number, this or more.
    AtLeast(i64),
    /// A number in this range, both ends included.
    Between(i64, i64),
    /// A floating-point number from 0 to 1.
    Ratio,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list, perhaps empty, of these texts (any, where none are named).
    ListOf(&'static [&'static str]),
    /// A list that is not empty, of these texts.
    SomeOf(&'static [&'static str]),
    /// A list that is not empty.
    NotEmpty,
    /// A level of gzip: 1 to 9, or -1 for its own default.
    GzipLevel,
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
}

/// A value that obeys its type and rule. `Display` is the normal form, as DescribeConfigs shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// [`Kind::Boolean`]
    Boolean(bool),
    /// [`Kind::Int`], [`Kind::Short`] and [`Kind::Long`]
    Number(i64),
    /// [`Kind::Double`]
    Double(f64),
    /// [`Kind::String`] and [`Kind::Class`]
    Text(String),
    /// [`Kind::List`]
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            // The form with a point even for whole numbers, as Java prints it.
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Text(value) => value.fmt(f),
            Self::List(values) => f.write_str(&values.join(",")),
        }
    }
}

/// A text that is no value of its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {text} for configuration {key}: {allowed}")]
pub struct ValueError {
    /// The key.
    pub key: String,
    /// The text as it came.
    pub text: String,
    /// What is allowed.
    pub allowed: String,
}

/// Reads the text of a key.
pub fn parse(key: &str, text: &str, kind: Kind, rule: Rule) -> Result<Value, ValueError> {
    let refuse = |allowed: String| ValueError { key: key.to_owned(), text: text.to_owned(), allowed };
    let mut value = typed(text.trim(), kind).map_err(refuse)?;
    obeys(&value, rule).map_err(refuse)?;
    // As Kafka does, a list that is a set is taken without its repetitions.
    if let (Value::List(items), Rule::ListOf(_) | Rule::SomeOf(_) | Rule::NotEmpty) = (&mut value, rule) {
        let mut seen = std::collections::BTreeSet::new();
        items.retain(|item| seen.insert(item.clone()));
    }
    Ok(value)
}

fn typed(text: &str, kind: Kind) -> Result<Value, String> {
    let number = |min: i64, max: i64| match text.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
        _ => Err(format!("Not a number of type {}", name_of(kind))),
    };
    match kind {
        Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        Kind::Boolean => Err("Expected value to be either true or false".to_owned()),
        Kind::Short => number(i64::from(i16::MIN), i64::from(i16::MAX)),
        Kind::Int => number(i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Long => number(i64::MIN, i64::MAX),
        Kind::Double => match text.parse::<f64>() {
            Ok(number) if !number.is_nan() => Ok(Value::Double(number)),
            _ => Err("Not a number of type DOUBLE".to_owned()),
        },
        Kind::String | Kind::Class => Ok(Value::Text(text.to_owned())),
        Kind::List if text.is_empty() => Ok(Value::List(Vec::new())),
        Kind::List => Ok(Value::List(text.split(',').map(|item| item.trim().to_owned()).collect())),
    }
}

fn obeys(value: &Value, rule: Rule) -> Result<(), String> {
    match (rule, value) {
        (Rule::Any, _) => Ok(()),
        (Rule::AtLeast(min), Value::Number(number)) if *number < min => {
            Err(format!("Value must be at least {min}"))
        }
        (Rule::Between(min, max), Value::Number(number)) if !(min..=max).contains(number) => {
            Err(format!("Value must be between {min} and {max}"))
        }
        (Rule::GzipLevel, Value::Number(number)) if *number != -1 && !(1..=9).contains(number) => {
            Err("Value must be between 1 and 9 or equal to -1".to_owned())
        }
        (Rule::Ratio, Value::Double(number)) if !(0.0..=1.0).contains(number) => {
            Err("Value must be between 0 and 1".to_owned())
        }
        (Rule::OneOf(allowed), Value::Text(text)) if !allowed.contains(&text.as_str()) => {
            Err(format!("String must be one of: {}", allowed.join(", ")))
        }
        (Rule::ListOf(allowed), Value::List(items)) => items_of(items, allowed),
        (Rule::SomeOf(_) | Rule::NotEmpty, Value::List(items)) if items.is_empty() => {
            Err("The list must not be empty".to_owned())
        }
        (Rule::SomeOf(allowed), Value::List(items)) => items_of(items, allowed),
        (Rule::NotEmpty, Value::List(items)) => items_of(items, &[]),
        (Rule::ThrottledReplicas, Value::List(items)) if !throttled(items) => {
            Err("The value must be the literal '*' or a list of replicas in the following format: \
             [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                .to_owned())
        }
        _ => Ok(()),
    }
}

/// Nothing empty, and only what is allowed where `allowed` names anything.
fn items_of(items: &[String], allowed: &[&str]) -> Result<(), String> {
    for item in items {
        if item.is_empty() {
            return Err("The list must not have empty values".to_owned());
        }
        if !allowed.is_empty() && !allowed.contains(&item.as_str()) {
            return Err(format!("Each value must be one of: {}", allowed.join(", ")));
        }
    }
    Ok(())
}

fn throttled(items: &[String]) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let replica = |item: &String| {
        item.is_empty() || item.split_once(':').is_some_and(|(left, right)| number(left) && number(right))
    };
    items.iter().all(replica) || items.concat() == "*"
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "BOOLEAN",
        Kind::String => "STRING",
        Kind::Int => "INT",
        Kind::Short => "SHORT",
        Kind::Long => "LONG",
        Kind::Double => "DOUBLE",
        Kind::List => "LIST",
        Kind::Class => "CLASS",
    }
}

impl Value {
    /// The number; the key's type is known to be one.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("the key's type is a number, and its value {other} was parsed as one"),
        }
    }

    /// The boolean; the key's type is known to be one.
    pub fn boolean(&self) -> bool {
        match self {
            Self::Boolean(value) => *value,
            other => panic!("the key's type is a boolean, and its value {other} was parsed as one"),
        }
    }

    /// The floating-point number; the key's type is known to be one.
    pub fn double(&self) -> f64 {
        match self {
            Self::Double(value) => *value,
            other => panic!("the key's type is a double, and its value {other} was parsed as one"),
        }
    }

    /// The text; the key's type is known to be one.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(value) => value,
            other => panic!("the key's type is a text, and its value {other} was parsed as one"),
        }
    }

    /// The list; the key's type is known to be one.
    pub fn list(&self) -> &[String] {
        match self {
            Self::List(values) => values,
            other => panic!("the key's type is a list, and its value {other} was parsed as one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, kind: Kind, rule: Rule) -> Result<String, String> {
        parse("some.key", text, kind, rule).map(|value| value.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_have_a_normal_form() {
        for (text, kind, rule, expected) in [
            (" TRUE ", Kind::Boolean, Rule::Any, "true"),
            ("+5", Kind::Int, Rule::AtLeast(5), "5"),
            ("-1", Kind::Int, Rule::GzipLevel, "-1"),
            ("1", Kind::Double, Rule::Ratio, "1.0"),
            ("a , b,a", Kind::List, Rule::NotEmpty, "a,b"),
            ("0:1,0:1", Kind::List, Rule::ThrottledReplicas, "0:1,0:1"),
            (" ", Kind::List, Rule::ListOf(&["a"]), ""),
            ("*", Kind::List, Rule::ThrottledReplicas, "*"),
            ("0:1, 2:3", Kind::List, Rule::ThrottledReplicas, "0:1,2:3"),
            ("9223372036854775807", Kind::Long, Rule::Any, "9223372036854775807"),
        ] {
            assert_eq!(shown(text, kind, rule).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals_name_key_value_and_what_is_allowed() {
        for (text, kind, rule, allowed) in [
            ("yes", Kind::Boolean, Rule::Any, "Expected value to be either true or false"),
            ("", Kind::Int, Rule::Any, "Not a number of type INT"),
            ("2147483648", Kind::Int, Rule::Any, "Not a number of type INT"),
            ("32768", Kind::Short, Rule::Any, "Not a number of type SHORT"),
            ("1.5", Kind::Long, Rule::Any, "Not a number of type LONG"),
            ("NaN", Kind::Double, Rule::Any, "Not a number of type DOUBLE"),
            ("0", Kind::Int, Rule::AtLeast(1), "Value must be at least 1"),
            ("18", Kind::Int, Rule::Between(1, 17), "Value must be between 1 and 17"),
            ("0", Kind::Int, Rule::GzipLevel, "Value must be between 1 and 9 or equal to -1"),
            ("1.1", Kind::Double, Rule::Ratio, "Value must be between 0 and 1"),
            ("c", Kind::String, Rule::OneOf(&["a", "b"]), "String must be one of: a, b"),
            ("a,c", Kind::List, Rule::ListOf(&["a", "b"]), "Each value must be one of: a, b"),
            ("a,,b", Kind::List, Rule::NotEmpty, "The list must not have empty values"),
            ("", Kind::List, Rule::SomeOf(&["a"]), "The list must not be empty"),
        ] {
            let expected = format!("Invalid value {text} for configuration some.key: {allowed}");
            assert_eq!(shown(text, kind, rule), Err(expected));
        }
        for text in ["1:", "*,0:1", "a:b", "1:2:3"] {
            assert!(shown(text, Kind::List, Rule::ThrottledReplicas).is_err(), "{text}");
        }
    }
}
