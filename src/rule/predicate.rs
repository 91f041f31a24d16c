//! One test of one field, and the expressions rules are made of.

use super::pattern::{Case, Piece, Shape};
use crate::event::{FieldId, FieldTable};
use regex::Regex;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// What a test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The values of a field.
    Field(FieldId),
    /// Keywords: the message, the raw record and every value.
    Anywhere,
}

/// A test of a value. A list-valued field passes when any of its elements does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// The field is there, be it empty or null.
    Exists,
    /// The field is missing or null.
    Null,
    /// Text of a shape.
    Text(Shape, Case),
    /// A regular expression finds something.
    Regex(RegexTest),
    /// An address within a network.
    Cidr(Cidr),
    /// A number compared with another.
    Number(Comparison, Number),
    /// A part of a time compared with a number.
    Time(TimePart, Comparison, i64),
    /// Compared with the value of another field.
    SameAs(FieldId, Anchor, Case),
}

/// A compiled regular expression; equal when its text is.
#[derive(Debug, Clone)]
pub struct RegexTest {
    /// As compiled, flags in front.
    pub text: Box<str>,
    /// Ready to run.
    pub compiled: Regex,
}

impl PartialEq for RegexTest {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RegexTest {}

impl Hash for RegexTest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// A network: address and the number of leading bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// Its address.
    pub address: IpAddr,
    /// How many bits of it count.
    pub bits: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
                (address, Some(digits.then(|| bits.parse::<u8>().ok()).flatten()?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Self { address, bits })
    }

    /// Whether an address lies within; an IPv4 address written as IPv6 is one.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                let high = |bits: u32| bits.checked_shr(shift).unwrap_or(0);
                high(net.to_bits()) == high(address.to_bits())
            }
            (IpAddr::V6(net), _) => {
                let IpAddr::V6(address) = address else { return false };
                let shift = 128 - u32::from(self.bits);
                let high = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
                high(net.to_bits()) == high(address.to_bits())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
}

impl Comparison {
    /// As rules write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Eq => "eq",
            Self::Neq => "neq",
        }
    }

    /// From its written form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Lt, Self::Lte, Self::Gt, Self::Gte, Self::Eq, Self::Neq]
            .into_iter()
            .find(|comparison| comparison.as_str() == text)
    }

    /// Whether `left` compares so with `right`.
    pub fn holds<T: PartialOrd + Copy>(self, left: T, right: T) -> bool {
        match self {
            Self::Lt => left < right,
            Self::Lte => left <= right,
            Self::Gt => left > right,
            Self::Gte => left >= right,
            Self::Eq => left == right,
            Self::Neq => left != right,
        }
    }
}

/// A number of a rule; equal when its bits are.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// A part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimePart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    Day,
    /// ISO 8601 week, 1 to 53.
    Week,
    /// 1 to 12.
    Month,
    /// As written.
    Year,
}

impl TimePart {
    /// As rules write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// From its written form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year]
            .into_iter()
            .find(|part| part.as_str() == text)
    }
}

/// Where in a value another field's value must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// It is the whole value.
    Whole,
    /// At its beginning.
    Start,
    /// At its end.
    End,
    /// Anywhere in it.
    Inside,
}

/// A test of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Predicate {
    /// What is tested.
    pub target: Target,
    /// How.
    pub test: Test,
}

/// A condition over predicates, every name resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// All of them.
    And(Vec<Expr>),
    /// One of them.
    Or(Vec<Expr>),
    /// Not that.
    Not(Box<Expr>),
    /// A single test.
    Is(Box<Predicate>),
    /// A search identifier of the rule, for explanations.
    Named(Box<str>, Box<Expr>),
}

impl Expr {
    /// A single test.
    pub fn is(target: Target, test: Test) -> Self {
        Self::Is(Box::new(Predicate { target, test }))
    }

