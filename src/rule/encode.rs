//! The encodings of Sigma's value modifiers, on bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How text becomes UTF-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Utf16 {
    /// `utf16le`, `wide`.
    Little,
    /// `utf16be`.
    Big,
    /// `utf16`: little endian behind a byte order mark.
    Marked,
}

/// The UTF-16 bytes of a text.
pub(super) fn utf16(text: &str, form: Utf16) -> Vec<u8> {
    let mark = (form == Utf16::Marked).then_some(0xfeff_u16);
    mark.into_iter()
        .chain(text.encode_utf16())
        .flat_map(|unit| match form {
            Utf16::Big => unit.to_be_bytes(),
            Utf16::Little | Utf16::Marked => unit.to_le_bytes(),
        })
        .collect()
}

/// Base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The three texts of which one is in the base64 of anything that contains these bytes: the
/// characters that depend on neighbouring bytes are cut at both ends.
pub(super) fn base64_offsets(bytes: &[u8]) -> Vec<String> {
    (0..3_usize)
        .filter_map(|offset| {
            let mut shifted = vec![b' '; offset];
            shifted.extend_from_slice(bytes);
            let encoded = base64(&shifted);
            let start = [0, 2, 3].get(offset)?;
            let cut = [0, 3, 2].get(shifted.len() % 3)?;
            let inner = encoded.get(*start..encoded.len().checked_sub(*cut)?)?;
            (!inner.is_empty()).then(|| inner.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_three_is_in_the_base64_of_whatever_contains_the_bytes() {
        let needle = "naïve/x".as_bytes();
        for before in 0..7 {
            for after in 0..7 {
                let mut bytes = vec![b'p'; before];
                bytes.extend_from_slice(needle);
                bytes.extend(std::iter::repeat_n(0xff, after));
                let encoded = base64(&bytes);
                let found = base64_offsets(needle).iter().filter(|o| encoded.contains(*o)).count();
                assert_eq!(found, 1, "{before} {after} {encoded}");
            }
        }
    }

    #[test]
    fn utf16_has_the_byte_order_asked_for() {
        assert_eq!(utf16("a€", Utf16::Little), [0x61, 0, 0xac, 0x20]);
        assert_eq!(utf16("a€", Utf16::Big), [0, 0x61, 0x20, 0xac]);
        assert_eq!(utf16("a", Utf16::Marked), [0xff, 0xfe, 0x61, 0]);
    }
}
