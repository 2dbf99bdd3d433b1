//! One connection of the load: connect, be served once, then converse until told to end.
//!
//! A task per connection, generic over the I/O surface. On the way of a request it allocates nothing and reads the clock once
//! per wake: the moment an answer is read is the moment the next request of a closed loop is sent. When the system takes no
//! more bytes the connection reads while it waits to write, so two ends that both wait to write cannot lock each other up.
//! Tests: every integration test.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::clock::Nanos;
use crate::exchange::{Exchange, Stamp};
use crate::failure::{ErrorKind, Failure};
use crate::link::{Link, Order};
use crate::payload::Payload;
use crate::plan::Pace;
use crate::scratch::Scratch;
use crate::shard::{Shard, plan};
use crate::tally::Lost;
use crate::transport::Transport;

/// How often connecting is tried from another source when a port is missing.
const ATTEMPTS: u32 = 16;

/// The task of a connection. Reports through the shard.
pub(crate) async fn run<T: Transport>(shard: Rc<Shard>, link: Rc<Link>) {
    let payload = Payload::new(shard.plan.seed, link.id, shard.plan.size);
    let pipeline = match shard.plan.pace {
        Pace::Closed { pipeline } if link.active => pipeline,
        _ => 1,
    };
    let exchange = Exchange::new(payload, shard.plan.verify, pipeline);
    let mut conversation = Conversation {
        shard,
        link,
        exchange,
        connected: false,
        settled: false,
    };
    let result = conversation.hold::<T>().await;
    conversation.settle(result);
}

/// Everything a connection must account for when it ends, in whatever way.
struct Conversation {
    shard: Rc<Shard>,
    link: Rc<Link>,
    exchange: Exchange,
    connected: bool,
    settled: bool,
}

/// What ended a wait.
enum Woken {
    Read(usize),
    Wrote(usize),
    Told,
}

impl Conversation {
    /// Connects and converses until the run is over (`Ok`) or the connection fails.
    async fn hold<T: Transport>(&mut self) -> Result<(), Failure> {
        let Some(transport) = self.connect::<T>().await? else {
            return Ok(());
        };
        let (shard, link) = (Rc::clone(&self.shard), Rc::clone(&self.link));
        let mut now = shard.clock.now();
        // The first request shows that the server has accepted the connection: until then it may only be queued.
        shard.due.set(shard.due.get() + 1);
        plan(
            &link,
            &mut self.exchange,
            Stamp {
                intended: now,
                sent: now,
            },
        );
        loop {
            match link.order() {
                Order::GoOn => {}
                Order::TimedOut => return Err(self.silence(now)),
                Order::GiveUp | Order::Abort => return Ok(()),
            }
            let woken = if self.exchange.has_output() {
                write_or_read(&transport, &shard, &link, &self.exchange).await
            } else {
                match link
                    .news
                    .unless_told(pin!(transport.read(&shard.incoming)))
                    .await
                {
                    Some(read) => read.map(Woken::Read),
                    None => Ok(Woken::Told),
                }
            };
            match woken.map_err(|error| self.broken(&error))? {
                Woken::Read(0) => return Err(self.end_of_stream()),
                Woken::Read(bytes) => {
                    now = shard.clock.now();
                    self.receive(bytes, now)?;
                }
                Woken::Told => now = shard.clock.now(),
                Woken::Wrote(bytes) => {
                    self.exchange.wrote(bytes);
                    if self.exchange.has_output() || !shard.has_more(&link, &self.exchange) {
                        continue;
                    }
                    now = shard.clock.now();
                }
            }
            if !self.exchange.has_output() && link.served.get() {
                shard.plan_requests(&link, &mut self.exchange, now);
            }
        }
    }

    /// Connects; `None` when the run is over before.
    async fn connect<T: Transport>(&mut self) -> Result<Option<T>, Failure> {
        let (shard, link) = (Rc::clone(&self.shard), Rc::clone(&self.link));
        let began = shard.clock.now();
        link.owed_since.set(began);
        let mut attempt = 0;
        loop {
            let socket = match shard.sources.socket(link.id, attempt) {
                Ok(socket) => socket,
                Err(error) => return Err(Failure::from(error)),
            };
            let mut connecting = pin!(T::connect(socket, shard.plan.target));
            let connected = loop {
                match (
                    link.news.unless_told(connecting.as_mut()).await,
                    link.order(),
                ) {
                    (Some(connected), _) => break connected,
                    (None, Order::GoOn) => {}
                    (None, Order::GiveUp | Order::Abort) => return Ok(None),
                    (None, Order::TimedOut) => {
                        let waited = crate::report::units::duration(shard.plan.timeout);
                        return Err(Failure::new(
                            ErrorKind::ConnectTimeout,
                            format!("not connected after {waited}"),
                        ));
                    }
                }
            };
            match connected {
                Ok(transport) => {
                    let took = shard.clock.now().saturating_sub(began);
                    shard.tally.borrow_mut().connect.record(took);
                    self.connected = true;
                    shard.connected.set(shard.connected.get() + 1);
                    shard.live.set(shard.live.get() + 1);
                    shard
                        .live_active
                        .set(shard.live_active.get() + u32::from(link.active));
                    return Ok(Some(transport));
                }
                // The ports of one source can run out while others have thousands.
                Err(error)
                    if ErrorKind::of(&error) == ErrorKind::Ports && attempt + 1 < ATTEMPTS =>
                {
                    attempt += 1
                }
                Err(error) => return Err(Failure::from(error)),
            }
        }
    }

