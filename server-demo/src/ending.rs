//! The reasons for which a connection ends, and their counters. Tests: `tests/echo.rs`,
//! `tests/limits.rs`, `tests/drain.rs`.

use std::io;

use asyncfd::serve::{Ended, Outcome};
use reactor::is_shutdown_error;

use crate::stats::Counters;

/// The reason a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer ended the stream, and everything before that was answered.
    Finished,
    /// No byte moved within the idle timeout.
    Idle,
    /// The peer did not take an answer within the write timeout.
    Unread,
    /// A drain closed it after everything that it had received was answered.
    Drained,
    /// The socket failed, usually by a reset from the peer.
    Failed,
    /// The reactor shut down, or the task was dropped, before the connection was done.
    CutOff,
}

impl Ending {
    pub(crate) fn of(error: io::Error) -> Self {
        Self::of_ref(&error)
    }

    pub(crate) fn of_ref(error: &io::Error) -> Self {
        if is_shutdown_error(error) {
            Self::CutOff
        } else {
            Self::Failed
        }
    }

    pub(crate) fn count(self, counters: &Counters) {
        match self {
            Self::Idle => Counters::bump(&counters.idle_closed),
            Self::Unread => Counters::bump(&counters.unread_closed),
            _ => {}
        }
    }
}

impl Outcome for Ending {
    fn ended(&self) -> Ended {
        match self {
            Self::Failed => Ended::Failed,
            Self::CutOff => Ended::CutOff,
            _ => Ended::Finished,
        }
    }
}
