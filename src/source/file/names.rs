//! How rotated files are called: `auth.log.1`, `auth.log-20261121`, `app-1.log` are rotations of
//! `auth.log` and `app.log`.

/// Ends of names that say the content is compressed.
const COMPRESSED: &[&str] = &[".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".zip"];

/// Whether the name says that the content is compressed.
pub(super) fn is_compressed(name: &str) -> bool {
    COMPRESSED.iter().any(|end| name.ends_with(end))
}

/// Whether a file of this name can be a rotated `base` in the same folder.
pub(super) fn is_rotation_of(name: &str, base: &str) -> bool {
    if is_compressed(name) || name == base {
        return false;
    }
    if name.strip_prefix(base).is_some_and(is_suffix) {
        return true;
    }
    base.rsplit_once('.').is_some_and(|(stem, extension)| {
        name.strip_prefix(stem)
            .and_then(|rest| rest.strip_suffix(extension))
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(is_suffix)
    })
}

/// The names whose rotation a file of this name can be, the likeliest first.
pub(super) fn bases(name: &str) -> impl Iterator<Item = String> {
    let cut = |text: &str| {
        let start = text.rfind(['.', '-', '_'])?;
        let (mut head, mut tail) = text.split_at_checked(start)?;
        if !is_suffix(tail) {
            return None;
        }
        while let Some(before) = head.rfind(['.', '-', '_']) {
            let (shorter, longer) = text.split_at_checked(before)?;
            if !is_suffix(longer) {
                break;
            }
            (head, tail) = (shorter, longer);
        }
        (!head.is_empty() && !tail.is_empty()).then(|| head.to_owned())
    };
    let trailing = cut(name);
    let middle = name
        .rsplit_once('.')
        .and_then(|(stem, extension)| cut(stem).map(|stem| format!("{stem}.{extension}")));
    trailing.into_iter().chain(middle)
}

/// How many rotations ago, if the name is numbered: 2 for `a.log.2`, 0 for `a.log`.
pub(super) fn age(path: &std::path::Path) -> u16 {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = name.rsplit_once('.').map(|(_, number)| number).unwrap_or_default();
    if number.len() > 4 { 0 } else { number.parse().unwrap_or_default() }
}

/// `.1`, `-20261121`, `.2026-11-21T10`, `.old`.
fn is_suffix(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['.', '-', '_']) else { return false };
    rest == "old"
        || (rest.starts_with(|first: char| first.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | 'T' | 'Z')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_are_known() {
        for (name, base, expected) in [
            ("a.log.1", "a.log", true),
            ("a.log-20261121", "a.log", true),
            ("a.log-20261121-1400", "a.log", true),
            ("a.log.old", "a.log", true),
            ("a-20261121.log", "a.log", true),
            ("a.1.log", "a.log", true),
            ("a.log", "a.log", false),
            ("a.log.bak", "a.log", false),
            ("a.log.1.gz", "a.log", false),
            ("a.log~", "a.log", false),
            ("ab.log", "a.log", false),
            ("a-b.log", "a.log", false),
            ("messages.1", "messages", true),
        ] {
            assert_eq!(is_rotation_of(name, base), expected, "{name} of {base}");
        }
    }

    #[test]
    fn the_base_of_a_rotated_name_is_found() {
        let found = |name| bases(name).collect::<Vec<_>>();
        assert_eq!(found("a.log.2"), ["a.log"]);
        assert_eq!(found("a.log-2026-11-21"), ["a.log"]);
        assert_eq!(found("a-20261121.log"), ["a.log"]);
        assert!(found("a.log").is_empty());
    }
}
