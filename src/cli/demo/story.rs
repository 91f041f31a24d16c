//! What happens in the shop: everyday noise and labelled attacks, the same at every telling.

use crate::event::{Civil, Timestamp};

const HOST: &str = "pos-01";
/// Where the passwords are guessed from (an address for documentation, RFC 5737).
const GUESSER: &str = "203.0.113.50";
/// Where many accounts are tried from.
const SPRAYER: &str = "198.51.100.77";
const CASHIERS: [&str; 4] = ["cashier01", "cashier02", "cashier03", "manager"];
const SPRAYED: [&str; 14] = [
    "anna", "ben", "carla", "david", "emma", "felix", "greta", "hugo", "ines", "jonas", "klara",
    "leo", "mia", "noah",
];
const WIPING: [&str; 4] = [
    "/usr/bin/systemctl stop rsyslog",
    "/usr/bin/truncate -s 0 /var/log/wtmp",
    "/usr/bin/rm -f /var/log/auth.log.1",
    "/usr/bin/journalctl --vacuum-time=1s",
];

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// Passwords guessed from one address until one fits.
    BruteForce,
    /// Many accounts tried once each from one address.
    Spray,
    /// An account is made and used at once.
    NewAccount,
    /// Root rights are tried and used.
    Sudo,
    /// Logs are stopped and wiped.
    Tampering,
}

impl Label {
    /// For the person who watches.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::BruteForce => "somebody guesses passwords until one fits",
            Self::Spray => "somebody tries many accounts, each once",
            Self::NewAccount => "a new account appears and is used at once",
            Self::Sudo => "somebody reaches for root",
            Self::Tampering => "somebody wipes the traces",
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// Milliseconds since the story began.
    pub(super) offset_ms: u64,
    /// Program, process id and message.
    pub(super) text: String,
    /// The attack it belongs to; `None` for everyday life.
    pub(super) label: Option<Label>,
}

impl Moment {
    /// The line as syslog writes it, in UTC, with its line end.
    pub(super) fn line(&self, start: Timestamp) -> String {
        let time = start.plus(self.offset_ms as i64 * 1_000_000);
        let civil = Civil::from_timestamp(time);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00 {HOST} {}\n",
            civil.year,
            civil.month,
            civil.day,
            civil.hour,
            civil.minute,
            civil.second,
            civil.nanos / 1_000,
            self.text
        )
    }
}

/// Tells the story over a number of seconds, in the order of time.
pub(super) fn tell(seconds: u64) -> Vec<Moment> {
    let mut teller = Teller { moments: Vec::new(), dice: Dice(0x9e37_79b9_7f4a_7c15), pid: 1_800 };
    teller.everyday(seconds * 1_000);
    let at = |percent: u64| seconds * 10 * percent;
    teller.brute_force(at(3));
    teller.spray(at(25));
    teller.new_account(at(45));
    teller.sudo(at(60));
    teller.tampering(at(75));
    let mut moments = teller.moments;
    moments.retain(|moment| moment.offset_ms < seconds * 1_000);
    moments.sort_by_key(|moment| moment.offset_ms);
    moments
}

/// A fixed sequence that looks like chance (xorshift64*, Vigna 2016).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len() as u64) as usize).copied().unwrap_or_default()
    }
}

struct Teller {
    moments: Vec<Moment>,
    dice: Dice,
    pid: u32,
}

impl Teller {
    fn add(&mut self, offset_ms: u64, label: Option<Label>, text: String) {
        self.moments.push(Moment { offset_ms, text, label });
    }

    fn next_pid(&mut self) -> u32 {
        self.pid += 1 + self.dice.below(7) as u32;
        self.pid
    }

    /// Cashiers log in and out, the scheduler runs, the manager mistypes now and then.
    fn everyday(&mut self, span_ms: u64) {
        let mut at = 0;
        while at < span_ms {
            match self.dice.below(10) {
                0..=3 => self.scheduled(at),
                4..=6 => self.shift(at),
                7 | 8 => self.remote_login(at),
                _ => self.maintenance(at),
            }
            at += 500 + self.dice.below(3_500);
        }
    }

