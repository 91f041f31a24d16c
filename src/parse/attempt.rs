//! Login attempts: which lines of a log tell of the same one.

use crate::event::{ATTEMPT_KINDS, Attempt};
use std::hash::Hasher;

/// The kinds of evidence that a parser may name in `attempt:`; the position is the number.
///
/// One failed SSH login logs several lines. Each kind of line has its own number, and a count
/// takes, per session, the largest count of one kind.
pub const ATTEMPT_NAMES: [&str; ATTEMPT_KINDS] =
    ["failed", "pam", "invalid_user", "closed", "limit", "probe", "pam_error", "other"];

/// What identifies a session in a log: the host, the program and its process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Session<'s> {
    pub(super) host: &'s str,
    pub(super) program: &'s str,
    pub(super) pid: Option<i64>,
}

impl Session<'_> {
    /// The attempt that a line of this session tells of; none without a process id.
    pub(super) fn attempt(&self, kind: u8) -> Option<Attempt> {
        let pid = self.pid?;
        let mut hash = Fnv::default();
        for part in [self.host, "\0", family(self.program), "\0"] {
            hash.write(part.as_bytes());
        }
        hash.write(&pid.to_le_bytes());
        Some(Attempt { session: hash.finish(), kind })
    }
}

/// OpenSSH 9.8 and later log a connection under the name of the helper that serves it.
fn family(program: &str) -> &str {
    if matches!(program, "sshd-session" | "sshd-auth") { "sshd" } else { program }
}

/// FNV-1a, 64 bits (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>): the same in every
/// run and on every host, which the hasher of the standard library is not, and quick for the short
/// names that parsers are found by. Not for tables whose keys come from logs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        self.0 = bytes.iter().fold(self.0, mix);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helpers_of_sshd_are_one_family_and_the_hash_is_the_published_one() {
        let session = |program| Session { host: "pos7", program, pid: Some(412) };
        assert_eq!(session("sshd").attempt(0), session("sshd-session").attempt(0));
        assert_ne!(session("sshd").attempt(0), session("login").attempt(0));
        assert_ne!(session("sshd").attempt(0), session("sshd").attempt(1));
        assert_eq!(Session { pid: None, ..session("sshd") }.attempt(0), None);
        let mut hash = Fnv::default();
        hash.write(b"foobar");
        assert_eq!(hash.finish(), 0x8594_4171_f739_67e8);
    }
}
