//! The size of an idle connection. The tests in `tests/` cover the behaviour from outside.

use std::sync::mpsc;
use std::time::Duration;

use asyncfd::serve::{Bare, Connection as Context, Server, Tcp};
use reactor::Reactor;

use super::*;
use crate::Config;
use crate::shared::Shared;
use crate::surface::{Guards, Helpers, Polling};

#[test]
fn the_task_of_a_connection_is_small() {
    fn size<S: Surface>(home: &Arc<Home>, stream: &StdTcpStream) -> usize {
        let stream = stream.try_clone().unwrap();
        size_of_val(&serve::<S>(Arc::clone(home), stream))
    }
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let (send, sizes) = mpsc::sync_channel(1);
    let handler = move |stream: StdTcpStream, context: Context<Bare<Tcp>>| {
        let shared = Arc::new(Shared::new(&Config::default(), 1));
        let home = Arc::new(Home::new(&shared, context));
        let sizes = [
            size::<Helpers>(&home, &stream),
            size::<Guards>(&home, &stream),
            size::<Polling>(&home, &stream),
        ];
        send.send(sizes).unwrap();
        std::future::ready(())
    };
    let server = Server::bind("127.0.0.1:0").unwrap().bare();
    let server = server.start(reactor.handle(), handler).unwrap();
    let _client = StdTcpStream::connect(server.local_addr()).unwrap();
    let sizes = sizes.recv_timeout(Duration::from_secs(20)).unwrap();
    println!("bytes of the future: helpers, guards, poll: {sizes:?}");
    // With the reactor's slot of 128 bytes and its task header this keeps an idle connection below
    // 400 bytes.
    assert!(sizes[0] <= 192, "helpers: {sizes:?}");
}
