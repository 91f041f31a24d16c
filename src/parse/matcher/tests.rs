use super::super::fields::{Binder, Sink};
use super::super::pattern::Pattern;
use super::*;
use crate::event::{FieldTable, Key, Value};
use bumpalo::Bump;
use proptest::prelude::*;

/// The fields of a match, as `name=value` in the order found; `None` without a match.
fn fields(pattern: &str, text: &str) -> Option<String> {
    let mut names = FieldTable::default();
    let mut binder = Binder::new(&mut names, "test.x");
    binder.map = vec![
        ("rhost".to_owned(), "source.ip?".to_owned()),
        ("uid".to_owned(), "user.id".to_owned()),
    ];
    let pattern = Pattern::compile(pattern, &mut binder).unwrap();
    let arena = Bump::new();
    let mut sink = Sink { fields: bumpalo::vec![in &arena], count: None };
    let mut run = Run::new(text, &mut sink);
    let matched = run.whole(&pattern.segments, 0);
    matched.then(|| {
        let show = |(key, value): &(Key<'_>, Value<'_>)| match key {
            Key::Id(id) => format!("{}={}", names.name(*id), value.as_text().unwrap_or_default()),
            Key::Name(name) => (*name).to_owned(),
        };
        sink.fields.iter().map(show).collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn holes_take_what_their_type_says() {
    for (pattern, text, wanted) in [
        ("a {x.b:word} c", "a b! c", Some("x.b=b!")),
        ("a {x.b:word}, c", "a b, c", Some("x.b=b")),
        ("a {x.b:word}", "a b c", None),
        ("a {x.b:word}", "a ", None),
        ("n={process.pid:int}", "n=-12", Some("process.pid=-12")),
        ("n={process.pid:int}", "n=99999999999999999999", None),
        ("p {source.port:port}", "p 65535", Some("source.port=65535")),
        ("p {source.port:port}", "p 65536", None),
        (
            "{source.ip:ip}:{source.port:port}",
            "192.0.2.1:22",
            Some("source.ip=192.0.2.1 source.port=22"),
        ),
        ("from {source.ip:ip}.", "from 192.0.2.1.", Some("source.ip=192.0.2.1")),
        ("from {source.ip:ip}", "from 2001:db8::1", Some("source.ip=2001:db8::1")),
        ("from {source.ip:ip}", "from till4", None),
        ("f {x.b:quoted} g", "f \"a b\" g", Some("x.b=a b")),
        ("f {x.b:quoted} g", "f 'a b' g", Some("x.b=a b")),
        ("f {x.b:quoted} g", "f 'a b g", None),
        ("f{:blanks}g", "f   g", Some("")),
        ("f{:blanks}g", "fg", Some("")),
        ("u {x.b:until(:)}: {x.c:rest}", "u a: b: c", Some("x.b=a x.c=b: c")),
        ("u {x.b:until(:)}: {x.c:rest}", "u a", None),
        (
            "z {*:kv}",
            "z rhost=192.0.2.1 uid=\"7 8\" x=1",
            Some("source.address=192.0.2.1 source.ip=192.0.2.1 user.id=7 8"),
        ),
        (
            "z {*:kv}",
            "z = =1 uid= rhost=till4 uid",
            Some("source.address=till4 source.domain=till4"),
        ),
        ("who {x.b:word}", "who -", Some("")),
    ] {
        assert_eq!(fields(pattern, text).as_deref(), wanted, "{pattern} on {text}");
    }
}

#[test]
fn optional_parts_and_alternatives_and_escapes() {
    for (pattern, text, wanted) in [
        ("a[ b {x.c:word}] d", "a b 1 d", Some("x.c=1")),
        ("a[ b {x.c:word}] d", "a d", Some("")),
        ("a[ b[ c]] d", "a b d", Some("")),
        ("(in|out) {x.c:word}", "out 1", Some("x.c=1")),
        ("(in|out) {x.c:word}", "off 1", None),
        ("f(x) \\[a\\] \\{b\\} \\(c|d\\) \\\\", "f(x) [a] {b} (c|d) \\", Some("")),
    ] {
        assert_eq!(fields(pattern, text).as_deref(), wanted, "{pattern} on {text}");
    }
}

#[test]
fn rest_ends_at_the_last_place_where_everything_else_fits() {
    let pattern = "for {x.u:rest} from {source.ip:ip}[ port {source.port:port}]";
    for (text, wanted) in [
        ("for a from 192.0.2.1 port 2", "x.u=a source.ip=192.0.2.1 source.port=2"),
        (
            "for a from 9.9.9.9 port 1 from 192.0.2.1",
            "x.u=a from 9.9.9.9 port 1 source.ip=192.0.2.1",
        ),
        ("for a from b from 192.0.2.1", "x.u=a from b source.ip=192.0.2.1"),
    ] {
        assert_eq!(fields(pattern, text).as_deref(), Some(wanted), "{text}");
    }
    assert_eq!(fields("u {x.u:rest}[ end]", "u a end end").as_deref(), Some("x.u=a end"));
    assert_eq!(fields("u {x.u:rest}[ end]", "u a").as_deref(), Some("x.u=a"));
    let hostile = format!("for a{}", " from x".repeat(REST_TRIES_MAX + 5));
    assert_eq!(fields(pattern, &hostile), None);
}

#[test]
fn patterns_that_cannot_mean_anything_are_refused() {
    let mut names = FieldTable::default();
    for (pattern, wanted) in [
        ("{x.a:rest}", "a pattern cannot start with a `rest` hole"),
        ("a {x.a}", "the hole `{x.a}` has no type"),
        ("a {x.a:wrod}", "unknown hole type `wrod`"),
        ("a {user.nmae:word}", "unknown field `user.nmae`"),
        ("a {source.port:word}", "a `word` hole cannot fill `source.port`, which is a Long"),
        ("a {source.ip:word}", "a `word` hole cannot fill `source.ip`, which is a Ip"),
        ("a {x.a:rest}{x.b:word}", "a `rest` hole must be followed by a literal"),
        ("a [b", "an optional part `[` is not closed"),
        ("a ]b", "a `]` closes nothing"),
        ("a {b", "a hole `{` is not closed"),
        ("a {x.a:until()}", "`until()` has no literal"),
        ("a {x.a:word(b)}", "`word` in"),
        ("a {*:kv} b", "a `kv` hole must end the pattern"),
        ("a[ {x.a:rest}] b", "a `rest` ends an optional part"),
        ("a\\", "the pattern ends with a lone `\\`"),
    ] {
        let complaint =
            Pattern::compile(pattern, &mut Binder::new(&mut names, "test.x")).unwrap_err();
        assert!(complaint.message.starts_with(wanted), "{pattern}: {}", complaint.message);
    }
}

proptest! {
    #[test]
    fn matching_never_panics_and_a_rest_is_what_stands_there(text in "\\PC*", user in "[^\\n]{0,20}") {
        fields("a[ {x.a:word}] {x.b:until(=)}={x.c:rest} from {source.address:host}[ port {source.port:port}]", &text);
        let line = format!("for {user} from 192.0.2.1");
        let found = fields("for {x.u:rest} from {source.ip:ip}", &line).unwrap();
        prop_assert!(found.ends_with("source.ip=192.0.2.1"));
    }
}
