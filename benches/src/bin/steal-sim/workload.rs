//! Workloads: the connection, arrival time and service time of each request.
//!
//! An open workload is drawn once from a seed, so that every policy serves the same requests. Times
//! are nanoseconds. A workload does not depend on a policy. `main.rs` calls it. Tests are in
//! `tests.rs`.

use fastrand::Rng;

/// Nanoseconds in a microsecond.
pub(crate) const US: u64 = 1_000;
/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000 * US;

/// One request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The time at which it arrives at the socket.
    pub(crate) at: u64,
    pub(crate) connection: usize,
    /// The CPU time of its handler.
    pub(crate) service: u64,
    /// True if the table includes its latency. Those of the long handlers of `mix` are left out.
    pub(crate) measured: bool,
}

/// The distribution of service times, each with the same mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Fixed,
    Exponential,
    /// Nine of ten take half the mean, one of ten takes 5.5 times the mean (ZygOS's "bimodal-1").
    Bimodal,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Fixed, Self::Exponential, Self::Bimodal];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Exponential => "exp",
            Self::Bimodal => "bimodal",
        }
    }

    pub(crate) fn draw(self, mean: u64, rng: &mut Rng) -> u64 {
        match self {
            Self::Fixed => mean,
            Self::Exponential => exponential(mean as f64, rng),
            Self::Bimodal if rng.u32(..10) == 0 => mean * 11 / 2,
            Self::Bimodal => mean / 2,
        }
    }
}

/// The distribution of load over connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Every connection has the same load.
    Even,
    /// The connections of shard 0 have 90% of the load.
    Skew,
    /// As `Skew`, but the next shard becomes the hot one after each period.
    Shift { every: u64 },
    /// Short handlers, and a few connections whose handlers run for 20 ms. Only the short ones are
    /// measured.
    Mix,
}

impl Shape {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Skew => "skew",
            Self::Shift { .. } => "shift",
            Self::Mix => "mix",
        }
    }
}

/// The share of the load on hot connections, in percent.
const HOT_LOAD: u32 = 90;
/// The handlers of the heavy connections of `mix`.
const HEAVY: u64 = 20 * MS;

/// The definition of an open workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) shape: Shape,
    pub(crate) shards: usize,
    /// Connection `c` is registered on shard `c % shards` at first.
    pub(crate) connections: usize,
    /// Offered CPU time, as a share of all shards' time.
    pub(crate) load: f64,
    pub(crate) service: Service,
    /// The mean service time.
    pub(crate) mean: u64,
}

impl Workload {
    /// Draws `count` requests with Poisson arrivals, ordered by time.
    pub(crate) fn draw(&self, count: usize, seed: u64) -> Vec<Request> {
        let mut rng = Rng::with_seed(seed);
        // In `mix` a third of the offered time goes to the heavy handlers.
        let light_load = match self.shape {
            Shape::Mix => self.load * 2.0 / 3.0,
            _ => self.load,
        };
        let capacity = self.shards as f64;
        let mut requests = Vec::with_capacity(count);
        let mut at = 0;
        for _ in 0..count {
            at += exponential(self.mean as f64 / (light_load * capacity), &mut rng);
            requests.push(Request {
                at,
                connection: self.pick(at, &mut rng),
                service: self.service.draw(self.mean, &mut rng),
                measured: true,
            });
        }
        if self.shape == Shape::Mix {
            self.add_heavy(at, &mut requests, &mut rng);
        }
        requests
    }

    fn pick(&self, at: u64, rng: &mut Rng) -> usize {
        let any = rng.usize(..self.connections);
        let hot = match self.shape {
            Shape::Even | Shape::Mix => return any,
            Shape::Skew => 0,
            Shape::Shift { every } => {
                usize::try_from(at / every).expect("few shifts") % self.shards
            }
        };
        if rng.u32(..100) < HOT_LOAD {
            any - any % self.shards + hot
        } else {
            any
        }
    }

    /// Adds one heavy connection per shard, each with its share of the heavy load.
    fn add_heavy(&self, until: u64, requests: &mut Vec<Request>, rng: &mut Rng) {
        let gap = HEAVY as f64 / (self.load / 3.0 * self.shards as f64);
        let mut at = exponential(gap, rng);
        while at < until {
            requests.push(Request {
                at,
                connection: self.connections + rng.usize(..self.shards),
                service: HEAVY,
                measured: false,
            });
            at += exponential(gap, rng);
        }
        requests.sort_by_key(|request| request.at);
    }
}

/// Connections that always have one request in flight: the next one arrives a pause after the
/// answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedLoop {
    pub(crate) connections: usize,
    pub(crate) service: Service,
    pub(crate) mean: u64,
    /// The time from an answer to the next request.
    pub(crate) pause: u64,
    /// The end of the run.
    pub(crate) until: u64,
}

/// Draws an exponentially distributed time.
pub(crate) fn exponential(mean: f64, rng: &mut Rng) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a simulated time is far below 2^53 ns"
    )]
    let time = (-(1.0 - rng.f64()).ln() * mean).round() as u64;
    time
}
