//! What a topic may be called.

/// The longest name, so that a directory `name-partition.hash-delete` stays within 255 bytes.
const MAX_LENGTH: usize = 249;

/// The name of the metadata topic, which nobody creates.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Why a name cannot be a topic's: INVALID_TOPIC_EXCEPTION.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// It is `.` or `..`.
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Dots(String),
    /// It is too long.
    #[error("Topic name is invalid: the length of '{0}' is longer than the max allowed length {MAX_LENGTH}")]
    Long(String),
    /// It has a character that is not allowed.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, \
         '.', '_' and '-'"
    )]
    Characters(String),
}

/// Checks a topic's name.
pub fn check(name: &str) -> Result<(), NameError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match name {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Dots(name.to_owned())),
        _ if name.chars().count() > MAX_LENGTH => Err(NameError::Long(name.to_owned())),
        _ if !name.bytes().all(legal) => Err(NameError::Characters(name.to_owned())),
        _ => Ok(()),
    }
}

/// The form in which two names are the same to metrics, which know no `.`; `None` for a name that has
/// neither `.` nor `_` and collides with no other.
pub fn unified(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

/// Whether a topic belongs to the cluster itself.
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        for name in ["a", "A.b_c-9", "...", "__consumer_offsets", &"x".repeat(249)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(check(".."), Err(NameError::Dots("..".to_owned())));
        assert_eq!(check(&"x".repeat(250)), Err(NameError::Long("x".repeat(250))));
        for name in ["a b", "a/b", "é", "a\0", "a:b"] {
            assert_eq!(check(name), Err(NameError::Characters(name.to_owned())));
        }
    }

    #[test]
    fn dots_and_underscores_are_the_same_to_metrics() {
        assert_eq!(unified("a.b_c"), unified("a_b.c"));
        assert_eq!(unified("a-b"), None);
    }
}
