//! The loop: look for changes, read a chunk of each changed file, hand over, wait.
//!
//! Correct by looking (a `stat` of every file each poll, the configured paths each second); events
//! of the file system only shorten the wait.

use super::identity::{Look, look_at, look_into, open};
use super::outgoing::Outgoing;
use super::tracked::{Backoff, Slot, Standing, Tracked};
use super::turn::{Turn, finish, turn};
use super::watch::Watch;
use super::{Events, Options};
use crate::clock::{self, monotonic};
use crate::fact::FactKind;
use crate::source::{SourceContext, Stopped};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Files held open at most.
pub(super) const FDS_MAX: usize = 256;
/// With more files than this, only those that have left or changed last are looked at each poll;
/// the others when the configured paths are, or when an event tells of them.
const POLLED_MAX: usize = 512;
/// First and longest wait after an error of a file.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// Shortest time between two rounds of reading, so that a busy writer costs no wake-up per line.
const ROUND_MIN: Duration = Duration::from_millis(10);
/// Shortest time between two looks at the configured paths.
const RESCAN_MIN: Duration = Duration::from_millis(20);
/// Longest such time: looking takes at most a hundredth of the time, unless it takes this long.
const RESCAN_MAX: Duration = Duration::from_secs(30);

/// Everything one run of the source knows.
pub(super) struct Tailer<'o> {
    pub(super) options: &'o Options,
    pub(super) out: Outgoing,
    pub(super) files: BTreeMap<Slot, Tracked>,
    pub(super) inodes: BTreeMap<(u64, u64), Slot>,
    /// Copies of a followed file that wait for it to be truncated, since when.
    pub(super) suspended: BTreeMap<(u64, u64), (Look, Instant)>,
    /// Patterns an earlier run has started with.
    pub(super) started: Vec<String>,
    pub(super) first_scan: bool,
    pub(super) until_eof: bool,
    /// The configured paths must be looked at now.
    pub(super) rescan_now: bool,
    pub(super) watch: Watch,
    /// How long it took to list the configured paths.
    pub(super) listing_took: Duration,
    next_slot: Slot,
    /// Files opened since they were last counted, and those that were open then.
    opened: usize,
    stop: Arc<AtomicBool>,
}

impl<'o> Tailer<'o> {
    /// A tailer that has looked at nothing yet.
    pub(super) fn new(options: &'o Options, context: SourceContext) -> Self {
        let SourceContext { id, positions, output, stop, until_eof, clock, .. } = context;
        let mut tailer = Self {
            options,
            out: Outgoing::new(id, clock, output),
            files: BTreeMap::new(),
            inodes: BTreeMap::new(),
            suspended: BTreeMap::new(),
            started: Vec::new(),
            first_scan: true,
            until_eof,
            rescan_now: true,
            watch: Watch::default(),
            listing_took: Duration::ZERO,
            next_slot: 0,
            opened: 0,
            stop,
        };
        tailer.resume(&positions);
        tailer
    }

    /// Runs until it is stopped or, if asked, has read everything.
    pub(super) fn run(&mut self) -> Result<(), Stopped> {
        if self.options.events == Events::Watch
            && !self.until_eof
            && let Err(why) = self.watch.start()
        {
            let what = format!("files are polled, as changes cannot be watched: {why}");
            self.out.tell(FactKind::SourceErrors, what);
        }
        let timing = self.options.timing;
        let (mut poll_at, mut rescan_at) = (monotonic(), monotonic());
        let (mut retired_at, mut earliest) = (monotonic(), monotonic());
        while !self.stop.load(Ordering::Relaxed) {
            let now = monotonic();
            if now >= rescan_at || (self.rescan_now && now >= earliest) {
                self.rescan();
                let (after, took) = (monotonic(), self.listing_took);
                rescan_at = after + timing.rescan.max((took * 100).min(RESCAN_MAX));
                earliest = after + RESCAN_MIN.max((took * 10).min(timing.rescan));
                self.out.flush(&self.files)?;
            }
            if now >= poll_at {
                self.poll();
                self.settle(now)?;
                poll_at = now + self.options.poll;
            }
            if now >= retired_at {
                self.check_retired();
                retired_at = now + timing.retired;
            }
            if self.read_round()? {
                continue;
            }
            if self.until_eof && !self.rescan_now {
                return self.end();
            }
            let next = if self.rescan_now { earliest.min(rescan_at) } else { rescan_at };
            self.wait(poll_at.min(next), now);
        }
        Ok(())
    }

