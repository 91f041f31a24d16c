//! Addresses as logs write them: told from names, without the IPv4-in-IPv6 prefix.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The address in a text, if it is one: `::ffff:192.0.2.1` gives its last part, a zone index
/// (`fe80::1%eth0`) is cut. `None` for a name.
pub fn ip_text(text: &str) -> Option<&str> {
    if !text.contains(':') {
        return text.parse::<Ipv4Addr>().ok().map(|_| text);
    }
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    let address: Ipv6Addr = text.parse().ok()?;
    if address.to_ipv4_mapped().is_some() && text.contains('.') {
        return text.rsplit_once(':').map(|(_, mapped)| mapped);
    }
    Some(text)
}

/// Whether a text says that there is nothing: what logs write for an absent value.
pub fn is_absent(text: &str) -> bool {
    matches!(text, "" | "-" | "?" | "(null)" | "[unknown]")
}

#[cfg(test)]
mod tests {
    use super::*;

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
