//! The ideal for comparison: one central queue, n servers, first come, first served, without any
//! costs (M/G/n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::workload::Request;

/// Returns the latencies of the measured requests in an M/G/n queue, in no particular order.
pub(crate) fn latencies(requests: &[Request], servers: usize) -> Vec<u64> {
    let mut free_at: BinaryHeap<Reverse<u64>> = (0..servers).map(|_| Reverse(0)).collect();
    let mut latencies = Vec::with_capacity(requests.len());
    for request in requests {
        let Reverse(free) = free_at.pop().expect("there is a server");
        let end = free.max(request.at) + request.service;
        free_at.push(Reverse(end));
        if request.measured {
            latencies.push(end - request.at);
        }
    }
    latencies
}
