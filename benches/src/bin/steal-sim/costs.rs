//! The costs of the machine, in nanoseconds.

use crate::workload::US;

/// CPU time of the steps of a shard, and the delay of a wake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// The time from an event or a notification to the first instruction of a sleeping shard. On
    /// the machine of BENCHMARKS.md, a round of two wakes through an eventfd takes 11.2 us, so one
    /// takes 5.6 us. With idle states of the CPU and a hypervisor it takes 20 to 50 us.
    pub(crate) wake: u64,
    /// The sender's part: one write to an eventfd whose reader sleeps.
    pub(crate) notify: u64,
    /// One `epoll_wait`, without its events.
    pub(crate) look: u64,
    /// One event: fetched, published, its task woken and queued.
    pub(crate) event: u64,
    /// Taking a task from the queue and polling it, without its handler.
    pub(crate) poll: u64,
    /// Checking one sibling, or the shared word: a cache miss.
    pub(crate) search: u64,
    /// A steal, without its tasks.
    pub(crate) steal: u64,
    /// One stolen task.
    pub(crate) stolen: u64,
    /// One task put into another shard's inbox.
    pub(crate) remote: u64,
    /// Checking a sibling's epoll: its lock and one `epoll_wait`.
    pub(crate) serve: u64,
    /// Moving a registration: `EPOLL_CTL_DEL`, `EPOLL_CTL_ADD`.
    pub(crate) moving: u64,
}

impl Costs {
    pub(crate) const DEFAULT: Self = Self {
        wake: 6 * US,
        notify: 1_500,
        look: 500,
        event: 100,
        poll: 100,
        search: 200,
        steal: 300,
        stolen: 300,
        remote: 200,
        serve: 1_500,
        moving: 2 * US,
    };

    /// All costs are zero, for tests against the ideal queue.
    #[cfg(test)]
    pub(crate) const FREE: Self = Self {
        wake: 0,
        notify: 0,
        look: 0,
        event: 0,
        poll: 0,
        search: 0,
        steal: 0,
        stolen: 0,
        remote: 0,
        serve: 0,
        moving: 0,
    };

    pub(crate) fn with_wake(self, wake: u64) -> Self {
        Self { wake, ..self }
    }
}