    /// All of them; one alone stands for itself.
    pub fn all(mut parts: Vec<Expr>) -> Self {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return only;
        }
        Self::And(parts)
    }

    /// One of them; one alone stands for itself.
    pub fn any(mut parts: Vec<Expr>) -> Self {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return only;
        }
        Self::Or(parts)
    }

    /// Calls `visit` for every predicate, in order.
    pub fn each<'e>(&'e self, visit: &mut impl FnMut(&'e Predicate)) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.each(visit)),
            Self::Not(inner) | Self::Named(_, inner) => inner.each(visit),
            Self::Is(predicate) => visit(predicate),
        }
    }

    /// Appends an unambiguous text of it: field names, not numbers, so that it is the same in
    /// every run.
    pub fn describe(&self, names: &FieldTable, out: &mut String) {
        let list = |word: &str, parts: &[Self], out: &mut String| {
            out.push_str(word);
            out.push('(');
            for part in parts {
                part.describe(names, out);
                out.push(';');
            }
            out.push(')');
        };
        match self {
            Self::And(parts) => list("and", parts, out),
            Self::Or(parts) => list("or", parts, out),
            Self::Not(inner) => list("not", std::slice::from_ref(inner), out),
            Self::Named(_, inner) => inner.describe(names, out),
            Self::Is(predicate) => out.push_str(&predicate.describe(names)),
        }
    }
}

impl Predicate {
    /// As a person reads it, for example `process.name|endswith: "sh"`.
    pub fn describe(&self, names: &FieldTable) -> String {
        let mut text = match self.target {
            Target::Field(field) => names.name(field).to_owned(),
            Target::Anywhere => "keyword".to_owned(),
        };
        let written = match &self.test {
            Test::Exists => write!(text, "|exists: true"),
            Test::Null => write!(text, ": null"),
            Test::Text(shape, case) => {
                if *case == Case::Exact {
                    text.push_str("|cased");
                }
                write_shape(shape, &mut text);
                Ok(())
            }
            Test::Regex(regex) => write!(text, "|re: {:?}", regex.text),
            Test::Cidr(cidr) => write!(text, "|cidr: {}/{}", cidr.address, cidr.bits),
            Test::Number(comparison, number) => {
                write!(text, "|{}: {}", comparison.as_str(), number.0)
            }
            Test::Time(part, comparison, number) => {
                write!(text, "|{}|{}: {number}", part.as_str(), comparison.as_str())
            }
            Test::SameAs(other, anchor, case) => {
                write!(text, "|fieldref|{anchor:?}|{case:?}: {}", names.name(*other))
            }
        };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        text
    }
}

fn write_shape(shape: &Shape, text: &mut String) {
    let (modifier, literal) = match shape {
        Shape::AnyText => ("", "*"),
        Shape::Exact(literal) => ("", &**literal),
        Shape::Prefix(literal) => ("|startswith", &**literal),
        Shape::Suffix(literal) => ("|endswith", &**literal),
        Shape::Contains(literal) => ("|contains", &**literal),
        Shape::Glob(pieces) => {
            text.push_str("|wildcards: ");
            for piece in pieces {
                match piece {
                    Piece::Any => text.push('*'),
                    Piece::One => text.push('?'),
                    Piece::Dash => text.push_str("<dash>"),
                    Piece::Text(literal) => text.extend(literal.escape_debug()),
                }
            }
            return;
        }
    };
    text.push_str(modifier);
    text.push_str(": \"");
    text.extend(literal.escape_debug());
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_both_families() {
        let inside =
            |net: &str, address: &str| Cidr::parse(net).unwrap().contains(address.parse().unwrap());
        assert!(inside("10.0.0.0/8", "10.255.1.2"));
        assert!(!inside("10.0.0.0/8", "11.0.0.0"));
        assert!(inside("0.0.0.0/0", "8.8.8.8"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(inside("2001:db8::/32", "2001:0DB8:0::1"));
        assert!(!inside("2001:db8::/32", "2001:db9::1"));
        assert!(inside("::/0", "::1"));
        for bad in ["10.0.0.0/33", "10.0.0/8", "::1/129", "10.0.0.0/", "10.0.0.0/+8", "x"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }
}
