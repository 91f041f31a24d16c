//! An HTTP/1.1 answer from its bytes (RFC 9112), as far as one needs it with `Connection: close`.

/// Status and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    /// For example 200.
    pub(super) status: u16,
    /// The body, its transfer coding undone.
    pub(super) body: Vec<u8>,
}

/// Reads a whole answer. `None` when it is not one, or breaks off.
pub(super) fn read(bytes: &[u8]) -> Option<Answered> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let rest = rest.get(4..)?;
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    if !first.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status: u16 = first.next()?.parse().ok()?;
    if (100..200).contains(&status) {
        return read(rest);
    }
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |name: &str| {
        fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let body = match (field("transfer-encoding"), field("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => chunks(rest)?,
        (Some(_), _) => return None,
        (None, Some(length)) => rest.get(..length.parse().ok()?)?.to_vec(),
        (None, None) => rest.to_vec(),
    };
    Some(Answered { status, body })
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(rest, b"\r\n")?;
        let (size, after) = rest.split_at_checked(end)?;
        let size = std::str::from_utf8(size).ok()?;
        let size = size.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (chunk, after) = after.get(2..)?.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: &[u8]) -> Option<(u16, String)> {
        read(bytes).map(|read| (read.status, String::from_utf8(read.body).unwrap()))
    }

    #[test]
    fn bodies_by_length_in_chunks_and_to_the_end() {
        let wanted = |status: u16, text: &str| Some((status, text.to_owned()));
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-length: 2\r\n\r\n{}extra"), wanted(200, "{}"));
        assert_eq!(
            body(b"HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            wanted(409, "abc0123456789")
        );
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\nrest"), wanted(200, "rest"));
        assert_eq!(
            body(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
            wanted(204, "")
        );
    }

    #[test]
    fn what_breaks_off_or_is_no_answer_is_none() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        ] {
            assert_eq!(read(bytes), None, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
