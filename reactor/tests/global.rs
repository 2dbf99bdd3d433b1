//! The global reactor: there is one per process, so its test is a program of its own.

use reactor::{Handle, Pinning, Reactor};

#[test]
fn a_global_reactor_is_current_where_no_other_is() {
    assert!(Handle::try_current().is_none());
    let global = Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .build_global()
        .unwrap();
    assert_eq!(Handle::current().shards().len(), 2);
    assert_eq!(
        std::thread::spawn(|| Handle::current().shards().len())
            .join()
            .unwrap(),
        2
    );
    assert_eq!(
        global
            .block_on(Handle::current().spawn(async { 5 }))
            .unwrap(),
        5
    );
    let local = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .build()
        .unwrap();
    {
        let _guard = local.enter();
        assert_eq!(Handle::current().shards().len(), 1);
    }
    let second = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .build_global()
        .unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
}