    fn scheduled(&mut self, at: u64) {
        let pid = self.next_pid();
        let session = format!("CRON[{pid}]: pam_unix(cron:session): session");
        self.add(at, None, format!("{session} opened for user root(uid=0) by (uid=0)"));
        self.add(at + 5, None, format!("CRON[{pid}]: (root) CMD (/usr/local/bin/sync-prices)"));
        self.add(at + 240, None, format!("{session} closed for user root"));
    }

    fn shift(&mut self, at: u64) {
        let pid = self.next_pid();
        let name = self.dice.pick(&CASHIERS);
        let session = format!("lightdm[{pid}]: pam_unix(lightdm:session): session");
        self.add(at, None, format!("{session} opened for user {name}(uid=1001) by (uid=0)"));
        let number = self.dice.below(900);
        self.add(
            at + 30,
            None,
            format!("systemd-logind[612]: New session {number} of user {name}."),
        );
        self.add(at + 9_000, None, format!("{session} closed for user {name}"));
    }

    fn remote_login(&mut self, at: u64) {
        let pid = self.next_pid();
        let port = 40_000 + self.dice.below(20_000);
        let from = format!("10.20.0.{} port {port} ssh2", 2 + self.dice.below(40));
        let mut later = at;
        if self.dice.below(4) == 0 {
            self.add(at, None, format!("sshd[{pid}]: Failed password for manager from {from}"));
            later += 4_000;
        }
        self.add(later, None, format!("sshd[{pid}]: Accepted password for manager from {from}"));
        self.session(later + 20, pid, "manager", None);
    }

    fn maintenance(&mut self, at: u64) {
        self.root(at, None, "manager", "/usr/bin/systemctl status pos-agent");
    }

    fn brute_force(&mut self, start: u64) {
        let label = Some(Label::BruteForce);
        for attempt in 0..12 {
            let at = start + attempt * 1_700;
            let from = format!("{GUESSER} port {} ssh2", 41_000 + attempt * 3);
            let pid = self.next_pid();
            self.add(
                at,
                label,
                format!(
                    "sshd[{pid}]: pam_unix(sshd:auth): authentication failure; logname= uid=0 \
                     euid=0 tty=ssh ruser= rhost={GUESSER}  user=backup"
                ),
            );
            let failed = format!("sshd[{pid}]: Failed password for backup from {from}");
            self.add(at + 300, label, failed);
        }
        let pid = self.next_pid();
        let at = start + 12 * 1_700;
        let accepted = format!("Accepted password for backup from {GUESSER} port 41090 ssh2");
        self.add(at, label, format!("sshd[{pid}]: {accepted}"));
        self.session(at + 20, pid, "backup", label);
    }

    fn spray(&mut self, start: u64) {
        for (attempt, name) in (0..).zip(SPRAYED) {
            let pid = self.next_pid();
            let at = start + attempt * 2_100;
            let port = 52_000 + attempt;
            let label = Some(Label::Spray);
            self.add(
                at,
                label,
                format!("sshd[{pid}]: Invalid user {name} from {SPRAYER} port {port}"),
            );
            self.add(
                at + 400,
                label,
                format!("sshd[{pid}]: Failed password for invalid user {name} from {SPRAYER} port {port} ssh2"),
            );
        }
    }

