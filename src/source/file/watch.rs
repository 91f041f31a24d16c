//! Wakes the tailer early. Nothing depends on it: without a single event the tailer is only slower.

use super::identity::look_at;
use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Folders watched at most.
const FOLDERS_MAX: usize = 512;
/// Changed files remembered at most between two looks; beyond, everything is looked at.
const TOUCHED_MAX: usize = 1024;

/// What has happened since the last look.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Followed files that changed.
    pub(super) touched: BTreeSet<PathBuf>,
    /// Files came or went, or events were lost.
    pub(super) rescan: bool,
    known: Arc<BTreeSet<PathBuf>>,
}

#[derive(Debug, Default)]
struct Mailbox {
    mail: Mutex<Mail>,
    bell: Condvar,
}

/// The watches of one source.
#[derive(Debug, Default)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    mailbox: Arc<Mailbox>,
    folders: BTreeMap<PathBuf, (u64, u64)>,
}

impl Watch {
    /// Begins to watch. Without it, waiting only waits.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let mailbox = Arc::clone(&self.mailbox);
        let handler = move |event: notify::Result<Event>| mailbox.put(event);
        match notify::recommended_watcher(handler) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Watches these folders and tells apart changes of these files.
    pub(super) fn cover(
        &mut self,
        folders: &BTreeSet<PathBuf>,
        known: BTreeSet<PathBuf>,
    ) -> Result<(), String> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        self.mailbox.lock().known = Arc::new(known);
        let mut failed = Ok(());
        self.folders.retain(|folder, _| {
            let kept = folders.contains(folder);
            if !kept {
                drop(watcher.unwatch(folder));
            }
            kept
        });
        for folder in folders.iter().take(FOLDERS_MAX) {
            let Ok(look) = look_at(folder) else { continue };
            if self.folders.get(folder) == Some(&look.id.inode()) {
                continue;
            }
            if self.folders.remove(folder).is_some() {
                drop(watcher.unwatch(folder));
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder.clone(), look.id.inode());
                }
                Err(error) => failed = Err(format!("`{}`: {error}", folder.display())),
            }
        }
        failed
    }

    /// Waits for something to happen, at most this long, and takes what has.
    pub(super) fn wait(&self, limit: Duration) -> Mail {
        let mail = self.mailbox.lock();
        let (mut mail, _) = self
            .mailbox
            .bell
            .wait_timeout_while(mail, limit, |mail| mail.touched.is_empty() && !mail.rescan)
            .unwrap_or_else(PoisonError::into_inner);
        let known = Arc::clone(&mail.known);
        std::mem::replace(&mut mail, Mail { known, ..Mail::default() })
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, event: notify::Result<Event>) {
        let mut mail = self.lock();
        match event {
            Ok(event) if !event.need_rescan() => match event.kind {
                EventKind::Access(_) => return,
                EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
                    mail.touch(&event.paths);
                }
                EventKind::Any
                | EventKind::Other
                | EventKind::Create(_)
                | EventKind::Modify(_)
                | EventKind::Remove(_) => mail.rescan = true,
            },
            Ok(_) | Err(_) => mail.rescan = true,
        }
        if mail.rescan || !mail.touched.is_empty() {
            self.bell.notify_one();
        }
    }
}

impl Mail {
    fn touch(&mut self, paths: &[PathBuf]) {
        for path in paths.iter().filter(|path| self.known.contains(Path::new(path))) {
            if self.touched.len() >= TOUCHED_MAX {
                self.rescan = true;
                return;
            }
            self.touched.insert(path.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{DataChange, Flag};

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(path.into())
    }

    #[test]
    fn an_overflow_of_the_kernel_queue_asks_for_a_look_at_everything() {
        let watch = Watch::default();
        watch.mailbox.put(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert!(watch.wait(Duration::ZERO).rescan);
        assert!(!watch.wait(Duration::ZERO).rescan, "once");
        watch.mailbox.put(Err(notify::Error::generic("broken")));
        assert!(watch.wait(Duration::ZERO).rescan);
    }

    #[test]
    fn only_followed_files_wake_and_too_many_changes_become_a_rescan() {
        let watch = Watch::default();
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        watch.mailbox.lock().known =
            Arc::new((0..=TOUCHED_MAX).map(|n| format!("/d/{n}").into()).collect());
        watch.mailbox.put(Ok(event(data, "/d/other")));
        let mail = watch.wait(Duration::ZERO);
        assert!(mail.touched.is_empty() && !mail.rescan);
        for number in 0..=TOUCHED_MAX {
            watch.mailbox.put(Ok(event(data, &format!("/d/{number}"))));
        }
        let mail = watch.wait(Duration::ZERO);
        assert_eq!(mail.touched.len(), TOUCHED_MAX);
        assert!(mail.rescan);
    }
}
