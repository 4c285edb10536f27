//! Crockford's base32 of numbers of 128 bits: 26 digits, whose order as text is that of the numbers.

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;
/// Digits whose bits are taken from one word.
const OF_A_WORD: usize = 12;

/// The digits, highest first.
pub fn encode(number: u128) -> [u8; LENGTH] {
    let mut digits = [b'0'; LENGTH];
    let words = (0..).map(|nth| (number >> (5 * OF_A_WORD * nth)) as u64);
    for (digits, word) in digits.rchunks_mut(OF_A_WORD).zip(words) {
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            let value = (word >> (5 * place)) as usize & 31;
            *digit = DIGITS.get(value).copied().unwrap_or(b'0');
        }
    }
    digits
}

/// The number of 26 digits, in either case.
pub fn decode(text: &str) -> Option<u128> {
    if text.len() != LENGTH {
        return None;
    }
    text.bytes()
        .enumerate()
        .try_fold(0, |number: u128, (place, octet)| {
            let value = DIGITS
                .iter()
                .position(|digit| *digit == octet.to_ascii_uppercase())?;
            // 26 digits have two bits more than the number.
            (place > 0 || value < 8).then_some((number << 5) | value as u128)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read_back_and_sort_as_text() {
        let places = (0..128).map(|bit| 1 << bit);
        let mut numbers: Vec<u128> = places.chain([0, u128::MAX, u128::MAX / 3]).collect();
        numbers.sort_unstable();
        let texts: Vec<String> = numbers
            .iter()
            .map(|number| String::from_utf8(encode(*number).to_vec()).unwrap())
            .collect();
        assert!(texts.is_sorted());
        let read = texts.iter().map(|text| decode(text).unwrap());
        assert!(read.eq(numbers));
        assert_eq!(decode(&texts[9].to_lowercase()), decode(&texts[9]));
    }

    #[test]
    fn each_digit_stands_for_five_bits() {
        let text = "0123456789ABCDEFGHJKMNPQRS";
        let values = 0..26;
        let number = values.fold(0, |number: u128, value| (number << 5) | value);
        assert_eq!(encode(number), text.as_bytes());
    }

    #[test]
    fn what_is_no_number_is_none() {
        assert_eq!(decode(&"7".repeat(26)).map(encode), Some([b'7'; 26]));
        let bad = [
            "8".to_owned() + &"0".repeat(25),
            "0".repeat(25),
            "0".repeat(27),
            "0".repeat(25) + "U",
            "0".repeat(24) + "ü",
        ];
        for text in bad {
            assert_eq!(decode(&text), None, "{text}");
        }
    }
}
