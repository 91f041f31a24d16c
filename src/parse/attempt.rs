//! Login attempts: which lines of a log tell of the same one.

use crate::event::{ATTEMPT_KINDS, Attempt};

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
        let mut hash = Fnv::START;
        for part in [self.host, "\0", family(self.program), "\0"] {
            hash = hash.with(part.as_bytes());
        }
        Some(Attempt { session: hash.with(&pid.to_le_bytes()).0, kind })
    }
}

/// OpenSSH 9.8 and later log a connection under the name of the helper that serves it.
fn family(program: &str) -> &str {
    if matches!(program, "sshd-session" | "sshd-auth") { "sshd" } else { program }
}

/// FNV-1a, 64 bits (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>): the same in every
/// run and on every host, which the hasher of the standard library is not.
struct Fnv(u64);

impl Fnv {
    const START: Self = Self(0xcbf2_9ce4_8422_2325);

    fn with(self, bytes: &[u8]) -> Self {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(self.0, mix))
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
        assert_eq!(Fnv::START.with(b"foobar").0, 0x8594_4171_f739_67e8);
    }
}
