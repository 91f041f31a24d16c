//! Addresses as logs write them: told from names, without the IPv4-in-IPv6 prefix.

use std::net::Ipv6Addr;

/// The address in a text, if it is one: `::ffff:192.0.2.1` gives its last part, a zone index
/// (`fe80::1%eth0`) is cut. `None` for a name.
pub fn ip_text(text: &str) -> Option<&str> {
    if is_ipv4(text) {
        return Some(text);
    }
    if !text.contains(':') {
        return None;
    }
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    let address: Ipv6Addr = text.parse().ok()?;
    if address.to_ipv4_mapped().is_some() && text.contains('.') {
        return text.rsplit_once(':').map(|(_, mapped)| mapped);
    }
    Some(text)
}

/// Four numbers up to 255 without leading zeros, as the standard library has it; this is asked of
/// nearly every line.
fn is_ipv4(text: &str) -> bool {
    let (mut parts, mut digits, mut number) = (1, 0, 0_u32);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if digits == 0 || (digits < 3 && number > 0) => {
                digits += 1;
                number = number * 10 + u32::from(byte - b'0');
            }
            b'.' if digits > 0 && number <= 255 => {
                (digits, number) = (0, 0);
                parts += 1;
            }
            _ => return false,
        }
    }
    parts == 4 && digits > 0 && number <= 255
}

/// Whether a text says that there is nothing: what logs write for an absent value.
pub fn is_absent(text: &str) -> bool {
    matches!(text, "" | "-" | "?" | "(null)" | "[unknown]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_is_what_the_standard_library_takes_for_it() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.",
            ".1.2.3",
            "1..2.3",
            "256.1.1.1",
            "1.1.1.256",
            "1.1.1.1000",
            "00.0.0.0",
            "1.2.3.4 ",
            "a.b.c.d",
        ] {
            assert_eq!(is_ipv4(text), text.parse::<std::net::Ipv4Addr>().is_ok(), "{text}");
        }
    }

    #[test]
    fn addresses_are_told_from_names() {
        for (text, wanted) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("::FFFF:192.0.2.1", Some("192.0.2.1")),
            ("::ffff:c000:201", Some("::ffff:c000:201")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("192.0.2.256", None),
            ("till.example", None),
            ("2001:db8::1:x", None),
            ("", None),
        ] {
            assert_eq!(ip_text(text), wanted, "{text}");
        }
    }
}
