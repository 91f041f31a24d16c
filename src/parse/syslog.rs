//! Syslog headers: RFC 3164 as programs really write it, and RFC 5424 to the letter.

use super::zone::{Written, offset_seconds};
use crate::event::{Civil, Timestamp};
use nom::bytes::complete::{tag, take, take_till, take_while_m_n, take_while1};
use nom::character::complete::{char, one_of};
use nom::combinator::{map_opt, opt, peek, recognize, verify};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};

/// A tag without `]:` or `: ` in this many bytes is only its first word.
const TAG_MAX: usize = 128;

/// What nom answers; why a header is not one is never shown, only that it is not.
type Step<'a, T> = IResult<&'a str, T, ()>;

/// A header and the message behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header<'a> {
    /// Facility times eight plus severity.
    pub(super) priority: Option<u8>,
    pub(super) time: Written,
    pub(super) host: Option<&'a str>,
    /// The tag without module and process id.
    pub(super) program: Option<&'a str>,
    pub(super) pid: Option<i64>,
    /// What only RFC 5424 has.
    pub(super) extra: Option<Extra<'a>>,
    /// The text behind the header, trimmed.
    pub(super) message: &'a str,
}

/// The further parts of an RFC 5424 header; `-` is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extra<'a> {
    pub(super) version: &'a str,
    pub(super) procid: Option<&'a str>,
    pub(super) msgid: Option<&'a str>,
    /// The elements as written.
    pub(super) data: Option<&'a str>,
}

/// Reads a header of either kind, told apart by the version behind the priority.
pub(super) fn header(line: &str) -> Result<Header<'_>, &'static str> {
    if looks_like_rfc5424(line) { rfc5424(line) } else { rfc3164(line) }
}

fn looks_like_rfc5424(line: &str) -> bool {
    let mut start = (priority_text, digits(1, 4), char(' '));
    line.starts_with('<') && start.parse(line).is_ok()
}

fn priority_text(input: &str) -> Step<'_, &str> {
    delimited(char('<'), digits(1, 3), char('>')).parse(input)
}

fn digits<'a>(least: usize, most: usize) -> impl Parser<&'a str, Output = &'a str, Error = ()> {
    take_while_m_n(least, most, |c: char| c.is_ascii_digit())
}

fn number<'a>(least: usize, most: usize) -> impl Parser<&'a str, Output = u32, Error = ()> {
    map_opt(digits(least, most), |text: &str| text.parse().ok())
}

fn blanks(input: &str) -> Step<'_, &str> {
    take_while1(|c| c == ' ' || c == '\t').parse(input)
}

fn word(input: &str) -> Step<'_, &str> {
    take_while1(|c| c != ' ' && c != '\t').parse(input)
}

/// Reads `[<PRI>]TIME [HOST] TAG[[PID]]: MESSAGE`, the shape that RFC 3164 describes after the fact.
pub(super) fn rfc3164(line: &str) -> Result<Header<'_>, &'static str> {
    let (rest, priority) = opt(priority_text).parse(line).unwrap_or((line, None));
    let priority = match priority.map(str::parse::<u8>) {
        None => None,
        Some(Ok(code)) if code <= 191 => Some(code),
        Some(_) => return Err("the syslog priority is not between 0 and 191"),
    };
    let Ok((rest, time)) = time(rest) else {
        return Err("the line does not begin with a syslog time");
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    let mut header = Header {
        priority,
        time,
        host: None,
        program: None,
        pid: None,
        extra: None,
        message: rest.trim_ascii(),
    };
    if rest.starts_with("--- last message repeated ") {
        return Ok(header);
    }
    let Ok((after_host, first)) = word(rest) else { return Ok(header) };
    let bracketed = first.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let tagged = if let Some(name) = bracketed {
        header.program = Some(name);
        header.message = after_host.trim_ascii();
        return Ok(header);
    } else if first.ends_with(':') {
        rest
    } else {
        header.host = Some(first);
        after_host.trim_start_matches([' ', '\t'])
    };
    header.message = tagged.trim_ascii();
    if !tagged.starts_with("last message repeated ") {
        split_tag(tagged, &mut header);
    }
    Ok(header)
}

/// `Mmm dd HH:MM:SS` (also with a fraction or a year) or an ISO time, up to the blank behind it.
fn time(input: &str) -> Step<'_, Written> {
    if input.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return iso_time(input);
    }
    if let Some((civil, rest)) = usual_time(input) {
        return Ok((rest, Written::Yearless(civil)));
    }
    let (rest, month) = map_opt(take(3_usize), month_number).parse(input)?;
    let (rest, day) = preceded(blanks, number(1, 2)).parse(rest)?;
    let (rest, year) =
        opt(preceded(blanks, terminated(number(4, 4), peek(char(' '))))).parse(rest)?;
    let (rest, hour) = preceded(blanks, number(2, 2)).parse(rest)?;
    let (rest, minute) = preceded(char(':'), number(2, 2)).parse(rest)?;
    let (rest, second) = preceded(char(':'), number(2, 2)).parse(rest)?;
    let (rest, nanos) = opt(fraction).parse(rest)?;
    let (rest, _) = opt(char(':')).parse(rest)?;
    let civil = Civil {
        // A leap year, so that the 29th of February is a day.
        year: year.map_or(2000, |year| year as i32),
        month,
        day: day as u8,
        hour: hour as u8,
        minute: minute as u8,
        second: second as u8,
        nanos: nanos.unwrap_or(0),
    };
    let ends = rest.is_empty() || rest.starts_with([' ', '\t']);
    if !civil.is_valid() || !ends {
        return Err(nom::Err::Error(()));
    }
    Ok((rest, if year.is_some() { Written::Local(civil) } else { Written::Yearless(civil) }))
}

