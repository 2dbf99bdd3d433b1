//! Shared by the sides that run under executors which know nothing of the reactor: `in_tokio`,
//! `in_smol` and `moved`.
//!
//! Constructors need a current reactor, so it is entered around each poll of a case: the thread
//! that runs a task changes at every await.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use reactor::Handle;

use crate::support::DEADLINE;

/// A future that is polled with a reactor as the current one.
pub(crate) struct Entered {
    handle: Handle,
    case: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Entered {
    pub(crate) fn new(handle: &Handle, case: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            handle: handle.clone(),
            case: Box::pin(case),
        }
    }
}

impl Future for Entered {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let handle = self.handle.clone();
        let _entered = handle.enter();
        self.case.as_mut().poll(cx)
    }
}

/// The thread whose turn it is, and a flag for work.
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    woken: bool,
    turn: usize,
    over: bool,
}

impl Turns {
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    /// Waits for the turn of thread `me`. Returns false once everything is over.
    fn wait(&self, me: usize) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut State| !state.over && (!state.woken || state.turn != me);
        let (mut state, timeout) = self
            .changed
            .wait_timeout_while(state, DEADLINE, idle)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the case did not end in time");
        state.woken = false;
        !state.over
    }
}

impl Wake for Turns {
    fn wake(self: Arc<Self>) {
        self.change(|state| state.woken = true);
    }
}

/// Polls a future on two threads in turn.
pub(crate) fn take_turns(future: Entered) {
    let turns = Arc::new(Turns {
        state: Mutex::new(State {
            woken: true,
            turn: 0,
            over: false,
        }),
        changed: Condvar::new(),
    });
    let future = Mutex::new(future);
    let take = |me: usize| {
        let waker = Waker::from(Arc::clone(&turns));
        while turns.wait(me) {
            let poll = || {
                let mut future = future.lock().unwrap();
                Pin::new(&mut *future).poll(&mut Context::from_waker(&waker))
            };
            let polled = catch_unwind(AssertUnwindSafe(poll));
            turns.change(|state| {
                state.over = !matches!(polled, Ok(Poll::Pending));
                state.turn = 1 - me;
            });
            if let Err(panic) = polled {
                resume_unwind(panic);
            }
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| take(1));
        take(0);
        if let Err(panic) = other.join() {
            resume_unwind(panic);
        }
    });
}
