//! Record values that tell whether they are whole: a number, then bytes that follow from it.

use crate::history::Value;

const NUMBER: usize = 8;

/// The bytes of a value, as long as asked for but long enough for its number.
pub fn encode(value: Value, length: usize) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    bytes.extend((NUMBER..length).map(|at| filler(value, at)));
    bytes
}

/// The value in these bytes, unless they are damaged.
pub fn decode(bytes: &[u8]) -> Result<Value, String> {
    let Some((number, rest)) = bytes.split_first_chunk::<NUMBER>() else {
        return Err(format!("{} bytes", bytes.len()));
    };
    let value = Value::from_be_bytes(*number);
    match rest.iter().enumerate().find(|(at, byte)| **byte != filler(value, NUMBER + at)) {
        Some((at, _)) => Err(format!("value {value}, byte {} is wrong", NUMBER + at)),
        None => Ok(value),
    }
}

/// Sixteen alike, then sixteen of the next: compression has something to do.
fn filler(value: Value, at: usize) -> u8 {
    (value as u8).wrapping_add((at / 16) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_and_damage_is_seen() {
        for length in [0, 8, 9, 500] {
            let bytes = encode(77, length);
            assert_eq!(bytes.len(), length.max(8));
            assert_eq!(decode(&bytes), Ok(77));
        }
        let mut damaged = encode(77, 100);
        damaged[50] ^= 1;
        assert_eq!(decode(&damaged), Err("value 77, byte 50 is wrong".to_owned()));
        assert_eq!(decode(b"short"), Err("5 bytes".to_owned()));
    }
}
