//! The tokio bridge: tokio's context, its budget, and its threads.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use asyncfd::tokio_rt::{self, Bridge};
use reactor::{Handle, Reactor, ShardId};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, broadcast, mpsc, watch};

/// The longest time that a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(30);

fn bridge() -> Bridge {
    tokio_rt::start(Reactor::builder().shards(2)).unwrap()
}

/// Runs a future on a shard of the bridge, and fails if it does not end.
fn on_a_shard<F: Future<Output = ()> + 'static>(
    bridge: &Bridge,
    make: impl FnOnce() -> F + Send + 'static,
) {
    let shard = bridge.handle().shards().next().unwrap();
    let task = bridge.handle().spawn_on(shard, make);
    let ended = bridge.block_on(async { reactor::time::timeout(DEADLINE, task).await });
    match ended.expect("it did not end in time") {
        Ok(()) => {}
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[test]
fn without_the_bridge_tokio_panics_on_a_shard() {
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let task = reactor
        .handle()
        .spawn(async { tokio::spawn(async {}).await });
    assert!(reactor.block_on(task).unwrap_err().is_panic());
}

#[test]
fn tokios_tasks_timers_and_blocking_threads_are_awaited_on_a_shard() {
    let bridge = bridge();
    on_a_shard(&bridge, || async {
        let here = ShardId::current();
        assert!(here.is_some());
        let mut set = tokio::task::JoinSet::new();
        for i in 0..100_u32 {
            set.spawn(async move {
                tokio::time::sleep(Duration::from_millis(u64::from(i % 5))).await;
                assert_eq!(
                    ShardId::current(),
                    None,
                    "tokio's tasks run on tokio's threads"
                );
                i
            });
        }
        let mut sum = 0;
        while let Some(i) = set.join_next().await {
            sum += i.unwrap();
            assert_eq!(ShardId::current(), here);
        }
        assert_eq!(sum, 4950);
        assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7);
        let never = std::future::pending::<()>();
        let timed = tokio::time::timeout(Duration::from_millis(5), never).await;
        assert!(timed.is_err());
        let mut interval = tokio::time::interval(Duration::from_millis(2));
        for _ in 0..3 {
            interval.tick().await;
        }
        assert_eq!(ShardId::current(), here);
    });
}

#[test]
fn tokios_sockets_work_on_a_shard() {
    let bridge = bridge();
    on_a_shard(&bridge, || async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = reactor::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut reads, mut writes) = stream.split();
            tokio::io::copy(&mut reads, &mut writes).await.unwrap()
        });
        let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        tokio::io::AsyncReadExt::read_exact(&mut client, &mut answer)
            .await
            .unwrap();
        assert_eq!(&answer, b"hello");
        drop(client);
        assert_eq!(server.await.unwrap(), 5);
    });
}

