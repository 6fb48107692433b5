//! What a change at one place does to the CRC-32C of everything.
//!
//! A CRC is linear: the CRCs of two texts of equal length differ by a value that depends only on where the
//! texts differ. A difference followed by `n` more bytes is multiplied by x^8n, modulo the polynomial.

/// The difference that `head` makes to the CRC of a text when it stands `following` bytes before its end.
/// `head` is the difference of the CRCs of the two beginnings.
pub(super) fn shifted(head: u32, following: usize) -> u32 {
    let mut product = head;
    let mut bytes = following;
    let mut power = POWERS.iter().skip(3);
    while bytes != 0 {
        let factor = *power.next().expect("a batch has fewer than 2^37 bytes");
        if bytes & 1 != 0 {
            product = multiply(factor, product);
        }
        bytes >>= 1;
    }
    product
}

/// CRC-32C's polynomial, the lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// x^(2^n).
const POWERS: [u32; 40] = {
    let mut powers = [1 << 30; 40];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// The product of two polynomials modulo CRC-32C's.
const fn multiply(left: u32, mut right: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        // Masks instead of branches, which would be taken at random.
        product ^= right & 0u32.wrapping_sub(left >> bit & 1);
        right = right >> 1 ^ POLYNOMIAL & 0u32.wrapping_sub(right & 1);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_far_from_the_end_is_found_without_reading_on() {
        let tail: Vec<u8> = (0..70_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
        for following in (0..200).chain([1023, 4096, 65_535, 65_536, 70_000]) {
            let crc = |head: &[u8]| crc32c::crc32c(&[head, &tail[..following]].concat());
            let (old, new) = (b"an old beginning", b"a new beginning!");
            let head = crc32c::crc32c(old) ^ crc32c::crc32c(new);
            assert_eq!(crc(old) ^ shifted(head, following), crc(new), "{following} bytes follow");
        }
    }

    #[test]
    fn distances_of_any_size_agree_with_the_library() {
        for following in [1, 1 << 20, (1 << 31) - 1, i32::MAX as usize + 12] {
            assert_eq!(shifted(0x1234_5678, following), crc32c::crc32c_combine(0x1234_5678, 0, following));
        }
    }
}