    fn new_account(&mut self, start: u64) {
        let label = Some(Label::NewAccount);
        let pid = self.next_pid();
        let made = "name=svc-update, UID=1015, GID=1015, home=/srv/users/svc-update, shell=/bin/bash, from=/dev/pts/1";
        self.add(start, label, format!("useradd[{pid}]: new group: name=svc-update, GID=1015"));
        self.add(start + 10, label, format!("useradd[{pid}]: new user: {made}"));
        let changed = "pam_unix(chpasswd:chauthtok): password changed for svc-update";
        self.add(start + 3_000, label, format!("chpasswd[{}]: {changed}", pid + 4));
        let joined = "add 'svc-update' to group 'sudo'";
        self.add(start + 5_000, label, format!("usermod[{}]: {joined}", pid + 6));
        let pid = self.next_pid() + 8;
        let accepted = format!("Accepted password for svc-update from {GUESSER} port 41200 ssh2");
        self.add(start + 12_000, label, format!("sshd[{pid}]: {accepted}"));
        self.session(start + 12_020, pid, "svc-update", label);
    }

    fn sudo(&mut self, start: u64) {
        let label = Some(Label::Sudo);
        let refused = "cashier02 : user NOT in sudoers ; TTY=pts/1 ; PWD=/srv/users/cashier02 ; \
                       USER=root ; COMMAND=/bin/bash";
        self.add(start, label, format!("sudo: {refused}"));
        self.root(start + 6_000, label, "svc-update", "/usr/bin/cat /etc/shadow");
        self.root(start + 9_000, label, "svc-update", "/bin/bash");
    }

    fn tampering(&mut self, start: u64) {
        for (step, command) in (0..).zip(WIPING) {
            self.root(start + step * 2_500, Some(Label::Tampering), "svc-update", command);
        }
    }

    fn root(&mut self, at: u64, label: Option<Label>, name: &str, command: &str) {
        let what = format!("TTY=pts/2 ; PWD=/srv/users/{name} ; USER=root ; COMMAND={command}");
        self.add(at, label, format!("sudo: {name} : {what}"));
        let opened = format!("session opened for user root(uid=0) by {name}(uid=1015)");
        self.add(at + 8, label, format!("sudo: pam_unix(sudo:session): {opened}"));
    }

    fn session(&mut self, at: u64, pid: u32, name: &str, label: Option<Label>) {
        let opened = format!("session opened for user {name}(uid=1004) by (uid=0)");
        self.add(at, label, format!("sshd[{pid}]: pam_unix(sshd:session): {opened}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_is_the_same_at_every_telling_and_in_order() {
        let story = tell(300);
        assert_eq!(story, tell(300));
        assert!(story.is_sorted_by_key(|moment| moment.offset_ms));
        assert!(story.len() > 150, "{}", story.len());
        let quiet = story.iter().filter(|moment| moment.label.is_none()).count();
        assert!(quiet > story.len() / 2, "{quiet} of {}", story.len());
    }

    #[test]
    fn every_attack_is_told_whole_at_the_usual_length() {
        let story = tell(300);
        let count = |label: Label, text: &str| {
            story
                .iter()
                .filter(|moment| moment.label == Some(label) && moment.text.contains(text))
                .count()
        };
        assert_eq!(count(Label::BruteForce, "Failed password for backup from 203.0.113.50"), 12);
        assert_eq!(count(Label::BruteForce, "Accepted password for backup"), 1);
        assert_eq!(count(Label::Spray, "Failed password for invalid user"), SPRAYED.len());
        assert_eq!(count(Label::NewAccount, "new user: name=svc-update"), 1);
        assert_eq!(count(Label::NewAccount, "Accepted password for svc-update"), 1);
        assert_eq!(count(Label::Sudo, "user NOT in sudoers"), 1);
        assert_eq!(count(Label::Tampering, "COMMAND="), WIPING.len());
    }

    #[test]
    fn a_line_carries_its_time_in_utc() {
        let moment = Moment { offset_ms: 1_250, text: "sshd[7]: x".to_owned(), label: None };
        let start = Timestamp::parse_rfc3339("2026-11-21T10:00:00Z").unwrap();
        assert_eq!(moment.line(start), "2026-11-21T10:00:01.250000+00:00 pos-01 sshd[7]: x\n");
    }
}
