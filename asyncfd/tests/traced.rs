//! The feature `tracing` of the serving layer: a failed accept is an event. There is one test,
//! because the subscriber and the limit on descriptors belong to the whole process.

use std::fmt::{Debug, Write as _};
use std::io::Read;
use std::net::TcpStream as StdTcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use asyncfd::net::TcpStream;
use asyncfd::serve::Server;
use reactor::{Pinning, Reactor};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const DEADLINE: Duration = Duration::from_secs(20);

/// The events so far, one line each.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "asyncfd"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        LOG.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn limit(current: Option<u64>) -> Rlimit {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Rlimit { current, maximum }
}

#[test]
fn an_accept_that_fails_is_traced() {
    tracing::subscriber::set_global_default(Log).unwrap();
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .build()
        .unwrap();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let running = server
        .start(reactor.handle(), |stream: TcpStream, _| async move {
            stream.write_all(b"x").await
        })
        .unwrap();
    let usual = getrlimit(Resource::Nofile);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert!(LOG.lock().unwrap().is_empty());
    setrlimit(Resource::Nofile, limit(Some(0))).unwrap();
    socket.connect(&running.local_addr().into()).unwrap();
    let start = Instant::now();
    let line = loop {
        if let Some(line) = LOG.lock().unwrap().first() {
            break line.clone();
        }
        assert!(start.elapsed() < DEADLINE, "no event");
        thread::sleep(Duration::from_millis(5));
    };
    setrlimit(Resource::Nofile, usual).unwrap();
    assert!(line.starts_with("WARN"), "{line}");
    assert!(line.contains("accepting pauses"), "{line}");
    assert!(line.contains("Too many open files"), "{line}");
    // The pause ends.
    let mut client = StdTcpStream::from(socket);
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
}
