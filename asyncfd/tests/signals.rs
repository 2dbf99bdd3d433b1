//! A storm of signals: every signal that a task waits for arrives, and the interruptions lose
//! nothing else. There is one test, since handlers belong to the process.

mod common;

use std::io::Read;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use asyncfd::net::{TcpListener, TcpStream, UdpSocket};
use asyncfd::{AsyncFd, Interest};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use reactor::Reactor;
use signal_hook::consts::{SIGALRM, SIGUSR1};

use common::support::DEADLINE;
use common::within_deadline;

/// The number of signals sent, each after the previous one was seen.
const SIGNALS: usize = 1_000;

/// Interrupts threads again and again until it is dropped.
struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl Storm {
    fn begin(threads: Vec<Pthread>) -> Self {
        // Without a handler the first signal would end the process.
        signal_hook::flag::register(SIGALRM, Arc::default()).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut sent = 0;
            while !ended.load(Ordering::Relaxed) {
                for &thread in &threads {
                    pthread_kill(thread, Signal::SIGALRM).unwrap();
                    sent += 1;
                }
                thread::sleep(Duration::from_micros(50));
            }
            sent
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    fn end(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // This comes before the threads that it interrupts end, also when a case fails.
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns a signal as a descriptor, as in `guide::descriptors`.
fn descriptor_of(signal: i32) -> AsyncFd<StdUnixStream> {
    let (woken, waker) = StdUnixStream::pair().unwrap();
    woken.set_nonblocking(true).unwrap();
    signal_hook::low_level::pipe::register(signal, waker).unwrap();
    AsyncFd::from_fd_with_interest(woken, Interest::READABLE).unwrap()
}

/// Sends each signal once the previous one was seen.
fn send_and_wait(seen: mpsc::Receiver<usize>) {
    for number in 1..=SIGNALS {
        signal_hook::low_level::raise(SIGUSR1).unwrap();
        let total = seen.recv_timeout(DEADLINE).expect("a signal was lost");
        assert_eq!(total, number);
    }
}

/// Waits for [`SIGNALS`] signals, and reports each.
async fn see(signal: AsyncFd<StdUnixStream>, seen: mpsc::Sender<usize>) {
    let mut total = 0;
    while total < SIGNALS {
        let read = |mut stream: &StdUnixStream| stream.read(&mut [0; 64]);
        total += signal.async_io(Interest::READABLE, read).await.unwrap();
        let _ = seen.send(total);
    }
}

/// Sends bytes through full buffers and back, and compares them.
async fn echo_much() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = reactor::Handle::current().spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut chunk = vec![0; 20_000];
        loop {
            match stream.read(&mut chunk).await.unwrap() {
                0 => return,
                n => stream.write_all(&chunk[..n]).await.unwrap(),
            }
        }
    });
    let client = TcpStream::connect(address).await.unwrap();
    let sent: Vec<u8> = (0..4_u32 << 20)
        .map(|i| i.wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
        .collect();
    let (reader, writer) = client.into_split();
    let mut received = Vec::with_capacity(sent.len());
    let write = async {
        writer.write_all(&sent).await.unwrap();
        drop(writer);
    };
    let read = async {
        let mut chunk = vec![0; 30_000];
        loop {
            match reader.read(&mut chunk).await.unwrap() {
                0 => return,
                n => received.extend_from_slice(&chunk[..n]),
            }
        }
    };
    common::both(write, read).await;
    assert!(received == sent, "what came back is not what was sent");
    echo.await.unwrap();
}

/// Sends one message after the other, each after the answer to the last.
async fn ping() {
    let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    a.connect(b.local_addr().unwrap()).await.unwrap();
    b.connect(a.local_addr().unwrap()).await.unwrap();
    let mut buffer = [0; 8];
    for number in 0..1_000_u64 {
        a.send(&number.to_be_bytes()).await.unwrap();
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 8);
        b.send(&buffer).await.unwrap();
        assert_eq!(a.recv(&mut buffer).await.unwrap(), 8);
        assert_eq!(u64::from_be_bytes(buffer), number);
    }
}

/// Sleeps; no interruption may shorten a sleep.
async fn sleep_on() {
    let nap = Duration::from_millis(2);
    for _ in 0..100 {
        let begun = Instant::now();
        reactor::time::sleep(nap).await;
        assert!(begun.elapsed() >= nap);
    }
}

#[test]
fn a_storm_of_signals_loses_nothing() {
    let threads = Arc::new(Mutex::new(Vec::new()));
    let started = Arc::clone(&threads);
    let reactor = Reactor::builder()
        .shards(2)
        .on_thread_start(move |_| started.lock().unwrap().push(pthread_self()))
        .build()
        .unwrap();
    within_deadline(&reactor, async {
        for shard in reactor.handle().shards() {
            reactor.handle().spawn_on(shard, || async {}).await.unwrap();
        }
    });
    let threads = threads.lock().unwrap().clone();
    assert_eq!(threads.len(), 2);
    let storm = Storm::begin(threads);

    let _entered = reactor.enter();
    let (seen, seen_by) = mpsc::channel();
    let signals = descriptor_of(SIGUSR1);
    let sender = thread::spawn(move || send_and_wait(seen_by));
    let mut tasks = vec![reactor.handle().spawn(see(signals, seen))];
    for shard in reactor.handle().shards() {
        tasks.push(reactor.handle().spawn_on(shard, echo_much));
        tasks.push(reactor.handle().spawn_on(shard, ping));
        tasks.push(reactor.handle().spawn_on(shard, sleep_on));
    }
    for task in tasks {
        within_deadline(&reactor, task).unwrap();
    }
    sender.join().unwrap();
    let sent = storm.end();
    assert!(sent > 1_000, "{sent} signals are no storm");
}
