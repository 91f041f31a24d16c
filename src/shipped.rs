//! The rules and parsers the binary carries, so that it works alone in an empty folder.

use crate::diagnostic::SourceText;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/shipped.rs"));
}

/// The shipped rule files.
pub fn rules() -> Vec<SourceText> {
    texts(embedded::RULES)
}

/// The shipped parser files.
pub fn parsers() -> Vec<SourceText> {
    texts(embedded::PARSERS)
}

fn texts(files: &[(&str, &str)]) -> Vec<SourceText> {
    files.iter().map(|(path, text)| SourceText::new(&format!("<shipped>/{path}"), text)).collect()
}
