//! Wakers that call back into the very descriptor they wait for, when they are cloned, woken and
//! dropped. A lock held over any of these would make this a deadlock, which the deadline ends.
#![expect(
    unsafe_code,
    reason = "a waker that notices its own clones needs a vtable of its own"
)]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};
use std::thread;

use reactor::{Direction, Interest, Placement, Ready, Registration};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

struct Meddler {
    registration: Weak<Registration>,
    depth: AtomicUsize,
    clones: AtomicUsize,
    wakes: AtomicUsize,
    drops: AtomicUsize,
    woken: Mutex<mpsc::Sender<()>>,
}

impl Meddler {
    /// Does everything that a task can do with its registration, but not recursively.
    fn meddle(&self) {
        let outermost = self.depth.fetch_add(1, Ordering::SeqCst) == 0;
        if let Some(registration) = self.registration.upgrade().filter(|_| outermost) {
            let mut cx = Context::from_waker(Waker::noop());
            for direction in [Direction::Read, Direction::Write] {
                let _ = registration.poll_ready(&mut cx, direction);
            }
            let mut wait = Box::pin(registration.ready(BOTH));
            let _ = wait.as_mut().poll(&mut cx);
            drop(wait);
            let _ = registration
                .try_ready(BOTH)
                .map(|event| registration.clear(event));
            let _ = registration.clear_closed();
        }
        self.depth.fetch_sub(1, Ordering::SeqCst);
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        let meddler = borrow(&data);
        meddler.clones.fetch_add(1, Ordering::SeqCst);
        meddler.meddle();
        // SAFETY: `data` is an `Arc<Meddler>` of which this waker holds a count.
        unsafe { Arc::increment_strong_count(data.cast::<Meddler>()) };
        RawWaker::new(data, &VTABLE)
    },
    |data| {
        let meddler = borrow(&data);
        meddler.wakes.fetch_add(1, Ordering::SeqCst);
        meddler.meddle();
        let _ = meddler.woken.lock().unwrap().send(());
        release(data);
    },
    |data| {
        borrow(&data).wakes.fetch_add(1, Ordering::SeqCst);
    },
    |data| {
        borrow(&data).drops.fetch_add(1, Ordering::SeqCst);
        borrow(&data).meddle();
        release(data);
    },
);

fn borrow(data: &*const ()) -> &Meddler {
    // SAFETY: each waker of this vtable holds a count of the `Arc<Meddler>` it points to.
    unsafe { &*data.cast::<Meddler>() }
}

fn release(data: *const ()) {
    // SAFETY: as in `borrow`; the consumed waker gives up its count.
    drop(unsafe { Arc::from_raw(data.cast::<Meddler>()) });
}

fn waker(meddler: &Arc<Meddler>) -> Waker {
    let data = Arc::into_raw(Arc::clone(meddler)).cast::<()>();
    // SAFETY: the vtable keeps the contract: counts are atomic, and each waker has one.
    unsafe { Waker::new(data, &VTABLE) }
}

#[test]
fn a_waker_may_meddle_with_its_descriptor_at_any_moment() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let reactor = support::reactor(1);
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let registration = Arc::new(
            Registration::new(
                reactor.handle(),
                Placement::Hash,
                &near,
                Interest::READABLE,
                Ready::EMPTY,
            )
            .unwrap(),
        );
        let (woken, wakes) = mpsc::channel();
        let meddler = Arc::new(Meddler {
            registration: Arc::downgrade(&registration),
            depth: AtomicUsize::new(0),
            clones: AtomicUsize::new(0),
            wakes: AtomicUsize::new(0),
            drops: AtomicUsize::new(0),
            woken: Mutex::new(woken),
        });
        let mut waited = 0;
        while waited < 50 {
            // Drains the rest of the last rounds, since otherwise the writes below would block in
            // the end. An event may arrive right after, and then nothing waits in this round.
            while (&near).read(&mut [0; 64]).is_ok() {}
            let _ = registration
                .try_ready(BOTH)
                .map(|event| registration.clear(event));
            let waker = waker(&meddler);
            let mut cx = Context::from_waker(&waker);
            // The second poll replaces the first waker, which is dropped.
            let second = self::waker(&meddler);
            let mut other = Context::from_waker(&second);
            let _ = registration.poll_ready(&mut other, Direction::Read);
            let mut waits: Vec<_> = (0..5)
                .map(|_| Box::pin(registration.ready(Interest::READABLE)))
                .collect();
            let mut pending = 0;
            for wait in &mut waits {
                pending += u32::from(wait.as_mut().poll(&mut cx).is_pending());
            }
            pending += u32::from(
                registration
                    .poll_ready(&mut cx, Direction::Read)
                    .is_pending(),
            );
            far.write_all(b"x").unwrap();
            // A Meddler polls the slots too, so a pending poll may lose its slot to a waker that
            // does nothing. A waiting future never does.
            if pending > 1 {
                waited += 1;
                support::receive(&wakes, "a wake");
            }
        }
        let counts = [&meddler.clones, &meddler.wakes, &meddler.drops]
            .map(|count| count.load(Ordering::SeqCst));
        drop(registration);
        drop(reactor);
        done.send((counts, Arc::strong_count(&meddler))).unwrap();
    });
    let (counts, kept) = support::receive(&finished, "the meddling");
    assert!(
        counts.into_iter().all(|count| count >= 50),
        "clones, wakes, drops: {counts:?}"
    );
    assert_eq!(kept, 1, "a waker is kept somewhere");
}

/// A waker that waits for its descriptor when it is dropped.
struct WaitsInDrop(Weak<Registration>);

impl std::task::Wake for WaitsInDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        if let Some(registration) = self.0.upgrade() {
            let mut wait = Box::pin(registration.ready(Interest::READABLE));
            let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

#[test]
fn a_waker_that_is_replaced_may_use_its_descriptor_as_it_goes() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let reactor = support::reactor(1);
        let (near, _far) = UnixStream::pair().unwrap();
        let registration = Registration::new(
            reactor.handle(),
            Placement::Hash,
            &near,
            Interest::READABLE,
            Ready::EMPTY,
        );
        let registration = Arc::new(registration.unwrap());
        let waker = || Waker::from(Arc::new(WaitsInDrop(Arc::downgrade(&registration))));
        let mut wait = Box::pin(registration.ready(Interest::READABLE));
        for _ in 0..3 {
            let waker = waker();
            let mut cx = Context::from_waker(&waker);
            assert!(
                registration
                    .poll_ready(&mut cx, Direction::Read)
                    .is_pending()
            );
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        drop(wait);
        done.send(()).unwrap();
    });
    support::receive(&finished, "the waits");
}