/// `Mmm dd HH:MM:SS` and a blank, as nearly every line has it: the same as [`time`] reads, by place.
fn usual_time(input: &str) -> Option<(Civil, &str)> {
    let (head, rest) = input.split_at_checked(15)?;
    let [m, o, n, b' ', d1, d2, b' ', h1, h2, b':', m1, m2, b':', s1, s2] =
        *head.as_bytes().first_chunk::<15>()?
    else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    let two = |high: u8, low: u8| Some(digit(high)? * 10 + digit(low)?);
    let civil = Civil {
        year: 2000,
        month: month([m, o, n])?,
        day: if d1 == b' ' { digit(d2)? } else { two(d1, d2)? },
        hour: two(h1, h2)?,
        minute: two(m1, m2)?,
        second: two(s1, s2)?,
        nanos: 0,
    };
    (rest.starts_with(' ') && civil.is_valid()).then_some((civil, rest))
}

fn month_number(name: &str) -> Option<u8> {
    month(*name.as_bytes().first_chunk()?).filter(|_| name.len() == 3)
}

fn month(name: [u8; 3]) -> Option<u8> {
    let names = [
        *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
        *b"Nov", *b"Dec",
    ];
    names.iter().position(|known| *known == name).map(|position| position as u8 + 1)
}

fn fraction(input: &str) -> Step<'_, u32> {
    let (rest, digits) = preceded(one_of(".,"), digits(1, 9)).parse(input)?;
    let scale = 10_u32.pow(9 - digits.len() as u32);
    let nanos = digits.parse::<u32>().map_or(0, |number| number * scale);
    let (rest, _) = take_till(|c: char| !c.is_ascii_digit()).parse(rest)?;
    Ok((rest, nanos))
}

fn iso_time(input: &str) -> Step<'_, Written> {
    let (civil, rest) = Civil::parse_iso(input).ok_or(nom::Err::Error(()))?;
    let (rest, zone) = take_till(|c| c == ' ' || c == '\t').parse(rest)?;
    if zone.is_empty() {
        return Ok((rest, Written::Local(civil)));
    }
    let offset = offset_seconds(zone).ok_or(nom::Err::Error(()))?;
    Ok((rest, Written::Instant(civil.at_offset(offset))))
}

/// Splits `TAG[PID]: message` or `TAG: message`; without either, the first word is the tag.
fn split_tag<'a>(text: &'a str, header: &mut Header<'a>) {
    let bytes = text.as_bytes();
    let near = bytes.get(..TAG_MAX).unwrap_or(bytes);
    let end = memchr::memchr_iter(b':', near).find(|at| {
        let bracket = at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b']');
        bracket || matches!(bytes.get(at + 1), None | Some(b' ' | b'\t' | b'\n'))
    });
    let (tag, message) = match end {
        Some(at) => (text.get(..at), text.get(at + 1..)),
        None => match word(text) {
            Ok((rest, first)) => (Some(first), Some(rest)),
            Err(_) => return,
        },
    };
    let (Some(tag), Some(message)) = (tag, message) else { return };
    header.message = message.trim_ascii();
    let (name, pid) = match tag.strip_suffix(']').and_then(|open| open.rsplit_once('[')) {
        Some((name, pid)) => (name, pid.parse().ok()),
        None => (tag, None),
    };
    header.pid = pid;
    let name = match name.strip_suffix(')').and_then(|open| open.rsplit_once('(')) {
        Some((name, _)) if !name.is_empty() => name,
        _ => name,
    };
    header.program = Some(name.trim_ascii()).filter(|name| !name.is_empty());
}

