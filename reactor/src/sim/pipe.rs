//! The simulated pipes of a seeded play (`cast.rs`), with the checks of what a reader sees.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use crate::sim::cast::Stage;
use crate::sync::Mutex;
use crate::time::Clock;
use crate::{Interest, Placement, Ready, Registration, is_shutdown_error};

/// A descriptor number. It is used again after its registration has ended.
pub(super) struct Number {
    fd: RawFd,
    numbers: Arc<Mutex<Vec<bool>>>,
}

impl Number {
    fn new(numbers: &Arc<Mutex<Vec<bool>>>) -> Self {
        let mut used = numbers.lock();
        let free = used.iter().position(|used| !used);
        let index = free.unwrap_or_else(|| {
            used.push(false);
            used.len() - 1
        });
        used[index] = true;
        Self {
            fd: 200_000 + RawFd::try_from(index).unwrap(),
            numbers: Arc::clone(numbers),
        }
    }
}

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.numbers.lock()[(self.fd - 200_000) as usize] = false;
    }
}

/// A simulated pipe: bytes that tasks write and read.
pub(super) struct Pipe {
    pub(super) registration: Registration,
    pub(super) flow: Mutex<Flow>,
    clock: Clock,
    pub(super) is_hashed: bool,
    /// Freed after the registration.
    number: Number,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Flow {
    pub(super) unread: u64,
    pub(super) written: u64,
    pub(super) has_ended: bool,
    pub(super) readers: u32,
}

impl Pipe {
    pub(super) fn new(stage: &Stage) -> io::Result<Arc<Self>> {
        let number = Number::new(&stage.numbers);
        let placement = match stage.below(4) {
            0 => Placement::Shard(stage.any_shard()),
            1 => Placement::Current,
            _ => Placement::Hash,
        };
        let interest = Interest::READABLE;
        let registration =
            Registration::new(&stage.handle, placement, &number, interest, Ready::EMPTY)?;
        Ok(Arc::new(Self {
            registration,
            flow: Mutex::default(),
            clock: stage.clock.clone(),
            is_hashed: placement == Placement::Hash,
            number,
        }))
    }

    /// Checks that a second registration of the descriptor is refused, wherever the first one is.
    pub(super) fn check_double(&self, stage: &Stage) {
        let second = Registration::new(
            &stage.handle,
            Placement::Hash,
            &self.number,
            Interest::READABLE,
            Ready::EMPTY,
        );
        let refused = second.is_err_and(|error| {
            error.kind() == io::ErrorKind::AlreadyExists || is_shutdown_error(&error)
        });
        stage.expect(
            refused || !self.is_hashed,
            "a descriptor was registered twice",
        );
    }

    pub(super) fn write(&self, bytes: u64) {
        let mut flow = self.flow.lock();
        flow.unread += bytes;
        flow.written += bytes;
        self.clock.raise(self.number.fd, Ready::READABLE);
    }

    pub(super) fn end(&self, clock: &Clock) {
        self.flow.lock().has_ended = true;
        clock.raise(self.number.fd, Ready::READABLE | Ready::READ_CLOSED);
    }

    /// Waits for bytes and takes some. `None` at the end.
    pub(super) async fn read(&self, stage: &Stage) -> Option<u64> {
        let _reading = Reading::new(&self.flow);
        loop {
            let event = match self.registration.readable().await {
                Ok(event) => event,
                Err(error) => {
                    stage.expect(
                        is_shutdown_error(&error) && stage.is_stopping(),
                        "a wait failed",
                    );
                    return None;
                }
            };
            let mut flow = self.flow.lock();
            if flow.unread > 0 {
                let all = flow.unread;
                let taken = if stage.one_in(3) { 1 } else { all };
                flow.unread -= taken;
                if taken < all {
                    return Some(taken);
                }
                if !flow.has_ended {
                    self.clock.lower(self.number.fd, Ready::READABLE);
                }
                drop(flow);
                self.registration.clear(event);
                return Some(taken);
            }
            if flow.has_ended {
                return None;
            }
            let was_written = flow.written > 0;
            drop(flow);
            stage.expect(
                was_written || event.ready().is_empty(),
                "a new registration got the event of another",
            );
            // As after a read that would block.
            self.registration.clear(event);
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let states = Ready::READABLE | Ready::READ_CLOSED;
        self.clock.lower(self.number.fd, states);
    }
}

struct Reading<'a>(&'a Mutex<Flow>);

impl<'a> Reading<'a> {
    fn new(flow: &'a Mutex<Flow>) -> Self {
        flow.lock().readers += 1;
        Self(flow)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.lock().readers -= 1;
    }
}
