//! `Timeout` and its error.

use std::future::{pending, ready};
use std::io;
use std::time::Duration;

use super::side::{Elapsed, runtime, timeout};

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_timeout_lends_its_future() {
    runtime().block_on(async {
        let mut timed = timeout(LONG, ready(1));
        *timed.get_mut() = ready(2);
        assert_eq!(timed.get_ref().clone().into_inner(), 2);
        assert_eq!(timed.into_inner().await, 2);
        let mut timed = timeout(LONG, ready(1));
        *timed.get_mut() = ready(3);
        assert_eq!(timed.await, Ok(3));
    });
}

#[test]
fn its_error_becomes_an_io_error() {
    let elapsed: Result<(), Elapsed> =
        runtime().block_on(async { timeout(Duration::from_millis(1), pending()).await });
    let error = io::Error::from(elapsed.unwrap_err());
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