#[test]
fn tokios_threads_know_the_reactor() {
    let bridge = bridge();
    let on_tokio = async {
        reactor::time::sleep(Duration::from_millis(2)).await;
        let (here, there) = asyncfd::net::UnixStream::pair()?;
        there.write_all(b"hi").await?;
        let mut buffer = [0; 2];
        here.read(&mut buffer).await?;
        let on_shard = Handle::current().spawn(async { ShardId::current().is_some() });
        io::Result::Ok((buffer, on_shard.await.unwrap()))
    };
    let task = bridge.runtime().spawn(on_tokio);
    let (buffer, on_shard) = bridge.block_on(task).unwrap().unwrap();
    assert_eq!(&buffer, b"hi");
    assert!(on_shard);
    let blocking = bridge
        .runtime()
        .spawn_blocking(|| Handle::try_current().is_some());
    assert!(bridge.block_on(blocking).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_tokio_starts_from_a_pinned_shard_are_not_pinned() {
    let mask = || rustix::thread::sched_getaffinity(None).unwrap();
    let before = mask();
    let bridge = bridge();
    if !bridge.warnings().is_empty() {
        return;
    }
    on_a_shard(&bridge, move || async move {
        let of_thread = tokio::task::spawn_blocking(mask).await.unwrap();
        assert_eq!(of_thread, before);
    });
}

/// Runs `busy` on a shard beside a ticker, until the ticker has ticked ten times.
fn lets_a_ticker_tick<F: Future<Output = ()> + 'static>(
    busy: impl FnOnce(Arc<AtomicBool>) -> F + Send + 'static,
) {
    let bridge = bridge();
    on_a_shard(&bridge, move || async move {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let ticker = reactor::spawn_local(async move {
            for _ in 0..10 {
                reactor::time::sleep(Duration::from_millis(2)).await;
            }
            stopped.store(true, Ordering::Relaxed);
        });
        busy(stop).await;
        ticker.await.unwrap();
    });
}

#[test]
fn a_loop_over_an_mpsc_channel_yields() {
    lets_a_ticker_tick(|stop| async move {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        while !stop.load(Ordering::Relaxed) {
            sender.send(1).unwrap();
            receiver.recv().await.unwrap();
        }
    });
}

#[test]
fn a_loop_over_a_broadcast_channel_yields() {
    lets_a_ticker_tick(|stop| async move {
        let (sender, mut receiver) = broadcast::channel(4);
        while !stop.load(Ordering::Relaxed) {
            sender.send(1).unwrap();
            receiver.recv().await.unwrap();
        }
    });
}

#[test]
fn a_loop_over_a_watch_channel_yields() {
    lets_a_ticker_tick(|stop| async move {
        let (sender, mut receiver) = watch::channel(0);
        while !stop.load(Ordering::Relaxed) {
            sender.send(1).unwrap();
            receiver.changed().await.unwrap();
        }
    });
}

#[test]
fn a_loop_over_a_mutex_yields() {
    lets_a_ticker_tick(|stop| async move {
        let mutex = Mutex::new(0_u64);
        while !stop.load(Ordering::Relaxed) {
            *mutex.lock().await += 1;
        }
    });
}

#[test]
fn a_copy_without_end_yields_and_is_timed_out() {
    let bridge = bridge();
    on_a_shard(&bridge, || async {
        let mut source = tokio::io::repeat(1);
        let mut sink = tokio::io::sink();
        let copy = tokio::io::copy(&mut source, &mut sink);
        let copied = reactor::time::timeout(Duration::from_millis(20), copy).await;
        assert!(copied.is_err());
    });
}

#[test]
fn while_a_task_takes_queued_messages_another_one_is_polled() {
    let bridge = bridge();
    on_a_shard(&bridge, || async {
        const MESSAGES: u32 = 300_000;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for i in 0..MESSAGES {
            sender.send(i).unwrap();
        }
        drop(sender);
        let done = std::rc::Rc::new(std::cell::Cell::new(false));
        let seen = std::rc::Rc::clone(&done);
        let other = reactor::spawn_local(async move {
            let mut polls = 0_u32;
            while !seen.get() {
                polls += 1;
                reactor::yield_now().await;
            }
            polls
        });
        while receiver.recv().await.is_some() {}
        done.set(true);
        let polls = other.await.unwrap();
        println!("{polls} polls of another task during {MESSAGES} messages");
        // The budget is 128 messages a poll.
        assert!(polls >= MESSAGES / 128 / 100, "{polls} polls");
    });
}

#[test]
fn every_task_of_a_turn_starts_with_a_full_budget() {
    let bridge = bridge();
    on_a_shard(&bridge, || async {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                reactor::spawn_local(async {
                    let mut units = 0;
                    std::future::poll_fn(|cx| {
                        while let std::task::Poll::Ready(coop) = tokio::task::coop::poll_proceed(cx)
                        {
                            coop.made_progress();
                            units += 1;
                            assert!(units < 10_000, "there is a budget");
                        }
                        std::task::Poll::Ready(())
                    })
                    .await;
                    units
                })
            })
            .collect();
        let mut units = Vec::new();
        for task in tasks {
            units.push(task.await.unwrap());
        }
        // tokio gives 128; the guard that refills the budget holds one of them.
        assert_eq!(units, [127; 20]);
    });
}

#[test]
fn blocking_inside_a_task_panics_as_on_tokio() {
    let bridge = bridge();
    let task = bridge.handle().spawn(async {
        let (_sender, mut receiver) = mpsc::channel::<()>(1);
        receiver.blocking_recv();
    });
    let error = bridge.block_on(task).unwrap_err();
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    assert!(text.contains("Cannot block the current thread"), "{text}");
    // The shard goes on.
    on_a_shard(&bridge, || async { drop(tokio::spawn(async {}).await) });
}

#[test]
fn a_runtime_that_runs_already_is_used() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let reactor = tokio_rt::start_on(Reactor::builder().shards(1), runtime.handle()).unwrap();
    let task = reactor
        .handle()
        .spawn(async { tokio::spawn(async { 7 }).await.unwrap() });
    assert_eq!(reactor.block_on(task).unwrap(), 7);
}

#[test]
fn a_shutdown_ends_tasks_that_wait_for_tokio() {
    let bridge = bridge();
    drop(bridge.handle().spawn(async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }));
    drop(bridge.handle().spawn(async {
        let (_sender, mut receiver) = mpsc::channel::<()>(1);
        receiver.recv().await;
    }));
    bridge.shutdown(Duration::from_millis(20)).unwrap();
}
