//! Log text made harmless to show: whoever can write a log line must not move a cursor, hide a
//! word, turn the reading direction or call a whole channel.

/// Text for a terminal or a log line: what cannot be seen is written as an escape, at most `max`
/// characters (UTF-16 units) in all, `…` in place of what is cut.
pub(crate) fn shown(text: &str, max: usize) -> String {
    bounded(text, max, push_visible)
}

/// Text inside Slack's `mrkdwn`: as [`shown`], with the three characters that start its commands as
/// entities, and `@channel`, `@here` and `@everyone` broken by a word joiner.
pub(super) fn mrkdwn(text: &str, max: usize) -> String {
    let mut quiet = String::with_capacity(text.len().min(max * 4));
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        quiet.push_str(before);
        quiet.push('@');
        let calls = ["channel", "here", "everyone"].iter().any(|name| {
            after.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        if calls {
            quiet.push(WORD_JOINER);
        }
        rest = after;
    }
    quiet.push_str(rest);
    bounded(&quiet, max, |c, out| match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        WORD_JOINER => out.push(c),
        _ => push_visible(c, out),
    })
}

/// Text inside a code span or block of Slack, which no backtick may end.
pub(super) fn mrkdwn_code(text: &str, max: usize) -> String {
    mrkdwn(text, max).replace('`', "ˋ")
}

/// Keeps two words apart for a machine and together for a reader.
const WORD_JOINER: char = '\u{2060}';

fn push_visible(c: char, out: &mut String) {
    if is_hidden(c) { out.extend(c.escape_default()) } else { out.push(c) }
}

/// Control characters, and what Unicode has to hide text, to turn its direction (UAX 9) or to
/// break its line.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Escapes character by character and stops before the limit, so that no escape is cut in two and
/// the work does not grow with a text that is mostly cut off.
fn bounded(text: &str, max: usize, escape: impl Fn(char, &mut String)) -> String {
    let mut out = String::new();
    let mut piece = String::new();
    let (mut units, mut fits) = (0, 0);
    for c in text.chars() {
        piece.clear();
        escape(c, &mut piece);
        units += piece.encode_utf16().count();
        if units > max {
            out.truncate(fits);
            out.push('…');
            return out;
        }
        out.push_str(&piece);
        if units < max {
            fits = out.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        for (given, wanted) in [
            ("plain, ünïcode, 日本", "plain, ünïcode, 日本"),
            ("\x1b[31mred\x07", "\\u{1b}[31mred\\u{7}"),
            ("a\nb\r\tc\0", "a\\nb\\r\\tc\\u{0}"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            ("\u{9b}2J\u{2066}x\u{feff}\u{e0041}", "\\u{9b}2J\\u{2066}x\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(shown(given, 100), wanted);
        }
    }

    #[test]
    fn a_cut_never_divides_an_escape_and_keeps_the_limit() {
        assert_eq!(shown("abcdef", 6), "abcdef");
        assert_eq!(shown("abcdefg", 6), "abcde…");
        assert_eq!(shown("abcd\u{1b}x", 6), "abcd…");
        assert_eq!(mrkdwn("a<<<<", 10), "a&lt;&lt;…");
        let astral = "😀".repeat(100);
        assert_eq!(shown(&astral, 10).encode_utf16().count(), 9);
        let long = shown(&"\u{1b}".repeat(1_000_000), 50);
        assert!(long.encode_utf16().count() <= 50 && long.ends_with('…'), "{long}");
    }

    #[test]
    fn slack_sees_no_commands_and_no_calls() {
        assert_eq!(mrkdwn("<!channel> <@U123> a&b", 100), "&lt;!channel&gt; &lt;@U123&gt; a&amp;b");
        assert_eq!(
            mrkdwn("@Here @everyone me@here.example me@example", 100),
            "@\u{2060}Here @\u{2060}everyone me@\u{2060}here.example me@example"
        );
        assert_eq!(mrkdwn_code("a```b", 100), "aˋˋˋb");
    }
}
