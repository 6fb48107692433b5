//! What a message says, as text that does not depend on what its parts are called.

/// The `Debug` form of a message without the names of its structures: only those of fields come from the schema
/// alone, where Kafka calls several structures of one API the same.
pub(crate) fn without_names(debug: &str) -> String {
    let mut parts = debug.split(" {");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = text.trim_end_matches(|c: char| c.is_alphanumeric()).len();
        text.truncate(name);
        text.push('{');
        text.push_str(part);
    }
    text
}
