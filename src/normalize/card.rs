//! Card numbers: found by length, first digit and check digit, masked but for six and four digits.
//!
//! PCI DSS 3.4 allows the first six and the last four digits to be shown. The first digit of
//! payment cards is 2 to 6 (ISO/IEC 7812-1), which leaves out most times and counters; the check
//! digit is Luhn's (ISO/IEC 7812-1, annex B).

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

/// Shortest card number.
pub(super) const DIGITS_MIN: usize = 13;
/// Longest card number.
const DIGITS_MAX: usize = 19;
/// The smallest number with that many digits.
pub(super) const NUMBER_MIN: i64 = 1_000_000_000_000;
/// Digits between two separators: cards are printed in groups of four, some of five or six.
const GROUP: std::ops::RangeInclusive<usize> = 3..=7;
const SHOWN_FIRST: usize = 6;
const SHOWN_LAST: usize = 4;

/// The text with its card numbers masked and how many there were; `None` when there is none.
pub(super) fn mask<'a>(text: &str, arena: &'a Bump) -> Option<(&'a str, u64)> {
    let bytes = text.as_bytes();
    let mut copy: Option<ArenaVec<'a, u8>> = None;
    let mut count = 0;
    let mut from = 0;
    while let Some((start, end)) = next_run(bytes, from) {
        from = end;
        let mut at = start;
        while let Some((card, after)) = next_card(bytes, at, end) {
            at = after;
            let Some((first, last)) = card else { continue };
            let copy = copy.get_or_insert_with(|| {
                let mut copy = ArenaVec::with_capacity_in(bytes.len(), arena);
                copy.extend_from_slice(bytes);
                copy
            });
            if let Some(part) = copy.get_mut(first..last) {
                cover(part);
            }
            count += 1;
        }
    }
    let masked = std::str::from_utf8(copy?.into_bump_slice()).ok()?;
    Some((masked, count))
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b' ' | b'-')
}

/// The next run of digits, blanks and dashes that is long enough. Every such run covers one of the
/// bytes at a distance of `DIGITS_MIN`, so that only these are looked at.
fn next_run(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut probe = from + DIGITS_MIN - 1;
    loop {
        let byte = *bytes.get(probe)?;
        if !is_part(byte) {
            probe += DIGITS_MIN;
            continue;
        }
        let before = bytes.get(from..probe)?.iter().rev().take_while(|byte| is_part(**byte));
        let start = probe - before.count();
        let behind = bytes.get(probe..)?.iter().take_while(|byte| is_part(**byte));
        let end = probe + behind.count();
        if end - start >= DIGITS_MIN {
            return Some((start, end));
        }
        probe = end + DIGITS_MIN;
    }
}

/// Where a card lies, if there is one, and where to go on.
type Found = (Option<(usize, usize)>, usize);

/// Looks at the first group of digits at or after a place; `None` at the end of the run.
fn next_card(bytes: &[u8], at: usize, end: usize) -> Option<Found> {
    let run = bytes.get(at..end)?;
    let start = at + run.iter().position(u8::is_ascii_digit)?;
    let mut groups = Groups { bytes, at: start, end, separator: None };
    let mut digits = 0;
    let mut best = None;
    let mut first_end = start;
    while let Some((length, group_end)) = groups.next_group() {
        let alone = digits == 0;
        if alone {
            first_end = group_end;
        }
        digits += length;
        if digits > DIGITS_MAX || (!alone && !GROUP.contains(&length)) {
            break;
        }
        if digits >= DIGITS_MIN
            && is_card(bytes.get(start..group_end)?)
            && !in_hexadecimal(bytes, start, group_end)
        {
            best = Some(group_end);
        }
        if alone && !GROUP.contains(&length) {
            break;
        }
    }
    Some((best.map(|end| (start, end)), best.unwrap_or(first_end)))
}

/// Groups of digits with one separator between each two, always the same.
struct Groups<'b> {
    bytes: &'b [u8],
    at: usize,
    end: usize,
    separator: Option<u8>,
}

