//! Brings what is followed into agreement with what is there: files that are new, that were
//! renamed, replaced, copied or removed. The same code after a second and after a restart.

use super::identity::{FileId, Look, open, read_at};
use super::listing::{Listing, Seen};
use super::names::{age, bases, is_rotation_of};
use super::tailer::Tailer;
use super::tracked::{Guard, Saved, Slot, Standing, Tracked, resolve};
use super::turn::{bytes_before, skip_to_end};
use super::{META, Start};
use crate::clock::monotonic;
use crate::fact::FactKind;
use crate::source::Position;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Bytes at the end of a replaced file that must be the same for it to be the old one, cut.
const TAIL_SAME: u64 = 4096;

/// What is remembered of the source itself.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    /// Patterns it has been started with.
    started: Vec<String>,
}

impl Tailer<'_> {
    /// Takes up the committed positions.
    pub(super) fn resume(&mut self, positions: &BTreeMap<Box<str>, Box<str>>) {
        let now = monotonic();
        for (key, state) in positions {
            if key.as_ref() == META {
                match serde_json::from_str::<Meta>(state) {
                    Ok(meta) => self.started = meta.started,
                    Err(error) => self.unreadable(key, &error),
                }
                continue;
            }
            match serde_json::from_str::<Saved>(state) {
                Ok(saved) => {
                    let file = Tracked::from_saved(saved, now);
                    if self.options.patterns.matches(Path::new(&*file.path)) {
                        self.insert(file);
                    }
                }
                Err(error) => self.unreadable(key, &error),
            }
        }
    }

    fn unreadable(&mut self, key: &str, error: &serde_json::Error) {
        let what = format!("the position `{key}` is not readable, its file is read anew: {error}");
        self.out.tell(FactKind::SourceErrors, what);
    }

    /// Looks at all configured paths.
    pub(super) fn rescan(&mut self) {
        self.rescan_now = false;
        let begun = monotonic();
        let mut listing = self.options.patterns.list();
        self.listing_took = monotonic().saturating_duration_since(begun);
        self.remark(&mut listing);
        let mut listed: BTreeMap<Slot, (PathBuf, Look)> = BTreeMap::new();
        let mut fresh: BTreeMap<(u64, u64), Seen> = BTreeMap::new();
        for seen in listing.files {
            match self.inodes.get(&seen.look.id.inode()) {
                Some(slot) if self.files.get(slot).is_some_and(|f| f.id.is(&seen.look.id)) => {
                    let known = self.files.get(slot).is_some_and(|f| f.found == seen.path);
                    if known || !listed.contains_key(slot) {
                        listed.insert(*slot, (seen.path, seen.look));
                    }
                }
                _ => {
                    fresh.entry(seen.look.id.inode()).or_insert(seen);
                }
            }
        }
        let mut lost = Vec::new();
        let mut moved = false;
        let slots: Vec<Slot> = self.files.keys().copied().collect();
        for slot in slots {
            match listed.remove(&slot) {
                Some((path, look)) => moved |= self.is_listed(slot, path, &look),
                None => lost.extend(self.is_unlisted(slot)),
            }
        }
        moved |= !lost.is_empty();
        if moved {
            let later = self.later_siblings(&lost);
            for seen in later {
                fresh.entry(seen.look.id.inode()).or_insert(seen);
            }
        }
        let changed = moved || !fresh.is_empty();
        let mut fresh: Vec<Seen> = fresh.into_values().collect();
        fresh.sort_by(|a, b| (a.look.modified, &a.path).cmp(&(b.look.modified, &b.path)));
        for seen in fresh {
            self.admit(&seen);
        }
        let closed: Vec<Slot> = self
            .files
            .iter()
            .filter(|(_, file)| file.standing == Standing::Left && file.file.is_none())
            .map(|(slot, _)| *slot)
            .collect();
        for slot in closed {
            self.drop_if_gone(slot);
        }
        if changed || self.first_scan {
            self.order();
            self.cover();
        }
        if self.first_scan {
            self.first_scan = false;
            self.remember_start();
        }
    }

    /// Tells once what is not read.
    fn remark(&mut self, listing: &mut Listing) {
        for (path, why) in std::mem::take(&mut listing.refused) {
            let what = format!("`{}` is not read: {why}", path.display());
            if self.out.is_news(&what) {
                self.out.tell(FactKind::SourceErrors, what);
            }
        }
        if listing.cut && self.out.is_news("too many files") {
            let most = super::listing::FILES_MAX;
            let what = format!("only the first {most} files of the paths are read");
            self.out.tell(FactKind::SourceErrors, what);
        }
        if !self.first_scan {
            return;
        }
        if let Some(path) = listing.compressed.first() {
            let (count, path) = (listing.compressed.len(), path.display());
            self.out.remark(format!("{count} compressed files are not read, such as `{path}`"));
        }
        if listing.files.is_empty() {
            let what = self.options.patterns.include.join("`, `");
            self.out.remark(format!("no file is there yet for `{what}`"));
        }
    }

    /// A followed file is where a configured path leads. Whether it has moved there.
    fn is_listed(&mut self, slot: Slot, path: PathBuf, look: &Look) -> bool {
        let Some(file) = self.files.get_mut(&slot) else { return false };
        let returned = file.standing != Standing::Listed;
        file.standing = Standing::Listed;
        let moved = file.found != path;
        if moved || returned {
            file.place = resolve(&path);
            file.rotated = *path.to_string_lossy() != *file.path;
            file.found = path;
            file.active = monotonic();
            self.out.touch(slot);
        }
        if moved {
            self.out.count(FactKind::Rotations, 1);
        }
        self.note(slot, look);
        moved
    }

    /// No configured path leads to a followed file any more. The file, if that is new.
    fn is_unlisted(&mut self, slot: Slot) -> Option<Slot> {
        let file = self.files.get(&slot)?;
        if file.standing != Standing::Listed {
            return None;
        }
        let place = self.locate(slot);
        let file = self.files.get_mut(&slot)?;
        if let Some((path, look)) = place {
            file.place = path;
            if file.file.is_none() {
                file.size = None;
                file.ready = look.size != file.offset;
            }
        }
        file.standing = Standing::Left;
        file.rotated = true;
        file.active = monotonic();
        self.out.touch(slot);
        self.out.count(FactKind::Rotations, 1);
        // What was appended before it left comes before what its successor holds.
        self.look(slot);
        Some(slot)
    }

    /// Whether nothing leads to the file any more, not even an open handle with a name.
    fn is_gone(&self, slot: Slot) -> bool {
        self.files.get(&slot).is_some_and(|file| match &file.file {
            Some(handle) => super::identity::look_into(handle).is_ok_and(|look| look.links == 0),
            None => self.locate(slot).is_none(),
        })
    }

    fn drop_if_gone(&mut self, slot: Slot) {
        if self.is_gone(slot) {
            self.gap(slot, None, "removed");
            self.remove(slot);
        }
    }

    /// Begins to follow a file, unless it is one that is known in another shape.
    fn admit(&mut self, seen: &Seen) {
        if self
            .inodes
            .get(&seen.look.id.inode())
            .is_some_and(|slot| self.files.get(slot).is_some_and(|file| file.id.is(&seen.look.id)))
            || self.replaces(seen)
            || self.is_copy(seen)
        {
            return;
        }
        self.suspended.remove(&seen.look.id.inode());
        let now = monotonic();
        let mut file = Tracked::new(&seen.look, &seen.path, now);
        if let Some(base) = self.rotated_from(seen) {
            file.rotated = true;
            file.standing = Standing::Left;
            file.path = base;
        }
        let at_end = self.first_scan
            && self.options.start == Start::End
            && file.standing == Standing::Listed
            && self
                .options
                .patterns
                .include
                .get(seen.pattern)
                .is_some_and(|text| !self.started.contains(text));
        let slot = self.insert(file);
        if !at_end {
            self.note(slot, &seen.look);
            self.open(slot);
            return;
        }
        let opened = self.open(slot);
        let Some(file) = self.files.get_mut(&slot) else { return };
        let skipped = if opened {
            skip_to_end(file, &seen.look, self.options.line_max)
        } else {
            file.advance(seen.look.size, &[], self.out.clock.now());
            Ok(())
        };
        file.size = Some(seen.look.size);
        self.out.touch(slot);
        if let Err(error) = skipped {
            self.fail(slot, &error);
        }
    }

    /// For a file outside the configured paths: the path of the log it was rotated from.
    fn rotated_from(&self, seen: &Seen) -> Option<Box<str>> {
        if self.options.patterns.matches(&seen.path) {
            return None;
        }
        let name = seen.path.file_name()?.to_string_lossy();
        let folder = seen.path.parent()?;
        self.files
            .values()
            .find(|file| {
                let path = Path::new(&*file.path);
                let base = path.file_name().unwrap_or_default().to_string_lossy();
                file.place.parent() == Some(folder) && is_rotation_of(&name, &base)
            })
            .map(|file| file.path.clone())
    }

    /// A file that took the place of a removed one and has its content is that file: it was edited
    /// in place, restored, or its file system was mounted anew.
    fn replaces(&mut self, seen: &Seen) -> bool {
        let candidates: Vec<Slot> = self
            .files
            .iter()
            .filter(|(_, file)| file.standing == Standing::Left && file.offset > 0)
            .filter(|(_, file)| file.found == seen.path)
            .map(|(slot, _)| *slot)
            .collect();
        for slot in candidates {
            if !self.is_gone(slot) {
                continue;
            }
            let Ok((handle, look)) = open(&seen.path) else { return false };
            let Some(file) = self.files.get_mut(&slot) else { continue };
            let offset = match file.is_content_of(&handle, look.size) {
                Ok(true) => Some(file.offset),
                Ok(false) | Err(_) => cut_at(file, &handle, look.size),
            };
            let Some(offset) = offset else { continue };
            if file.ready && file.file.is_some() {
                self.rescan_now = true;
                return true;
            }
            let Ok(before) = bytes_before(&handle, offset) else { continue };
            self.inodes.remove(&file.id.inode());
            self.inodes.insert(look.id.inode(), slot);
            let now = self.out.clock.now();
            file.id = look.id;
            file.file = Some(handle);
            file.place = resolve(&seen.path);
            file.standing = Standing::Listed;
            file.rotated = false;
            file.backoff = None;
            file.advance(offset, &before, now);
            file.size = Some(look.size);
            file.modified = look.modified;
            file.ready = look.size > offset;
            self.out.touch(slot);
            return true;
        }
        false
    }

    /// A copy of a followed file (as `copytruncate` makes) waits until that file is truncated; if
    /// it is not, the copy is a file of its own.
    fn is_copy(&mut self, seen: &Seen) -> bool {
        let (inode, now) = (seen.look.id.inode(), monotonic());
        let Some(slot) = self.original_of(seen) else { return false };
        if self.files.get(&slot).is_some_and(|file| matches!(file.guard, Guard::Saved(_))) {
            // After a restart: it may have been truncated already.
            self.open(slot);
            if self.is_followed(&seen.look.id) {
                return true;
            }
        }
        let Some(original) = self.files.get(&slot).map(|file| file.place.clone()) else {
            return false;
        };
        let entry = self.suspended.entry(inode).or_insert((seen.look, now));
        if (entry.0.size, entry.0.modified) != (seen.look.size, seen.look.modified) {
            *entry = (seen.look, now);
        }
        let waited = now.saturating_duration_since(entry.1);
        if waited < self.options.timing.copy && !self.until_eof {
            return true;
        }
        let (copy, original) = (seen.path.display(), original.display());
        self.out.remark(format!("`{copy}` begins like `{original}` and is read as another file"));
        false
    }

    fn original_of(&self, seen: &Seen) -> Option<Slot> {
        let name = seen.path.file_name()?.to_string_lossy();
        // Most files are not called like a rotated one.
        bases(&name).next()?;
        let folder = seen.path.parent()?;
        let mut originals = self
            .files
            .iter()
            .filter(|(_, file)| file.standing == Standing::Listed && file.offset > 0)
            .filter(|(_, file)| file.place.parent() == Some(folder))
            .filter(|(_, file)| {
                let base = file.place.file_name().unwrap_or_default().to_string_lossy();
                is_rotation_of(&name, &base)
            })
            .peekable();
        originals.peek()?;
        let (handle, look) = open(&seen.path).ok()?;
        originals
            .find(|(_, file)| {
                let whole = file.is_content_of(&handle, look.size).unwrap_or(false);
                let growing = look.size < file.offset
                    && look.size >= u64::from(file.head.len)
                    && file.head.len > 0
                    && file.head.is_at(&handle, 0).unwrap_or(false);
                whole || growing
            })
            .map(|(slot, _)| *slot)
    }

    /// Lines of an older file of a log come before those of a younger one.
    fn order(&mut self) {
        let paths: BTreeSet<&Path> = self.files.values().map(|f| f.found.as_path()).collect();
        let mut families: BTreeMap<PathBuf, Vec<Slot>> = BTreeMap::new();
        for (slot, file) in self.files.iter().filter(|(_, file)| file.ready) {
            families.entry(family(&paths, Path::new(&*file.path))).or_default().push(*slot);
        }
        for (base, mut slots) in families.into_iter().filter(|(_, slots)| slots.len() > 1) {
            slots.sort_by_key(|slot| {
                self.files.get(slot).map(|file| {
                    let last = file.place == resolve(&base) && file.standing == Standing::Listed;
                    (last, file.modified, file.id.birth, Reverse(age(&file.place)), *slot)
                })
            });
            for pair in slots.windows(2) {
                if let [before, after] = pair {
                    self.chain(*before, *after);
                }
            }
        }
    }

    /// Reads one file before another, unless that would make a circle.
    pub(super) fn chain(&mut self, before: Slot, after: Slot) {
        let mut at = Some(before);
        for _ in 0..=self.files.len() {
            let Some(slot) = at else { break };
            if slot == after {
                return;
            }
            at = self.files.get(&slot).and_then(|file| file.after);
        }
        if let Some(file) = self.files.get_mut(&after) {
            file.after = Some(before);
        }
    }

    /// Watches the folders of what is followed.
    fn cover(&mut self) {
        let mut folders: BTreeSet<PathBuf> = self.options.patterns.folders().collect();
        let mut known = BTreeSet::new();
        for file in self.files.values().filter(|file| file.standing != Standing::Retired) {
            for path in [&file.found, &file.place] {
                folders.extend(path.parent().map(Path::to_owned));
                known.insert(path.clone());
            }
        }
        if let Err(why) = self.watch.cover(&folders, known)
            && self.out.is_news("watch")
        {
            let what = format!("files are polled, as not all folders can be watched: {why}");
            self.out.tell(FactKind::SourceErrors, what);
        }
    }

    /// From now on a file that appears is read from its beginning.
    fn remember_start(&mut self) {
        let started = self.options.patterns.include.clone();
        if started != self.started {
            let state = serde_json::to_string(&Meta { started }).unwrap_or_default();
            self.out.place(Position { stream: META.into(), state: Some(state.into()) });
        }
    }

    /// Whether a file is followed already.
    pub(super) fn is_followed(&self, id: &FileId) -> bool {
        self.inodes
            .get(&id.inode())
            .and_then(|slot| self.files.get(slot))
            .is_some_and(|file| file.id.is(id))
    }
}

