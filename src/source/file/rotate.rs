//! Where the rest of a file is after it was renamed, copied and truncated, or removed.

use super::identity::{Look, look_at, open};
use super::listing::Seen;
use super::names::{age, is_rotation_of};
use super::tailer::Tailer;
use super::tracked::{Guard, Slot, Standing, Tracked};
use super::turn::bytes_before;
use crate::clock::monotonic;
use crate::fact::FactKind;
use rustix::fs::FileType;
use serde_json::json;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// Names of one folder that are looked at for a rotated file.
const NAMES_MAX: usize = 100_000;
/// Rotated files of one log that are taken up at once.
const SIBLINGS_MAX: usize = 64;
/// Finished files whose position is kept until they are removed.
const RETIRED_MAX: usize = 256;

impl Tailer<'_> {
    /// Where a file is now: at its last place, else under another name in the same folder.
    pub(super) fn locate(&self, slot: Slot) -> Option<(PathBuf, Look)> {
        let file = self.files.get(&slot)?;
        if let Ok(look) = look_at(&file.place)
            && look.id.is(&file.id)
        {
            return Some((file.place.clone(), look));
        }
        let entries = std::fs::read_dir(file.place.parent()?).ok()?;
        entries
            .take(NAMES_MAX)
            .filter_map(Result::ok)
            .filter(|entry| entry.ino() == file.id.ino)
            .find_map(|entry| {
                let look = look_at(&entry.path()).ok()?;
                look.id.is(&file.id).then(|| (entry.path(), look))
            })
    }

    /// Files beside a place that look like rotations of a log and are not followed.
    fn rotations_of(&self, folder: &Path, base: &str) -> Vec<(PathBuf, Look)> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut found: Vec<(PathBuf, Look)> = entries
            .take(NAMES_MAX)
            .filter_map(Result::ok)
            .filter(|entry| is_rotation_of(&entry.file_name().to_string_lossy(), base))
            .filter_map(|entry| Some((entry.path(), look_at(&entry.path()).ok()?)))
            .filter(|(_, look)| look.kind == FileType::RegularFile && !self.is_followed(&look.id))
            .collect();
        found.sort_by_key(|(_, look)| std::cmp::Reverse((look.id.birth, look.modified)));
        found.truncate(SIBLINGS_MAX);
        found
    }

    /// Files that were rotated after those that have just left and were never seen, because
    /// several rotations happened between two looks.
    pub(super) fn later_siblings(&self, left: &[Slot]) -> Vec<Seen> {
        let mut later = Vec::new();
        for slot in left {
            let Some(file) = self.files.get(slot) else { continue };
            let since = match self.locate(*slot) {
                Some((path, look)) => {
                    Since { birth: look.id.birth, modified: look.modified, age: age(&path) }
                }
                None if file.file.is_some() => {
                    Since { birth: file.id.birth, modified: file.modified, age: u16::MAX }
                }
                None => Since { birth: Some(file.read_at), modified: file.read_at, age: u16::MAX },
            };
            later.extend(self.siblings_since(file, since));
        }
        later
    }

    fn siblings_since(&self, file: &Tracked, since: Since) -> Vec<Seen> {
        let path = Path::new(&*file.path);
        let base = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(folder) = file.place.parent() else { return Vec::new() };
        self.rotations_of(folder, &base)
            .into_iter()
            .filter(|(path, look)| since.is_before(look, age(path)))
            .filter(|(path, _)| !is_like(file, path))
            .map(|(path, look)| Seen { path, pattern: usize::MAX, look })
            .collect()
    }

    /// What was read of a file is not in it any more: it is read from 0 as another generation, and
    /// the rest of the old one from the copy that was made of it, if there is one.
    pub(super) fn rewritten(&mut self, slot: Slot) {
        self.out.count(FactKind::Truncations, 1);
        let Some(file) = self.files.get(&slot) else { return };
        let (key, unread) = (file.key(), file.unread());
        let copy = self.copy_of(slot);
        let found = copy.is_some();
        let whole = copy.as_ref().is_some_and(|copy| copy.offset == file.offset);
        if !whole && unread != Some(0) && !(found && unread.is_none()) {
            self.gap(slot, unread, "truncated");
        }
        let mut before = None;
        if let Some(copy) = copy {
            let since =
                Since { birth: copy.id.birth, modified: copy.modified, age: age(&copy.place) };
            self.suspended.remove(&copy.id.inode());
            let copied = self.insert(copy);
            self.out.touch(copied);
            before = Some(copied);
            if let Some(file) = self.files.get(&slot) {
                for seen in self.siblings_since(file, since).into_iter().rev() {
                    let mut later = Tracked::new(&seen.look, &seen.path, monotonic());
                    later.rotated = true;
                    later.standing = Standing::Left;
                    later.after = before;
                    if let Some(file) = self.files.get(&slot) {
                        later.path = file.path.clone();
                    }
                    before = Some(self.insert(later));
                }
            }
        }
        let Some(file) = self.files.get_mut(&slot) else { return };
        file.begin_again();
        file.size = None;
        file.after = before;
        self.out.touch(slot);
        if !found {
            self.out.forget(key);
        }
        self.rescan_now = true;
    }

    /// The copy made of a file before it was truncated, as the file that goes on in its stead.
    fn copy_of(&self, slot: Slot) -> Option<Tracked> {
        let file = self.files.get(&slot)?;
        if file.offset == 0 || file.head.len == 0 {
            return None;
        }
        let path = Path::new(&*file.path);
        let base = path.file_name()?.to_string_lossy();
        let mut shorter = None;
        for (path, _) in self.rotations_of(file.place.parent()?, &base) {
            let Ok((handle, look)) = open(&path) else { continue };
            let mut copy = file.held_by(look.id, path, monotonic());
            copy.modified = look.modified;
            if file.is_content_of(&handle, look.size).unwrap_or(false) {
                return Some(copy);
            }
            // The last lines were written between the copying and the truncation and were read
            // from the original: there is nothing more in the copy.
            let all_read = look.size < file.offset && look.size >= u64::from(file.head.len);
            if shorter.is_none() && all_read && file.head.is_at(&handle, 0).unwrap_or(false) {
                copy.guard = Guard::Known(bytes_before(&handle, look.size).ok()?);
                copy.offset = look.size;
                copy.scanned = look.size;
                copy.nul_end = look.size;
                shorter = Some(copy);
            }
        }
        shorter
    }

    /// Tells of a stretch that was lost before it could be read: an event, and counted.
    pub(super) fn gap(&mut self, slot: Slot, lost: Option<u64>, reason: &str) {
        let Some(file) = self.files.get(&slot) else { return };
        let path = file.path.clone();
        let amount = lost.map_or_else(|| "what".to_owned(), |bytes| format!("{bytes} bytes"));
        let message = format!("{amount} after byte {} of {path} was lost: {reason}", file.offset);
        let mut event = json!({
            "event.kind": "event",
            "event.action": "tail.gap",
            "event.category": ["host"],
            "event.type": ["info"],
            "message": message,
            "log.file.path": path,
            "log.offset": file.offset,
            "tail.reason": reason,
        });
        if let (Some(bytes), Some(fields)) = (lost, event.as_object_mut()) {
            fields.insert("tail.lost_bytes".to_owned(), bytes.into());
        }
        let (stream, offset) = (file.stream(), file.offset);
        self.out.synthetic(stream, &path, offset, &event.to_string());
        self.out.touch(slot);
        self.out.tell(FactKind::Gaps, message);
        self.out.count(FactKind::GapBytes, lost.unwrap_or_default());
    }

    /// A file that left was read to its end and has been quiet: it is closed.
    pub(super) fn retire(&mut self, slot: Slot) {
        let Some(file) = self.files.get(&slot) else { return };
        if file.standing != Standing::Left || file.ready || file.scanned > file.offset {
            return;
        }
        let place = self.locate(slot);
        let retired = self.files.values().filter(|f| f.standing == Standing::Retired).count();
        let Some((place, _)) = place.filter(|_| retired < RETIRED_MAX) else {
            self.remove(slot);
            return;
        };
        if let Some(file) = self.files.get_mut(&slot) {
            file.place = place;
            file.standing = Standing::Retired;
            file.file = None;
            self.out.touch(slot);
        }
    }

    /// Looks whether finished files have grown all the same, or are gone.
    pub(super) fn check_retired(&mut self) {
        let retired: Vec<Slot> = self
            .files
            .iter()
            .filter(|(_, file)| file.standing == Standing::Retired)
            .map(|(slot, _)| *slot)
            .collect();
        for slot in retired {
            let found = self.locate(slot);
            let Some(file) = self.files.get_mut(&slot) else { continue };
            match found {
                Some((place, look)) => {
                    file.place = place;
                    file.size = Some(look.size);
                    file.ready = false;
                    if look.size > file.offset {
                        file.standing = Standing::Left;
                        file.ready = true;
                        file.active = monotonic();
                    }
                }
                None => self.remove(slot),
            }
        }
    }
}

/// The moment after which a rotated file must have begun.
#[derive(Debug, Clone, Copy)]
struct Since {
    birth: Option<i64>,
    modified: i64,
    /// Decides between files of the same moment: the clock of a file system is coarse.
    age: u16,
}

impl Since {
    fn is_before(self, look: &Look, age: u16) -> bool {
        match (self.birth, look.id.birth) {
            (Some(since), Some(birth)) if since == birth => age < self.age,
            (Some(since), Some(birth)) => birth > since && look.modified >= since,
            _ if look.modified == self.modified => age < self.age,
            _ => look.modified > self.modified,
        }
    }
}

/// Whether the file at a path begins like a followed one: a copy of it, no successor.
fn is_like(file: &Tracked, path: &Path) -> bool {
    file.head.len > 0
        && open(path).is_ok_and(|(handle, _)| file.head.is_at(&handle, 0).unwrap_or(false))
}