impl Groups<'_> {
    fn next_group(&mut self) -> Option<(usize, usize)> {
        let run = self.bytes.get(self.at..self.end)?;
        let length = run.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        let end = self.at + length;
        match run.get(length).copied() {
            Some(separator) if self.separator.is_none_or(|known| known == separator) => {
                self.separator = Some(separator);
                self.at = end + 1;
            }
            _ => self.at = self.end,
        }
        Some((length, end))
    }
}

fn is_card(bytes: &[u8]) -> bool {
    if !bytes.first().is_some_and(|first| (b'2'..=b'6').contains(first)) {
        return false;
    }
    let digits = bytes.iter().rev().filter(|byte| byte.is_ascii_digit());
    let sum: u32 = digits
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte - b'0') * if at % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    let alike = bytes.iter().all(|byte| Some(byte) == bytes.first());
    sum.is_multiple_of(10) && !alike
}

/// Whether the digits are a part of a longer hexadecimal word, such as a hash or `0x…`. A single
/// letter is none: track 1 of a magnetic stripe writes the card as `%B4111…^NAME`.
fn in_hexadecimal(bytes: &[u8], start: usize, end: usize) -> bool {
    let back = |distance: usize| start.checked_sub(distance).and_then(|at| bytes.get(at)).copied();
    let before = match (back(2), back(1)) {
        (Some(b'0'), Some(b'x' | b'X')) => true,
        (Some(far), Some(near)) => near.is_ascii_hexdigit() && far.is_ascii_alphanumeric(),
        _ => false,
    };
    let after = match (bytes.get(end), bytes.get(end + 1)) {
        (Some(near), Some(far)) => near.is_ascii_hexdigit() && far.is_ascii_alphanumeric(),
        _ => false,
    };
    before || after
}

fn cover(card: &mut [u8]) {
    let digits = card.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hidden = SHOWN_FIRST..digits.saturating_sub(SHOWN_LAST);
    let digits = card.iter_mut().filter(|byte| byte.is_ascii_digit());
    for (number, byte) in digits.enumerate() {
        if hidden.contains(&number) {
            *byte = b'*';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> Option<(String, u64)> {
        mask(text, &Bump::new()).map(|(text, count)| (text.to_owned(), count))
    }

    #[test]
    fn cards_keep_six_and_four_digits() {
        for (text, wanted) in [
            ("pan=4111111111111111 ok", "pan=411111******1111 ok"),
            ("4111 1111 1111 1111", "4111 11** **** 1111"),
            ("5500-0000-0000-0004.", "5500-00**-****-0004."),
            ("3782 822463 10005", "3782 82***** 0005"),
            ("%B4111111111111111^ANN", "%B411111******1111^ANN"),
            ("x4222222222222y", "x422222***2222y"),
            ("6304000000000000000 z", "630400*********0000 z"),
            ("at 10 20 4111 1111 1111 1111 7", "at 10 20 4111 11** **** 1111 7"),
        ] {
            let wanted = wanted.replace("3782 82***** 0005", "3782 82**** *0005");
            assert_eq!(masked(text), Some((wanted, 1)), "{text}");
        }
        let two = "4111111111111111,5500000000000004";
        assert_eq!(masked(two), Some(("411111******1111,550000******0004".to_owned(), 2)));
    }

    #[test]
    fn other_numbers_stay() {
        for text in [
            "",
            "4111111111111112",
            "0x4111111111111111",
            "a94111111111111111",
            "4111111111111111c0ffee",
            "41111111111111111111",
            "14111111111111111",
            "1700000000000",
            "2026-11-21 22:00:00 123",
            "0000000000000000",
            "4111  1111  1111  1111",
            "4111 1111-1111 1111",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "MAC=01:02:03:04:05:06 LEN=60",
        ] {
            assert_eq!(masked(text), None, "{text}");
        }
    }

    #[test]
    fn a_card_is_found_at_every_place_of_a_line() {
        for before in 0..40 {
            for after in [0, 1, 5, 30] {
                let text = format!("{}4111111111111111{}", "x".repeat(before), "y".repeat(after));
                assert_eq!(masked(&text).map(|found| found.1), Some(1), "{before} {after}");
            }
        }
    }
}