/// The log a path belongs to: `auth.log` for `auth.log.1`.
fn family(paths: &BTreeSet<&Path>, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    bases(&name)
        .map(|base| path.with_file_name(base))
        .find(|base| paths.contains(base.as_path()))
        .or_else(|| {
            let base = bases(&name).next().filter(|base| name.starts_with(base.as_str()))?;
            Some(path.with_file_name(base))
        })
        .unwrap_or_else(|| path.to_owned())
}

/// Where to go on if the new file is the old one without its last lines.
fn cut_at(file: &Tracked, new: &std::fs::File, size: u64) -> Option<u64> {
    let old = file.file.as_ref()?;
    if size == 0 || size >= file.offset {
        return None;
    }
    let head = size.min(u64::from(file.head.len)) as usize;
    let from = size.saturating_sub(TAIL_SAME);
    let same = read_at(old, 0, head).ok()? == read_at(new, 0, head).ok()?
        && read_at(old, from, (size - from) as usize).ok()?
            == read_at(new, from, (size - from) as usize).ok()?;
    let ends = bytes_before(new, size).ok()?.ends_with(b"\n");
    (same && ends).then_some(size)
}

impl Tracked {
    /// Another file that holds what this one held when it was read: the copy made before the
    /// original was truncated.
    pub(super) fn held_by(&self, id: FileId, place: PathBuf, now: std::time::Instant) -> Self {
        Self {
            id,
            origin: self.origin,
            generation: self.generation,
            path: self.path.clone(),
            found: place.clone(),
            place,
            offset: self.offset,
            scanned: self.offset,
            nul_end: self.offset,
            sure: Some(self.offset),
            guard: match &self.guard {
                Guard::Known(bytes) => Guard::Known(bytes.clone()),
                Guard::Saved(mark) => Guard::Saved(*mark),
            },
            head: self.head,
            file: None,
            size: None,
            modified: 0,
            ready: true,
            standing: Standing::Left,
            rotated: true,
            after: self.after,
            backoff: None,
            active: now,
            read_at: self.read_at,
        }
    }
}
