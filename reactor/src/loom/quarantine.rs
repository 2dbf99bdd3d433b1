//! Models of a slot's reuse by another registration. `QUARANTINE.md` says what each model shows and
//! lists the seeded bugs.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use crate::Ready;
use crate::table::SlotTable;
use crate::token::Token;

/// The epoll instance: the token that it reports, if any, while the descriptor is readable.
struct Kernel(Mutex<Option<Token>>);

impl Kernel {
    fn fetch(&self) -> Option<Token> {
        *self.0.lock().unwrap()
    }

    fn delete(&self) {
        *self.0.lock().unwrap() = None;
    }
}

fn turn(table: &SlotTable, kernel: &Kernel) {
    let batch = kernel.fetch();
    if let Some(slot) = batch.and_then(|token| table.resolve(token)) {
        slot.readiness().publish(Ready::READABLE);
    }
    table.release_quarantine();
}

/// A registration is dropped and another one is made while the shard holds an event for the first.
/// The second never sees that event.
#[test]
fn stale_event_vs_reuse() {
    loom::model(|| {
        let table = Arc::new(SlotTable::new(0));
        let first = table.allocate(3, Ready::EMPTY).unwrap();
        let kernel = Arc::new(Kernel(Mutex::new(Some(first))));

        let shard = {
            let (table, kernel) = (Arc::clone(&table), Arc::clone(&kernel));
            thread::spawn(move || {
                turn(&table, &kernel);
                turn(&table, &kernel);
            })
        };
        let user = {
            let (table, kernel) = (Arc::clone(&table), Arc::clone(&kernel));
            thread::spawn(move || {
                kernel.delete();
                table.free_id(first.id());
                table.allocate(4, Ready::EMPTY).unwrap()
            })
        };
        shard.join().unwrap();
        let second = user.join().unwrap();
        let seen = table.slot(second.id()).readiness().load();
        assert_eq!(
            seen.ready(),
            Ready::EMPTY,
            "a stranger's event was published"
        );
        assert_ne!(first, second);
    });
}

/// The same, but a duplicate of the descriptor keeps the kernel reporting the first token without
/// end.
#[test]
fn endless_stale_events_vs_reuse() {
    loom::model(|| {
        let table = Arc::new(SlotTable::new(0));
        let first = table.allocate(3, Ready::EMPTY).unwrap();
        let kernel = Arc::new(Kernel(Mutex::new(Some(first))));

        let shard = {
            let (table, kernel) = (Arc::clone(&table), Arc::clone(&kernel));
            thread::spawn(move || {
                turn(&table, &kernel);
                turn(&table, &kernel);
            })
        };
        let user = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                table.free_id(first.id());
                table.allocate(4, Ready::EMPTY).unwrap()
            })
        };
        shard.join().unwrap();
        let second = user.join().unwrap();
        let seen = table.slot(second.id()).readiness().load();
        assert_eq!(
            seen.ready(),
            Ready::EMPTY,
            "a stranger's event was published"
        );
    });
}

/// A registration is made while the shard ends. It is refused, or its waits end.
#[test]
fn allocate_vs_shutdown() {
    loom::model(|| {
        let table = Arc::new(SlotTable::new(0));
        let user = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.allocate(3, Ready::READABLE))
        };
        let closer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                table.shut_down();
            })
        };
        let allocated = user.join().unwrap();
        closer.join().unwrap();
        if let Ok(token) = allocated {
            let seen = table.slot(token.id()).readiness().load();
            assert!(
                seen.is_shutdown(),
                "a registration outlives its shard without being closed"
            );
        }
    });
}

/// Two threads free and one allocates while the shard releases. No slot is handed out twice or
/// lost.
#[test]
fn free_vs_release() {
    loom::model(|| {
        let table = Arc::new(SlotTable::new(0));
        let tokens = [3, 4].map(|fd| table.allocate(fd, Ready::EMPTY).unwrap());
        let freers = tokens.map(|token| {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                table.free_id(token.id());
            })
        });
        let shard = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.release_quarantine())
        };
        for freer in freers {
            freer.join().unwrap();
        }
        shard.join().unwrap();
        table.release_quarantine();
        let again = [5, 6].map(|fd| table.allocate(fd, Ready::EMPTY).unwrap());
        assert_ne!(
            again[0].id(),
            again[1].id(),
            "one slot for two registrations"
        );
        for token in again {
            assert!(
                tokens.iter().any(|old| old.id() == token.id()),
                "a freed slot was lost"
            );
            assert!(
                !tokens.contains(&token),
                "a late event would find the new registration"
            );
        }
    });
}
