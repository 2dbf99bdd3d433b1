//! Things that a command makes and removes again: when it is done, when it fails, and at the
//! signals that end it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};

/// An action of the end, with the number of its guard.
type Action = (u64, Box<dyn FnOnce() + Send>);

static ACTIONS: Mutex<Vec<Action>> = Mutex::new(Vec::new());

fn actions() -> MutexGuard<'static, Vec<Action>> {
    ACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guard that runs an action once: when it is dropped, or at the signal that ends the command.
#[derive(Debug)]
pub(crate) struct Cleanup(u64);

impl Cleanup {
    /// Keeps an action for later.
    pub(crate) fn new(action: impl FnOnce() + Send + 'static) -> Self {
        let mut actions = actions();
        let number = actions.last().map_or(0, |(last, _)| last + 1);
        actions.push((number, Box::new(action)));
        Self(number)
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let mut actions = actions();
        let found = actions.iter().position(|(number, _)| *number == self.0);
        let action = found.map(|index| actions.remove(index));
        drop(actions);
        if let Some((_, action)) = action {
            action();
        }
    }
}

/// Runs all actions that are left, the newest first.
pub(crate) fn run_all() {
    loop {
        let last = actions().pop();
        match last {
            Some((_, action)) => action(),
            None => return,
        }
    }
}

/// A temporary folder, which is removed with all its files.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _removal: Cleanup,
}

impl Folder {
    /// Makes an empty folder.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new() -> Result<Self> {
        let made = tempfile::Builder::new().prefix("xtask-").tempdir();
        let path = made.context("a temporary folder")?.keep();
        let removed = path.clone();
        let removal = Cleanup::new(move || {
            let _ = fs::remove_dir_all(removed);
        });
        Ok(Self {
            path,
            _removal: removal,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_removed_with_its_files() {
        let folder = Folder::new().unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("file"), "text").unwrap();
        let other = Folder::new().unwrap();
        drop(folder);
        assert!(!path.exists());
        assert!(other.path().exists());
    }
}
