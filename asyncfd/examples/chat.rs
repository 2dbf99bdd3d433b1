//! A chat server: each line from one member goes to all others.
//!
//! ```console
//! $ cargo run --example chat -- 127.0.0.1:7000     # then, in some terminals: nc 127.0.0.1 7000
//! ```
//!
//! The room is on one shard, with all its members, so it is an `Rc` and a `RefCell`, without a
//! lock. A member who does not read is removed as soon as its socket is full: the room stores no
//! lines for later.

mod ending;

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{Shutdown, TcpListener as StdTcpListener};
use std::rc::Rc;

use asyncfd::net::{TcpListener, TcpStream};
use ending::{Serving, Signals, pause};
use reactor::{Reactor, spawn_local};

/// The longest line that is passed on.
const LINE_MAX: usize = 1024;

type Members = HashMap<u64, Rc<TcpStream>>;

#[derive(Default)]
struct Room(RefCell<Members>);

impl Room {
    /// Sends a line to every member except its author.
    fn say(&self, from: u64, line: &str) {
        self.0.borrow_mut().retain(|&id, member| {
            let heard = id == from || member.try_write(line.as_bytes()).ok() == Some(line.len());
            if !heard {
                // Its own task finds the end of the stream and leaves.
                let _ = member.shutdown_std(Shutdown::Both);
            }
            heard
        });
    }
}

async fn serve(room: Rc<Room>, id: u64, stream: TcpStream) {
    let stream = Rc::new(stream);
    room.0.borrow_mut().insert(id, Rc::clone(&stream));
    room.say(id, &format!("* {id} came\n"));
    // A reset is also a way to leave.
    let _ = listen(&room, id, &stream).await;
    room.0.borrow_mut().remove(&id);
    room.say(id, &format!("* {id} left\n"));
}

/// Passes on a member's lines, until the end of the stream.
async fn listen(room: &Room, id: u64, stream: &TcpStream) -> io::Result<()> {
    let (mut heard, mut buffer) = (Vec::new(), [0; LINE_MAX]);
    let mut serving = Serving::new();
    while let Some(read) = serving.wait(stream.read(&mut buffer)).await {
        let n = read?;
        if n == 0 || heard.len() + n > 2 * LINE_MAX {
            break;
        }
        heard.extend_from_slice(&buffer[..n]);
        while let Some(end) = heard.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = heard.drain(..=end).collect();
            room.say(id, &format!("{id}: {}", String::from_utf8_lossy(&line)));
        }
    }
    Ok(())
}

async fn accept(listener: StdTcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let room = Rc::new(Room::default());
    let mut serving = Serving::new();
    for id in 1.. {
        let Some(accepted) = serving.wait(listener.accept()).await else {
            break;
        };
        match accepted {
            Ok((stream, _peer)) => drop(spawn_local(serve(Rc::clone(&room), id, stream))),
            Err(error) => pause(error).await,
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener = StdTcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:7000"))?;
    let reactor = Reactor::builder().shards(1).build()?;
    let handle = reactor.handle().clone();
    let signals = Signals::catch(&handle)?;
    println!("listening on {}", listener.local_addr()?);

    let shard = handle.shards().next().expect("there is one");
    drop(handle.spawn_on(shard, || async {
        if let Err(error) = accept(listener).await {
            eprintln!("no longer accepting: {error}");
        }
    }));
    Ok(signals.shut_down(reactor)?)
}