    fn wait(&mut self, until: Instant, round: Instant) {
        let limit = until.saturating_duration_since(monotonic());
        let mail = self.watch.wait(limit);
        let since = monotonic().saturating_duration_since(round);
        if mail.rescan {
            self.rescan_now = true;
            self.poll();
        }
        for path in &mail.touched {
            let touched: Vec<Slot> = self
                .files
                .iter()
                .filter(|(_, file)| file.place == *path || file.found == *path)
                .map(|(slot, _)| *slot)
                .collect();
            for slot in touched {
                if let Some(file) = self.files.get_mut(&slot) {
                    file.backoff = None;
                }
                self.look(slot);
            }
        }
        if !mail.touched.is_empty()
            && let Some(rest) = ROUND_MIN.checked_sub(since)
        {
            clock::pause(rest);
        }
    }

    /// Follows one more file.
    pub(super) fn insert(&mut self, file: Tracked) -> Slot {
        self.next_slot += 1;
        self.inodes.insert(file.id.inode(), self.next_slot);
        self.files.insert(self.next_slot, file);
        self.next_slot
    }

    /// Stops following a file and forgets its position.
    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(file) = self.files.remove(&slot) {
            if self.inodes.get(&file.id.inode()) == Some(&slot) {
                self.inodes.remove(&file.id.inode());
            }
            self.out.drop_slot(slot);
            self.out.forget(file.key());
        }
    }

    /// Looks whether files have changed.
    fn poll(&mut self) {
        let mut due: Vec<(Standing, Reverse<Instant>, Slot)> = self
            .files
            .iter()
            .filter(|(_, file)| file.standing != Standing::Retired)
            .map(|(slot, file)| (file.standing, Reverse(file.active), *slot))
            .collect();
        if due.len() > POLLED_MAX {
            due.select_nth_unstable(POLLED_MAX);
            due.truncate(POLLED_MAX);
        }
        for (_, _, slot) in due {
            self.look(slot);
        }
    }

    /// Looks whether a file has changed.
    pub(super) fn look(&mut self, slot: Slot) {
        let Some(file) = self.files.get(&slot) else { return };
        let found = file.file.as_ref().map_or_else(|| look_at(&file.place), look_into);
        match found {
            Ok(look) if look.id.is(&file.id) => self.note(slot, &look),
            Ok(_) => self.rescan_now = true,
            Err(error) if file.file.is_some() => self.fail(slot, &error),
            Err(_) => self.rescan_now |= file.standing == Standing::Listed,
        }
    }

    /// Takes note of what was seen of a file.
    pub(super) fn note(&mut self, slot: Slot, look: &Look) {
        let Some(file) = self.files.get_mut(&slot) else { return };
        if look.links == 0 && file.standing == Standing::Listed {
            self.rescan_now = true;
        }
        if file.size == Some(look.size) && file.modified == look.modified {
            return;
        }
        if look.size < file.offset {
            if self.open(slot) {
                self.rewritten(slot);
            }
            return;
        }
        let lost = file.sure.unwrap_or_default().saturating_sub(look.size);
        if file.size.is_some_and(|size| look.size < size) {
            file.scanned = file.offset;
            file.nul_end = file.offset;
            file.sure = file.sure.map(|sure| sure.min(look.size));
        }
        file.size = Some(look.size);
        file.modified = look.modified;
        file.active = monotonic();
        file.ready = true;
        if lost > 0 {
            self.out.count(FactKind::Truncations, 1);
            self.gap(slot, Some(lost), "truncated");
        }
    }

    /// Reads a chunk of every file that has one. Whether anything was got on with.
    fn read_round(&mut self) -> Result<bool, Stopped> {
        let ready: Vec<Slot> = self
            .files
            .iter()
            .filter(|(_, file)| file.ready && !self.must_wait(file))
            .map(|(slot, _)| *slot)
            .collect();
        let mut progress = false;
        for slot in ready {
            progress |= self.read(slot)?;
        }
        self.out.flush(&self.files)?;
        Ok(progress)
    }

    /// Whether lines of an older file come first.
    fn must_wait(&self, file: &Tracked) -> bool {
        file.after
            .and_then(|before| self.files.get(&before))
            .is_some_and(|before| before.ready && before.backoff.is_none())
    }

    fn read(&mut self, slot: Slot) -> Result<bool, Stopped> {
        if !self.open(slot) {
            return Ok(false);
        }
        loop {
            let Some(file) = self.files.get_mut(&slot) else { return Ok(false) };
            let offset = file.offset;
            match turn(file, slot, &mut self.out, self.options.line_max) {
                Ok(Turn::Full) => {
                    self.out.flush(&self.files)?;
                    continue;
                }
                Ok(Turn::More) => file.active = monotonic(),
                Ok(Turn::Idle) => {
                    file.ready = false;
                    file.after = None;
                    if file.offset > offset {
                        file.active = monotonic();
                    }
                }
                Ok(Turn::Rewritten) => self.rewritten(slot),
                Err(error) => {
                    self.fail(slot, &error);
                    return Ok(false);
                }
            }
            return Ok(true);
        }
    }

    /// Opens a file where it is expected, if it is still that file.
    pub(super) fn open(&mut self, slot: Slot) -> bool {
        let Some(file) = self.files.get(&slot) else { return false };
        if file.file.is_some() {
            return true;
        }
        if file.backoff.is_some_and(|backoff| monotonic() < backoff.until) {
            return false;
        }
        if !self.make_room() {
            return false;
        }
        let Some(file) = self.files.get_mut(&slot) else { return false };
        let opened = open(&file.place);
        match opened {
            Ok((handle, look)) if look.id.is(&file.id) => {
                file.file = Some(handle);
                if file.backoff.take().is_some() {
                    self.out.forget_told(&file.path);
                }
                let verified = file.verify();
                file.size.get_or_insert(look.size);
                match verified {
                    Ok(true) => return true,
                    Ok(false) => self.rewritten(slot),
                    Err(error) => self.fail(slot, &error),
                }
                false
            }
            Ok(_) => {
                self.rescan_now = true;
                self.back_off(slot);
                false
            }
            Err(error) => {
                self.fail(slot, &error);
                false
            }
        }
    }

    /// An error of a file: it is closed and tried again later.
    pub(super) fn fail(&mut self, slot: Slot, error: &io::Error) {
        if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
            self.close_idle();
        }
        self.rescan_now |= error.kind() == io::ErrorKind::NotFound;
        if let Some(file) = self.files.get_mut(&slot) {
            file.file = None;
            file.ready = true;
            let path = file.path.clone();
            if error.kind() != io::ErrorKind::NotFound && self.out.is_news(&path) {
                self.out.tell(FactKind::SourceErrors, format!("`{path}`: {error}"));
            }
        }
        self.back_off(slot);
    }

    fn back_off(&mut self, slot: Slot) {
        let now = monotonic();
        if let Some(file) = self.files.get_mut(&slot) {
            let delay = file.backoff.map_or(BACKOFF.0, |last| (last.delay * 2).min(BACKOFF.1));
            file.backoff = Some(Backoff { until: now + delay, delay });
        }
    }

    /// Closes files that have not changed for longest before one too many is open.
    fn make_room(&mut self) -> bool {
        let open = |files: &BTreeMap<Slot, Tracked>| {
            files.values().filter(|file| file.file.is_some()).count()
        };
        if self.opened >= FDS_MAX {
            self.opened = open(&self.files);
        }
        if self.opened >= FDS_MAX {
            self.close_idle();
            self.opened = open(&self.files);
        }
        self.opened += 1;
        self.opened <= FDS_MAX
    }

    fn close_idle(&mut self) {
        let mut idle: Vec<(Instant, Slot)> = self
            .files
            .iter()
            .filter(|(_, file)| file.file.is_some() && file.standing == Standing::Listed)
            .filter(|(_, file)| !file.ready)
            .map(|(slot, file)| (file.active, *slot))
            .collect();
        idle.sort_unstable();
        for (_, slot) in idle.into_iter().take(FDS_MAX / 4) {
            if let Some(file) = self.files.get_mut(&slot) {
                file.file = None;
            }
        }
    }

    /// Ends files that were rotated away, read to their end and have not grown for a while.
    fn settle(&mut self, now: Instant) -> Result<(), Stopped> {
        let quiet = self.options.timing.quiet;
        let due: Vec<Slot> = self
            .files
            .iter()
            .filter(|(_, file)| file.rotated && !file.ready)
            .filter(|(_, file)| file.standing == Standing::Left || file.scanned > file.offset)
            .filter(|(_, file)| now.saturating_duration_since(file.active) >= quiet)
            .map(|(slot, _)| *slot)
            .collect();
        for slot in due {
            self.finish(slot)?;
            self.retire(slot);
        }
        self.out.flush(&self.files)
    }

    fn finish(&mut self, slot: Slot) -> Result<(), Stopped> {
        if self.files.get(&slot).is_none_or(|file| file.scanned <= file.offset) || !self.open(slot)
        {
            return Ok(());
        }
        for _ in 0..2 {
            let Some(file) = self.files.get_mut(&slot) else { return Ok(()) };
            match finish(file, slot, &mut self.out, self.options.line_max) {
                Ok(Turn::Full) => self.out.flush(&self.files)?,
                Ok(Turn::Rewritten) => {
                    self.rewritten(slot);
                    break;
                }
                Ok(Turn::More | Turn::Idle) => break,
                Err(error) => {
                    self.fail(slot, &error);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Everything was read: the last lines without an end are records too.
    fn end(&mut self) -> Result<(), Stopped> {
        let all: Vec<Slot> = self.files.keys().copied().collect();
        for slot in all {
            self.finish(slot)?;
        }
        self.out.flush(&self.files)
    }
}
