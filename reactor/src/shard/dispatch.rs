//! The part of a shard behind its poll lock: the epoll instance and the inbox's receiving end.
//!
//! The holder of the lock dispatches: the shard itself, or a sibling that serves it. A shard that
//! shares its work takes the driver out before it sleeps and waits without the lock. Thus a sibling
//! can serve it while it sleeps, or while it waits for a CPU. `STEALING.md` has the argument.

use crate::driver::{Driver, OsEvent};
use crate::shard::commands::Commands;
use crate::shard::inbox::Command;

#[derive(Debug)]
pub(super) struct Dispatch {
    /// Empty while the shard waits without the lock.
    driver: Option<Driver>,
    pub(super) commands: Commands<Command>,
}

impl Dispatch {
    pub(super) fn new(driver: Driver, commands: Commands<Command>) -> Self {
        Self {
            driver: Some(driver),
            commands,
        }
    }

    /// Returns true if the shard waits without the lock, or has a batch that it has not dispatched.
    pub(super) fn is_waiting(&self) -> bool {
        self.driver.is_none()
    }

    /// Returns the driver. Called by the shard, or while it does not wait.
    #[inline(always)]
    pub(super) fn driver(&mut self) -> &mut Driver {
        self.driver.as_mut().expect("the shard does not wait")
    }

    /// Returns the events of the last wait. Called like `driver`.
    #[inline(always)]
    pub(super) fn batch(&self) -> impl Iterator<Item = OsEvent> + '_ {
        self.driver
            .as_ref()
            .expect("the shard does not wait")
            .events()
    }

    /// Takes the driver out for a wait without the lock. Called by the shard only.
    pub(super) fn take_driver(&mut self) -> Driver {
        self.driver.take().expect("the shard put it back")
    }

    /// Puts the driver back, whose batch is not dispatched yet. Called by the shard only.
    pub(super) fn put_driver(&mut self, driver: Driver) {
        self.driver = Some(driver);
    }
}
