//! A reactor in the destructor of a thread-local variable.

mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use reactor::Handle;
use support::{reactor, receive};

/// Uses a reactor in its drop, and sends the message of each panic.
struct Last(Handle, Sender<String>);

impl Drop for Last {
    fn drop(&mut self) {
        let Self(handle, messages) = self;
        let uses: [&dyn Fn(); 2] = [&|| drop(handle.enter()), &|| handle.block_on(async {})];
        for used in uses {
            let panic = catch_unwind(AssertUnwindSafe(used)).unwrap_err();
            let message = panic.downcast_ref::<&str>().copied().unwrap_or("no text");
            messages.send(message.to_owned()).unwrap();
        }
        // Spawning needs no thread-local variable.
        messages
            .send(format!("{}", handle.spawn(async {}).id()))
            .unwrap();
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_that_is_ending_gets_a_message_that_says_so() {
    let reactor = reactor(1);
    let (sender, messages) = channel();
    let handle = reactor.handle().clone();
    thread::spawn(move || {
        // Set first, so that it is destroyed last.
        LAST.set(Some(Last(handle.clone(), sender)));
        drop(handle.enter());
    })
    .join()
    .unwrap();
    for _ in 0..2 {
        let message = receive(&messages, "the message");
        assert!(message.contains("the thread is ending"), "{message}");
    }
    receive(&messages, "the task");
}
