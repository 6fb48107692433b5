//! The syntax of Java's `.properties` files, exactly, and of `--override key=value`.
//!
//! A line is a natural line, or several joined by a backslash before the line end (the blanks that begin the
//! next one do not count). `#` and `!` begin a comment where they are a line's first character. A key ends
//! at the first unescaped `=`, `:` or blank. Escapes are `\t \n \r \f`, `\u` with four hexadecimal digits (a UTF-16
//! code unit), and a backslash before anything else stands for that character. A key that comes again replaces the
//! earlier.
//! One thing is left out: Java reads a lone backslash at the end of a file as an empty key. The bytes are
//! read as UTF-8, as Kafka's tools read them.

use super::Texts;

/// What a file or an override says that is not of that syntax.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// `\u` without four hexadecimal digits, or half of a surrogate pair.
    #[error("line {line}: \\u must be followed by the four hexadecimal digits of a character")]
    Escape {
        /// The line where the property begins, counted from 1.
        line: usize,
    },
    /// An override without `=` or without a key.
    #[error("--override {text}: expected key=value")]
    Override {
        /// The override as it came.
        text: String,
    },
}

/// Reads the text of a `.properties` file.
pub fn parse(text: &str) -> Result<Texts, PropertiesError> {
    let mut texts = Texts::new();
    for (line, logical) in logical_lines(text) {
        let (key, value) = split(&logical);
        let escape = || PropertiesError::Escape { line };
        let key = unescape(key).ok_or_else(escape)?;
        let value = unescape(value).ok_or_else(escape)?;
        texts.insert(key, value);
    }
    Ok(texts)
}

/// Reads `key=value`, as `--override` takes it. Blanks around the key and the value do not count.
pub fn parse_override(text: &str) -> Result<(String, String), PropertiesError> {
    let refused = || PropertiesError::Override { text: text.to_owned() };
    let (key, value) = text.split_once('=').ok_or_else(refused)?;
    if key.trim().is_empty() {
        return Err(refused());
    }
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// The logical lines that hold a property, with the number of their first natural line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = Vec::new();
    let mut natural = text.split('\n').enumerate();
    while let Some((index, line)) = natural.next() {
        if holds_nothing(line) {
            continue;
        }
        let mut logical = line.trim_start_matches(BLANKS).to_owned();
        while continues(&logical) {
            logical.pop();
            match natural.next() {
                // A line of which nothing was read has not begun: what follows may be empty, or a comment.
                Some((_, next)) if logical.is_empty() && holds_nothing(next) => break,
                Some((_, next)) => logical.push_str(next.trim_start_matches(BLANKS)),
                None => break,
            }
        }
        if !logical.is_empty() {
            lines.push((index + 1, logical));
        }
    }
    lines
}

/// Whether a natural line that begins a logical one is empty or a comment.
fn holds_nothing(line: &str) -> bool {
    let line = line.trim_start_matches(BLANKS);
    line.is_empty() || line.starts_with(['#', '!'])
}

const BLANKS: [char; 3] = [' ', '\t', '\x0c'];

/// Whether a line ends with an odd number of backslashes: an even number are escaped backslashes.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// Key and value, both still escaped. One separator counts, with blanks around it; so does a blank alone.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|character: char| {
        let ends = !escaped && (BLANKS.contains(&character) || character == '=' || character == ':');
        escaped = character == '\\' && !escaped;
        ends
    });
    let Some(end) = end else { return (line, "") };
    let rest = line[end..].trim_start_matches(BLANKS);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(BLANKS))
}

fn unescape(text: &str) -> Option<String> {
    let mut units = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    let push = |units: &mut Vec<u16>, character: char| {
        units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
    };
    while let Some(character) = characters.next() {
        if character != '\\' {
            push(&mut units, character);
            continue;
        }
        match characters.next() {
            Some('t') => push(&mut units, '\t'),
            Some('n') => push(&mut units, '\n'),
            Some('r') => push(&mut units, '\r'),
            Some('f') => push(&mut units, '\x0c'),
            Some('u') => {
                let digits = characters.as_str().get(..4)?;
                if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                units.push(u16::from_str_radix(digits, 16).ok()?);
                characters.nth(3);
            }
            Some(other) => push(&mut units, other),
            None => {}
        }
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, String) {
        parse(text).expect("the text is of the syntax").into_iter().next().expect("it has a property")
    }

    #[test]
    fn separators_blanks_and_escapes_are_javas() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("a:b", "a", "b"),
            ("a b", "a", "b"),
            ("  a \t=  b  ", "a", "b  "),
            ("a = = b", "a", "= b"),
            ("a : = b", "a", "= b"),
            ("a\\=b=c", "a=b", "c"),
            ("a\\ b c", "a b", "c"),
            ("a\\\\=b", "a\\", "b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("=b", "", "b"),
            ("a=\\t\\n\\r\\f\\q\\\\", "a", "\t\n\r\u{c}q\\"),
            ("a=\\u00e9\\uD83D\\uDE00", "a", "é😀"),
            ("a=é", "a", "é"),
            ("a=b\\\n   c", "a", "bc"),
            ("a=b\\\r\n\tc", "a", "bc"),
            ("a=b\\\\\nc=d", "a", "b\\"),
            ("a=b#c!", "a", "b#c!"),
            ("a=b\\", "a", "b"),
            ("a\\\n#=b", "a#", "b"),
            ("\\\n#=b\na=b", "a", "b"),
            ("\\\n\\\n a=b\n\\\n", "a", "b"),
            (
                "listeners=PLAINTEXT://:9092,CONTROLLER://:9093",
                "listeners",
                "PLAINTEXT://:9092,CONTROLLER://:9093",
            ),
        ] {
            assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn comments_and_empty_lines_hold_nothing() {
        // A backslash does not continue a comment.
        assert_eq!(parse("# a=b\n\n  ! c=d\n \t\n# e \\\nf=g\n").expect("fine").len(), 1);
        assert_eq!(parse("").expect("fine"), Texts::new());
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(one("a=1\ra=2"), ("a".to_owned(), "2".to_owned()));
    }

    #[test]
    fn bad_escapes_name_the_line() {
        for text in ["\na=\\u12", "\na=\\u12g4", "\na=\\uD83D", "\na=\\u+123"] {
            assert_eq!(parse(text), Err(PropertiesError::Escape { line: 2 }), "{text:?}");
        }
    }

    #[test]
    fn overrides_are_key_and_value() {
        assert_eq!(parse_override("a.b = c=d "), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert_eq!(parse_override("a="), Ok(("a".to_owned(), String::new())));
        for text in ["a", "=b", ""] {
            assert!(parse_override(text).is_err());
        }
    }
}