/// Reads an RFC 5424 header as section 6 of the RFC has it; names may be longer than it allows.
pub(super) fn rfc5424(line: &str) -> Result<Header<'_>, &'static str> {
    match strict(line) {
        Ok((message, mut header)) => {
            header.message = message.trim_ascii().trim_start_matches('\u{feff}').trim_ascii();
            Ok(header)
        }
        Err(_) => Err("the header is not that of RFC 5424"),
    }
}

fn strict(line: &str) -> Step<'_, Header<'_>> {
    let plain = |text: &&str| text.len() == 1 || !text.starts_with('0');
    let (rest, priority) = map_opt(verify(priority_text, plain), |text: &str| {
        text.parse::<u8>().ok().filter(|code| *code <= 191)
    })
    .parse(line)?;
    let version = verify(digits(1, 3), |text: &str| !text.starts_with('0'));
    let (rest, version) = terminated(version, char(' ')).parse(rest)?;
    let (rest, time) = terminated(strict_time, char(' ')).parse(rest)?;
    let part = || terminated(name, char(' '));
    let (rest, (host, program, procid, msgid)) = (part(), part(), part(), part()).parse(rest)?;
    let (rest, data) = structured_data(rest)?;
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(nom::Err::Error(()));
    }
    let extra = Extra { version, procid, msgid, data };
    let pid = procid.and_then(|text| text.parse().ok());
    let priority = Some(priority);
    let header = Header { priority, time, host, program, pid, extra: Some(extra), message: "" };
    Ok((rest, header))
}

/// Printable ASCII up to the next blank; `-` stands for nothing.
fn name(input: &str) -> Step<'_, Option<&str>> {
    let (rest, text) = take_while1(|c: char| c.is_ascii_graphic()).parse(input)?;
    Ok((rest, Some(text).filter(|text| *text != "-")))
}

fn strict_time(input: &str) -> Step<'_, Written> {
    if let Ok((rest, _)) = terminated(tag::<_, _, ()>("-"), peek(char(' '))).parse(input) {
        return Ok((rest, Written::Absent));
    }
    let (rest, text) = recognize(word).parse(input)?;
    let upper = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z');
    let date = text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    let parsed = Civil::parse_iso(text).filter(|(civil, zone)| {
        let coloned = *zone == "Z" || zone.len() == 6;
        upper && date && civil.second <= 59 && coloned && !text.contains(',')
    });
    let (civil, zone) = parsed.ok_or(nom::Err::Error(()))?;
    let offset = offset_seconds(zone).ok_or(nom::Err::Error(()))?;
    let time: Timestamp = civil.at_offset(offset);
    Ok((rest, Written::Instant(time)))
}

/// `-` or elements in brackets; one that breaks the rules of its inside ends at its first `]`.
fn structured_data(input: &str) -> Step<'_, Option<&str>> {
    if let Some(rest) = input.strip_prefix('-') {
        return Ok((rest, None));
    }
    let mut rest = input;
    while rest.starts_with('[') {
        let end = element_end(rest).or_else(|| memchr::memchr(b']', rest.as_bytes()));
        rest = end.and_then(|end| rest.get(end + 1..)).ok_or(nom::Err::Error(()))?;
    }
    let data = input.get(..input.len() - rest.len()).filter(|data| !data.is_empty());
    data.map(|data| (rest, Some(data))).ok_or(nom::Err::Error(()))
}

/// Where the bracket of the element closes that the text starts with, minding quotes and `\`.
fn element_end(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The parameters of every element in order: element, name, value as written (escapes kept).
pub(super) fn parameters(data: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut rest = data;
    let mut element = "";
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches([' ', ']']);
            if let Some(inside) = rest.strip_prefix('[') {
                let end = inside.find([' ', ']'])?;
                (element, rest) = inside.split_at_checked(end)?;
                continue;
            }
            let (name, quoted) = rest.split_once("=\"")?;
            let end = value_end(quoted)?;
            rest = quoted.get(end + 1..)?;
            return Some((element, name, quoted.get(..end)?));
        }
    })
}

fn value_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

#[cfg(test)]
mod tests;