    /// Takes the bytes that were just read into the shard's buffer.
    #[inline]
    fn receive(&mut self, bytes: usize, now: Nanos) -> Result<(), Failure> {
        let (shard, link) = (&*self.shard, &*self.link);
        let mut answers = 0;
        let right = {
            let tally = &mut *shard.tally.borrow_mut();
            tally.read(bytes, now);
            shard.incoming.lend(|buffer| {
                self.exchange.received(&buffer[..bytes], |stamp| {
                    answers += 1;
                    tally.answer(stamp, now);
                })
            })
        };
        shard.due.set(shard.due.get() - answers);
        if answers > 0 && !link.served.get() {
            shard.first_answer(link);
        }
        link.owed_since
            .set(if self.exchange.due() > 0 { now } else { 0 });
        right.map_err(|wrong| Failure::new(ErrorKind::WrongAnswer, wrong.to_string()))
    }

    fn progress(&self) -> String {
        let answered = crate::report::units::plural(self.exchange.answered(), "answer");
        match self.exchange.due() {
            0 => format!("after {answered}, while idle"),
            due => format!(
                "after {answered}, with {} in flight",
                crate::report::units::plural(due as u64, "request")
            ),
        }
    }

    fn silence(&self, now: Nanos) -> Failure {
        let waited = crate::report::units::duration(now.saturating_sub(self.link.owed_since.get()));
        Failure::new(
            ErrorKind::Silent,
            format!("nothing came for {waited} {}", self.progress()),
        )
    }

    fn end_of_stream(&self) -> Failure {
        Failure::new(
            ErrorKind::Closed,
            format!("end of stream {}", self.progress()),
        )
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let kind = match ErrorKind::of(error) {
            // The system's own patience ended before ours.
            ErrorKind::ConnectTimeout => ErrorKind::Silent,
            kind => kind,
        };
        Failure::new(kind, format!("{error} {}", self.progress()))
    }

    /// Accounts for the end of the connection.
    fn settle(&mut self, result: Result<(), Failure>) {
        self.settled = true;
        let (shard, link) = (&*self.shard, &*self.link);
        let now = shard.clock.now();
        link.ended.set(true);
        link.owed_since.set(0);
        if self.connected {
            shard.live.set(shard.live.get() - 1);
            shard
                .live_active
                .set(shard.live_active.get() - u32::from(link.active));
        }
        let lost = if link.order() == Order::Abort {
            Lost::Interrupted
        } else {
            Lost::Unanswered
        };
        let mut tally = shard.tally.borrow_mut();
        let unsent = std::iter::from_fn(|| link.take_assigned()).map(|intended| Stamp {
            intended,
            sent: now,
        });
        for stamp in self.exchange.take_due().chain(unsent) {
            shard.due.set(shard.due.get() - 1);
            tally.lose(stamp, now, lost);
        }
        drop(tally);
        if let Err(failure) = result {
            shard.failed(link, &failure);
        }
        if !link.served.get() {
            shard.opening.set(shard.opening.get() - 1);
            shard.ramp_news.tell();
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if !self.settled {
            let reason = "its task panicked, or was dropped before its end";
            self.settle(Err(Failure::new(ErrorKind::Internal, reason)));
        }
    }
}

/// Writes what is planned; where the socket is full, reads meanwhile.
async fn write_or_read<T: Transport>(
    transport: &T,
    shard: &Shard,
    link: &Link,
    exchange: &Exchange,
) -> io::Result<Woken> {
    let (outgoing, incoming): (&Scratch, &Scratch) = (&shard.outgoing, &shard.incoming);
    let mut write = pin!(transport.write(outgoing, |buffer| exchange.fill(buffer)));
    let mut read = pin!(transport.read(incoming));
    let either = pin!(poll_fn(|cx| {
        if let Poll::Ready(wrote) = write.as_mut().poll(cx) {
            return Poll::Ready(wrote.map(Woken::Wrote));
        }
        read.as_mut().poll(cx).map_ok(Woken::Read)
    }));
    link.news
        .unless_told(either)
        .await
        .unwrap_or(Ok(Woken::Told))
}
