//! Accepting when no descriptor is left. There is one test, because the limit belongs to the whole
//! process.

mod common;

use std::net::Ipv4Addr;

use asyncfd::net::TcpListener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use common::run_off_shard;

const EMFILE: i32 = 24;

#[test]
fn accept_returns_the_error_and_the_connection_still_waits() {
    run_off_shard(|| async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        listener
            .as_async_fd()
            .readable()
            .await
            .unwrap()
            .retain_ready();

        let usual = getrlimit(Resource::Nofile);
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(0),
                maximum: usual.maximum,
            },
        )
        .unwrap();
        let refused = [
            listener.accept().await.map(drop),
            listener.accept_std().await.map(drop),
            listener.try_accept_std().map(drop),
        ];
        setrlimit(Resource::Nofile, usual).unwrap();

        for result in refused {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(EMFILE));
        }
        // It needs no new event to go on.
        listener.try_accept_std().unwrap();
    });
}
