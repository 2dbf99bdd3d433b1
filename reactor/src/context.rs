//! The current reactor of a thread: that of the innermost `enter` guard or shard, otherwise the
//! global one.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use crate::handle::Handle;
use crate::reactor::Reactor;
use crate::shard::current;

/// The reactor of `Builder::build_global`.
static GLOBAL: OnceLock<Reactor> = OnceLock::new();

thread_local! {
    /// The reactors entered on this thread, outermost first. The last entry is never `None`: an
    /// entry is `None` where its guard was dropped before an inner one.
    static ENTERED: RefCell<Vec<Option<Handle>>> = const { RefCell::new(Vec::new()) };
}

/// A guard that keeps a reactor current on this thread until it is dropped. Returned by
/// [`Handle::enter`].
///
/// # Panics
///
/// Panics if guards are not dropped in the reverse order of their creation. The guard has left its
/// reactor then, and the guards inside it stay in effect.
#[must_use = "the reactor is current until the guard is dropped"]
pub struct EnterGuard<'a> {
    entered: Entered,
    _handle: PhantomData<&'a Handle>,
}

/// The part of a guard that has a drop. It does not name the handle's lifetime, so a guard does not
/// keep a reactor borrowed: `shutdown` takes the reactor by value while a guard of it lives.
struct Entered {
    depth: usize,
    /// Bound to the thread.
    _thread: PhantomData<*const ()>,
}

impl fmt::Debug for EnterGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterGuard")
            .field("depth", &self.entered.depth)
            .finish_non_exhaustive()
    }
}

/// Makes a reactor current on the calling thread.
#[track_caller]
pub(crate) fn enter(handle: &Handle) -> EnterGuard<'_> {
    let depth = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        entered.push(Some(handle.clone()));
        entered.len()
    });
    let Ok(depth) = depth else { thread_is_ending() };
    EnterGuard {
        entered: Entered {
            depth,
            _thread: PhantomData,
        },
        _handle: PhantomData,
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A thread that ends no longer has the list, and does not need it.
        let left = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let depth = entered.len();
            let handle = entered[self.depth - 1].take();
            while let Some(None) = entered.last() {
                entered.pop();
            }
            (handle, depth)
        });
        if let Ok((_handle, depth)) = left {
            // A second panic would abort. The unwinding already shows that something went wrong.
            if depth != self.depth && !std::thread::panicking() {
                panic!(
                    "an EnterGuard of depth {} was dropped at depth {depth}: drop guards in reverse \
                     order",
                    self.depth
                );
            }
        }
    }
}

#[cold]
#[track_caller]
fn thread_is_ending() -> ! {
    panic!(
        "a reactor cannot be entered, and `block_on` cannot run, in the destructor of a \
         thread-local variable: the thread is ending. Do this before the thread returns"
    )
}

/// Calls `f` with the current reactor, if there is one.
pub(crate) fn with<R>(f: impl FnOnce(Option<&Handle>) -> R) -> R {
    let entered = ENTERED
        .try_with(|entered| entered.borrow().last().cloned())
        .ok()
        .flatten()
        .flatten();
    if let Some(handle) = entered {
        return f(Some(&handle));
    }
    current::with(|shard| {
        f(shard
            .map(|shard| shard.handle())
            .or_else(|| GLOBAL.get().map(Reactor::handle)))
    })
}

/// Makes a reactor the global one for the rest of the process, or returns it if there already is
/// one.
pub(crate) fn set_global(reactor: Reactor) -> Result<(), Reactor> {
    GLOBAL.set(reactor)
}
