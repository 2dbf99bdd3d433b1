//! Tests of lookups: their trigger, their time and their thread.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use reactor::{Reactor, ShardId};

use super::sealed::{Given, Target};
use super::{ToSocketAddrs, resolve};

/// No wait takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

fn reactor() -> Reactor {
    let builder = Reactor::builder().shards(1).max_blocking_threads(1);
    builder.build().unwrap()
}

fn within_deadline<F: Future>(reactor: &Reactor, future: F) -> F::Output {
    reactor
        .block_on(async { reactor::time::timeout(DEADLINE, future).await })
        .expect("it did not end in time")
}

fn name() -> Target {
    Target::Name("somewhere".to_owned(), 80)
}

fn found() -> Vec<SocketAddr> {
    vec![([192, 0, 2, 1], 80).into(), ([192, 0, 2, 2], 80).into()]
}

#[test]
fn an_address_is_never_looked_up() {
    fn outright(given: impl ToSocketAddrs) -> SocketAddr {
        let target = given.target().unwrap();
        // There is no reactor, so there is not even a thread that could look something up.
        let nobody = |_: &str, _| panic!("a lookup ran");
        let mut addresses = at_once(resolve(target, nobody)).unwrap();
        addresses.next().unwrap()
    }
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 80));
    assert_eq!(outright(v4), v4);
    assert_eq!(outright("127.0.0.1:80"), v4);
    assert_eq!(outright("127.0.0.1:80".to_owned()), v4);
    assert_eq!(outright(("127.0.0.1", 80)), v4);
    assert_eq!(outright(("127.0.0.1".to_owned(), 80)), v4);
    assert_eq!(outright((Ipv4Addr::LOCALHOST, 80)), v4);
    assert_eq!(outright("[::1]:80"), v6);
    assert_eq!(outright(("::1", 80)), v6);
    assert_eq!(outright(&[v6, v4][..]), v6);
}

/// Returns the output of a future that does not wait.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut cx) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn what_is_no_address_is_read_as_a_name_and_a_port() {
    let is_name = |given: &dyn Given| match given.target().unwrap() {
        Target::Name(host, 80) => host,
        other => panic!("taken for {other:?}"),
    };
    assert_eq!(is_name(&"localhost:80".to_owned()), "localhost");
    assert_eq!(is_name(&("localhost", 80)), "localhost");
    // Too few numbers, and one out of range: both look like names.
    assert_eq!(is_name(&("127.1", 80)), "127.1");
    assert_eq!(is_name(&("127.0.0.256", 80)), "127.0.0.256");
    for wrong in [
        "",
        "localhost",
        "localhost:",
        "localhost:http",
        "localhost:65536",
        "[::1]",
    ] {
        let error = wrong.target().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong:?}");
    }
}

#[test]
fn a_slow_resolver_holds_nobody_up() {
    let reactor = reactor();
    let shard = reactor.handle().shards().next().unwrap();
    let (answer, answered) = mpsc::channel();
    let looked_up = reactor.handle().spawn_on(shard, move || async move {
        let slow = move |host: &str, port| {
            assert_eq!((host, port), ("somewhere", 80));
            assert_eq!(ShardId::current(), None);
            // Only the shard answers, and it can do so only while it is not blocked here.
            answered.recv_timeout(DEADLINE).map_err(io::Error::other)?;
            Ok(found())
        };
        resolve(name(), slow).await.unwrap().collect::<Vec<_>>()
    });
    let other = reactor.handle().spawn_on(shard, move || async move {
        for _ in 0..3 {
            reactor::time::sleep(Duration::from_millis(1)).await;
        }
        answer.send(()).unwrap();
    });
    within_deadline(&reactor, other).unwrap();
    assert_eq!(within_deadline(&reactor, looked_up).unwrap(), found());
}

#[test]
fn a_question_that_was_given_up_is_not_asked() {
    let reactor = reactor();
    let (answer, answered) = mpsc::channel::<()>();
    within_deadline(&reactor, async {
        let ask = |look_up: Box<dyn FnOnce() + Send>| {
            let look_up = |_: &str, _| {
                look_up();
                Ok(found())
            };
            Box::pin(resolve(name(), look_up))
        };
        // The only thread is busy with the first lookup while the second is queued.
        let mut first = ask(Box::new(move || assert!(answered.recv().is_err())));
        let asked = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&asked);
        let mut second = ask(Box::new(move || note.store(true, Ordering::SeqCst)));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(second);
        drop(answer);
        first.await.unwrap();
        // The cancelled lookup would have run before this one.
        ask(Box::new(|| ())).await.unwrap();
        assert!(!asked.load(Ordering::SeqCst));
    });
}

#[test]
fn what_the_resolver_says_and_its_panics_are_errors() {
    let reactor = reactor();
    within_deadline(&reactor, async {
        let says = |_: &str, _| Err(io::Error::from_raw_os_error(2));
        let error = resolve(name(), says).await.err().unwrap();
        assert_eq!(error.raw_os_error(), Some(2));
        let panics = |_: &str, _| panic!("out of order");
        let error = resolve(name(), panics).await.err().unwrap();
        assert!(error.to_string().contains("out of order"), "{error}");
    });
    let handle = reactor.handle().clone();
    reactor.shutdown(Duration::ZERO).unwrap();
    let _entered = handle.enter();
    let nobody = |_: &str, _| panic!("a lookup ran");
    let error = at_once(resolve(name(), nobody)).err().unwrap();
    assert!(reactor::is_shutdown_error(&error), "{error}");
}
