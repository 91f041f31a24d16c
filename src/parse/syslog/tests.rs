use super::*;

fn parts(line: &str) -> (Option<&str>, Option<&str>, Option<i64>, &str) {
    let header = rfc3164(line).unwrap();
    (header.host, header.program, header.pid, header.message)
}

#[test]
fn tags_as_programs_write_them() {
    for (line, wanted) in [
        ("Mar  3 10:00:01 pos7 sshd[412]: hello", (Some("pos7"), Some("sshd"), Some(412), "hello")),
        ("<13>Mar 3 10:00:01 pos7 sudo:   ann : x", (Some("pos7"), Some("sudo"), None, "ann : x")),
        ("Mar  3 10:00:01 pos7 login(pam_unix)[9]: x", (Some("pos7"), Some("login"), Some(9), "x")),
        ("Mar  3 10:00:01 sshd[8]: no host", (None, Some("sshd"), Some(8), "no host")),
        ("Mar  3 10:00:01 su: no host", (None, Some("su"), None, "no host")),
        ("Mar  3 10:00:01 [sshd] bracket", (None, Some("sshd"), None, "bracket")),
        ("Mar  3 10:00:01 pos7  -- root[5]: in", (Some("pos7"), Some("-- root"), Some(5), "in")),
        ("Mar  3 10:00:01 pos7 till says hi", (Some("pos7"), Some("till"), None, "says hi")),
        ("Mar  3 10:00:01 pos7 a b: c", (Some("pos7"), Some("a b"), None, "c")),
        (
            "Mar  3 10:00:01 pos7 kernel: IN=eth0 MAC=a:b",
            (Some("pos7"), Some("kernel"), None, "IN=eth0 MAC=a:b"),
        ),
        ("2026-03-03T10:00:01.5+01:00 pos7 x[y]: z", (Some("pos7"), Some("x"), None, "z")),
        (
            "Mar  3 10:00:01 --- last message repeated 3 times ---",
            (None, None, None, "--- last message repeated 3 times ---"),
        ),
        (
            "Mar  3 10:00:01 pos7 last message repeated 3 times",
            (Some("pos7"), None, None, "last message repeated 3 times"),
        ),
        ("Mar  3 10:00:01", (None, None, None, "")),
        ("Mar  3 10:00:01 pos7", (Some("pos7"), None, None, "")),
    ] {
        assert_eq!(parts(line), wanted, "{line}");
    }
}

#[test]
fn what_does_not_begin_with_a_time_is_refused() {
    for line in [
        "",
        "hello world",
        "Mar 32 10:00:01 pos7 x: y",
        "Mar  3 25:00:01 pos7 x: y",
        "Mar  3 10:00:01x pos7 x: y",
        "<192>Mar  3 10:00:01 pos7 x: y",
        "<13> Mar  3 10:00:01 pos7 x: y",
        "2026-03-03T10:00:01+99:00 pos7 x: y",
        "März 3 10:00:01 pos7 x: y",
    ] {
        assert!(rfc3164(line).is_err(), "{line}");
    }
}

#[test]
fn bsd_times_may_have_a_fraction_or_a_year() {
    let time = |line| match rfc3164(line).unwrap().time {
        Written::Yearless(civil) => format!("?-{}-{} {}", civil.month, civil.day, civil.nanos),
        Written::Local(civil) => format!("{}-{}-{}", civil.year, civil.month, civil.day),
        other => format!("{other:?}"),
    };
    assert_eq!(time("Feb 29 01:02:03.250 h t: m"), "?-2-29 250000000");
    assert_eq!(time("Feb  1 2026 01:02:03 h t: m"), "2026-2-1");
    assert_eq!(time("2026-02-01T01:02:03.5 h t: m"), "2026-2-1");
}

#[test]
fn rfc5424_keeps_every_part() {
    let line = "<165>1 2026-03-03T10:00:01.003Z pos7 till 77 ID47 [a@1 k=\"v \\\"]\\\" w\" n=\"2\"][e] \u{feff}hello";
    let header = header(line).unwrap();
    assert_eq!(header.priority, Some(165));
    assert_eq!((header.host, header.program, header.pid), (Some("pos7"), Some("till"), Some(77)));
    let extra = header.extra.unwrap();
    assert_eq!((extra.version, extra.procid, extra.msgid), ("1", Some("77"), Some("ID47")));
    let found: Vec<_> = parameters(extra.data.unwrap()).collect();
    assert_eq!(found, [("a@1", "k", "v \\\"]\\\" w"), ("a@1", "n", "2")]);
    assert_eq!(header.message, "hello");
}

#[test]
fn rfc5424_is_strict_about_its_header_and_lenient_inside_an_element() {
    assert_eq!(rfc5424("<1>1 - - - - - [a b=c] m").unwrap().message, "m");
    assert_eq!(rfc5424("<0>999 - - - - - -").unwrap().message, "");
    for line in [
        "<1>1",
        "<01>1 - - - - - -",
        "<192>1 - - - - - -",
        "<1>0 - - - - - -",
        "<1>1000 - - - - - -",
        "<1>1 2026-03-03T10:00:60Z - - - - -",
        "<1>1 2026-03-03t10:00:01Z - - - - -",
        "<1>1 2026-03-03T10:00:01 - - - - -",
        "<1>1 2026-02-30T10:00:01Z - - - - -",
        "<1>1 - - - - -",
        "<1>1 - - - - - [a",
        "<1>1 - - - - - -x",
    ] {
        assert!(rfc5424(line).is_err(), "{line}");
    }
}
