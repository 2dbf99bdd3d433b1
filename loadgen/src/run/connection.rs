//! One connection of the load: it connects, sends and receives, and ends on a directive, after its
//! share of requests, or with a failure.
//!
//! A connection is a task, generic over the I/O surface and the protocol. The first connection of a
//! slot sends one request at once. The answer shows that the server has accepted the connection,
//! which then waits for the run to begin. Later connections send at once. The path of a request
//! allocates nothing and reads the clock once per wake. In a closed loop the time at which an
//! answer is read is also the time at which the next request is sent. While the socket is full, the
//! connection also reads. Otherwise two ends that both wait to write would block each other. Tests:
//! every integration test.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use reactor::time::sleep;

use crate::measure::clock::Nanos;
use crate::measure::clock::Stamp;
use crate::measure::failure::{ErrorKind, Failure};
use crate::measure::units::{duration, plural};
use crate::run::backoff;
use crate::run::connection_slot::{ConnectionSlot, Directive};
use crate::run::dialogue::Dialogue;
use crate::run::scratch::Scratch;
use crate::run::setup::{OnFailure, Pace};
use crate::run::shard::{Shard, plan};
use crate::run::transport::Transport;

/// The number of source addresses that a connection tries if no port is free.
const ATTEMPTS: u32 = 16;
/// The number of bytes of a wrong answer that a message shows.
const SHOWN_MAX: usize = 48;
/// The time before another try to connect to a Unix socket whose queue is full. The system has no
/// event for this.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// Runs a connection, as a task. It reports through the shard.
pub(crate) async fn run<T: Transport, D: Dialogue>(shard: Rc<Shard>, slot: Rc<ConnectionSlot>) {
    let pipeline = match shard.plan.load.pace {
        Pace::Closed { pipeline } if slot.active => pipeline,
        _ => 1,
    };
    let (protocol, seed) = (&shard.plan.setup.protocol, shard.plan.seed);
    let dialogue = D::begin(protocol, seed, slot.number(), pipeline);
    let mut conversation = Conversation {
        shard,
        slot,
        dialogue,
        opening: true,
        probing: false,
        first_byte: 0,
        connected: false,
        settled: false,
    };
    let result = conversation.hold::<T>().await;
    conversation.settle(result);
}

/// The state of a connection that its end has to account for.
struct Conversation<D: Dialogue> {
    shard: Rc<Shard>,
    slot: Rc<ConnectionSlot>,
    dialogue: D,
    /// True while it counts as being opened.
    opening: bool,
    /// True if the first request of the slot is under way.
    probing: bool,
    /// The time at which the first byte of the incomplete answer came; zero if no answer is
    /// incomplete.
    first_byte: Nanos,
    connected: bool,
    settled: bool,
}

/// The end of a connection without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The run ended.
    Over,
    /// The connection carried all of its requests, or its lifetime is over. Another one replaces
    /// it.
    Retired,
    /// The server closed the connection and owed nothing. Another one replaces it.
    Left,
}

/// The event that ended a wait.
enum Woken {
    Read(usize),
    Wrote(usize),
    Notified,
}

impl<D: Dialogue> Conversation<D> {
    /// Connects, then sends and receives until the connection ends or fails.
    async fn hold<T: Transport>(&mut self) -> Result<End, Failure> {
        let Some(transport) = self.connect::<T>().await? else {
            return Ok(End::Over);
        };
        let (shard, slot) = (Rc::clone(&self.shard), Rc::clone(&self.slot));
        let mut now = shard.clock.now();
        self.begin(now);
        loop {
            match slot.directive() {
                Directive::Continue => {}
                Directive::TimedOut => return Err(self.silence(now)),
                Directive::GiveUp | Directive::Abort => return Ok(End::Over),
            }
            let woken = if self.dialogue.has_output() {
                // A socket usually takes all bytes, so try before waiting.
                match transport.try_write(&shard.outgoing, |buffer| self.dialogue.fill(buffer)) {
                    Some(wrote) => wrote.map(Woken::Wrote),
                    None => write_or_read(&transport, &shard, &slot, &self.dialogue).await,
                }
            } else {
                match slot
                    .event
                    .unless_notified(pin!(transport.read(&shard.incoming)))
                    .await
                {
                    Some(read) => read.map(Woken::Read),
                    None => Ok(Woken::Notified),
                }
            };
            match woken.map_err(|error| self.broken(&error))? {
                Woken::Read(0) => return self.end_of_stream(),
                Woken::Read(bytes) => {
                    now = shard.clock.now();
                    if D::PEER_MAY_CLOSE && self.is_farewell(bytes) {
                        return Ok(End::Left);
                    }
                    self.receive(bytes, now)?;
                    if self.dialogue.is_over() {
                        self.take_leave(&transport).await;
                        return Ok(End::Left);
                    }
                }
                Woken::Notified => now = shard.clock.now(),
                Woken::Wrote(bytes) => {
                    self.dialogue.wrote(bytes);
                    if self.dialogue.has_output() || !shard.has_more(&slot, &self.dialogue) {
                        continue;
                    }
                    now = shard.clock.now();
                }
            }
            if (D::PLANS_ANY_TIME || !self.dialogue.has_output()) && !self.probing {
                shard.plan_requests(&slot, &mut self.dialogue, now);
                if self.dialogue.in_flight() == 0 && slot.is_spent(self.dialogue.planned()) {
                    return Ok(End::Retired);
                }
            }
        }
    }

    /// Sends the first request.
    fn begin(&mut self, now: Nanos) {
        let (shard, slot) = (&*self.shard, &self.slot);
        slot.owed_since.set(0);
        if slot.served.get() || shard.begun.get() {
            self.opening = false;
            shard.opened();
            shard.plan_again(slot, &mut self.dialogue);
            shard.plan_requests(slot, &mut self.dialogue, now);
        } else {
            // Until the answer comes, the connection may still be in the server's accept queue.
            self.probing = true;
            shard.in_flight.set(shard.in_flight.get() + 1);
            let stamp = Stamp {
                intended: now,
                sent: now,
            };
            plan(slot, &mut self.dialogue, stamp);
        }
    }

    /// Connects; returns `None` if the run ends first.
    async fn connect<T: Transport>(&mut self) -> Result<Option<T>, Failure> {
        let (shard, slot) = (Rc::clone(&self.shard), Rc::clone(&self.slot));
        let began = shard.clock.now();
        slot.owes(began);
        let mut attempt = 0;
        loop {
            let (socket, source) = shard.sources.socket().map_err(Failure::from)?;
            let connecting = pin!(T::connect(socket, &shard.plan));
            let Some(connected) = self.unless_directed(connecting).await? else {
                return Ok(None);
            };
            match connected {
                Ok(transport) => {
                    self.connected = true;
                    shard.connected(&slot, began, transport.handshake());
                    return Ok(Some(transport));
                }
                // One source address may have no free port while others have thousands.
                Err(error)
                    if ErrorKind::of(&error) == ErrorKind::Ports
                        && attempt + 1 < ATTEMPTS
                        && shard.sources.next(source) =>
                {
                    attempt += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let pause = pin!(sleep(FULL_QUEUE_PAUSE));
                    if self.unless_directed(pause).await?.is_none() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(Failure::from(error)),
            }
        }
    }

    /// Waits for a step of connecting; returns `None` if the run ends first.
    async fn unless_directed<F: Future>(
        &self,
        mut future: Pin<&mut F>,
    ) -> Result<Option<F::Output>, Failure> {
        let slot = &self.slot;
        loop {
            match (
                slot.event.unless_notified(future.as_mut()).await,
                slot.directive(),
            ) {
                (Some(output), _) => return Ok(Some(output)),
                (None, Directive::Continue) => {}
                (None, Directive::GiveUp | Directive::Abort) => return Ok(None),
                (None, Directive::TimedOut) => {
                    let waited = duration(self.shard.plan.setup.timeout);
                    let detail = format!("not connected after {waited}");
                    return Err(Failure::new(ErrorKind::ConnectTimeout, detail));
                }
            }
        }
    }

    /// Handles the bytes that were just read into the shard's buffer.
    #[inline(always)]
    fn receive(&mut self, bytes: usize, now: Nanos) -> Result<(), Failure> {
        let (shard, slot) = (&*self.shard, &*self.slot);
        let mut answers = 0;
        // While no request is refused, it stays empty and allocates nothing.
        let mut refused = Vec::new();
        let mut first_byte = match self.first_byte {
            0 => now,
            first_byte => first_byte,
        };
        let right = {
            let counters = &mut *shard.counters.borrow_mut();
            counters.read(bytes, now);
            shard.incoming.lend(|buffer| {
                let taken = &buffer[..bytes];
                self.dialogue
                    .received(taken, now, |stamp, verdict, own_first_byte| {
                        answers += 1;
                        counters.answer(stamp, now, verdict.refused.is_some());
                        if D::TIMES_FIRST_BYTE {
                            let at = match own_first_byte {
                                0 => first_byte,
                                own => own,
                            };
                            counters.response(stamp, verdict.status, at);
                            first_byte = now;
                        }
                        if let Some(status) = verdict.refused {
                            refused.push((status, stamp.intended));
                        }
                    })
            })
        };
        if D::TIMES_FIRST_BYTE {
            self.first_byte = if self.dialogue.is_partial() {
                first_byte
            } else {
                0
            };
        }
        for (status, intended) in refused {
            shard.refused(slot, status, intended);
        }
        self.answered(answers, now);
        if answers > 0 && self.shard.plan.load.think_time > 0 {
            self.shard.think(&self.slot, now);
        }
        right.map_err(|wrong| {
            let detail = format!("{wrong}; the bytes: {}", self.show_refuted(bytes));
            Failure::new(ErrorKind::WrongAnswer, detail)
        })
    }

    /// Writes the last bytes of the protocol, such as the answer to a close, if the socket takes
    /// them without a wait.
    async fn take_leave<T: Transport>(&self, transport: &T) {
        if !D::SAYS_GOODBYE || !self.dialogue.has_output() {
            return;
        }
        let fill = |buffer: &mut [u8]| self.dialogue.fill(buffer);
        let mut write = pin!(transport.write(&self.shard.outgoing, fill));
        poll_fn(|cx| {
            // The peer may be gone. The connection ends either way.
            let _ = write.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Returns true if the bytes just read end an idle connection.
    fn is_farewell(&self, bytes: usize) -> bool {
        self.dialogue.in_flight() == 0
            && self
                .shard
                .incoming
                .lend(|buffer| self.dialogue.is_farewell(&buffer[..bytes]))
    }

    /// Returns the beginning of a wrong answer as readable text. The answer has `bytes` bytes.
    #[cold]
    fn show_refuted(&self, bytes: usize) -> String {
        let from = bytes - self.dialogue.refuted().min(bytes);
        self.shard.incoming.lend(|buffer| {
            let refuted = &buffer[from..bytes];
            let shown = &refuted[..refuted.len().min(SHOWN_MAX)];
            let more = if shown.len() < refuted.len() {
                "..."
            } else {
                ""
            };
            format!("\"{}{more}\"", shown.escape_ascii())
        })
    }

    /// Records that this many requests were answered.
    #[inline]
    fn answered(&mut self, answers: u64, now: Nanos) {
        let (shard, slot) = (&*self.shard, &*self.slot);
        shard.in_flight.set(shard.in_flight.get() - answers);
        if answers > 0 {
            let outstanding = slot.outstanding.get();
            slot.outstanding
                .set(outstanding.saturating_sub(usize::try_from(answers).unwrap_or(usize::MAX)));
            slot.unanswered_since.set(now);
            if !slot.served.get() {
                shard.first_answer(slot);
            }
            if std::mem::take(&mut self.probing) {
                self.opening = false;
                shard.opened();
            }
        }
        slot.owed_since.set(if self.dialogue.in_flight() > 0 {
            now
        } else {
            0
        });
    }

    /// Handles the end of the server's stream. This is no failure if the end completes an answer,
    /// or if no answer was due.
    fn end_of_stream(&mut self) -> Result<End, Failure> {
        if let Some((stamp, verdict)) = self.dialogue.end_of_stream() {
            let now = self.shard.clock.now();
            let refused = verdict.refused;
            {
                let counters = &mut *self.shard.counters.borrow_mut();
                counters.answer(stamp, now, refused.is_some());
                counters.response(stamp, verdict.status, self.first_byte);
            }
            if let Some(status) = refused {
                self.shard.refused(&self.slot, status, stamp.intended);
            }
            self.answered(1, now);
            return Ok(End::Left);
        }
        if D::PEER_MAY_CLOSE && self.dialogue.in_flight() == 0 {
            return Ok(End::Left);
        }
        let detail = format!("end of stream {}", self.progress());
        Err(Failure::new(ErrorKind::Closed, detail))
    }

    fn progress(&self) -> String {
        let answered = plural(self.dialogue.answered(), "answer");
        match self.dialogue.in_flight() {
            0 => format!("after {answered}, while idle"),
            due => format!(
                "after {answered}, with {} in flight",
                plural(due as u64, "request")
            ),
        }
    }

    fn silence(&self, now: Nanos) -> Failure {
        let since = |moment: &Cell<Nanos>| now.saturating_sub(moment.get());
        let silent = since(&self.slot.owed_since);
        let what = if silent > self.shard.plan.setup.timeout {
            format!("nothing came for {}", duration(silent))
        } else {
            let unanswered = duration(since(&self.slot.unanswered_since));
            format!("bytes came for {unanswered}, and no whole answer,")
        };
        let detail = format!("{what} {}", self.progress());
        Failure::new(ErrorKind::Silent, detail)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let kind = match ErrorKind::of(error) {
            // The system's timeout was shorter than ours.
            ErrorKind::ConnectTimeout => ErrorKind::Silent,
            kind => kind,
        };
        Failure::new(kind, format!("{error} {}", self.progress()))
    }

    /// Accounts for the end of the connection.
    fn settle(&mut self, result: Result<End, Failure>) {
        self.settled = true;
        let (shard, slot) = (&self.shard, &self.slot);
        slot.owed_since.set(0);
        slot.connecting.set(true);
        if self.connected {
            shard.live.set(shard.live.get() - 1);
        }
        if self.opening {
            shard.opened();
        }
        let answers = self.dialogue.answered();
        match result {
            Err(failure) => self.fail(&failure, answers),
            Ok(End::Over) => {
                shard.lose(slot, self.dialogue.take_in_flight());
                shard.end(slot);
            }
            Ok(End::Retired) => {
                shard.retired.set(shard.retired.get() + 1);
                shard.take_back(slot, self.dialogue.take_in_flight());
                shard.replace(slot);
            }
            Ok(End::Left) => {
                shard.left.set(shard.left.get() + 1);
                // The next connection sends the unanswered requests again.
                shard.take_back(slot, self.dialogue.take_in_flight());
                backoff::replace(shard, slot, answers, false);
            }
        }
    }

    /// Accounts for a failure. Requests in flight are lost. The slot is connected again, unless the
    /// run does not reconnect.
    fn fail(&mut self, failure: &Failure, answers: u64) {
        let (shard, slot) = (&self.shard, &self.slot);
        let oldest = self.dialogue.oldest_in_flight();
        let at = oldest.map_or_else(|| shard.clock.now(), |stamp| stamp.intended);
        shard.failed(slot, failure, at);
        if self.connected {
            shard.broken.set(shard.broken.get() + 1);
        }
        slot.lost.set(true);
        shard.lose(slot, self.dialogue.take_in_flight());
        shard.failed_in_ramp(slot, failure.kind);
        slot.forgive();
        if shard.plan.setup.on_failure == OnFailure::End {
            shard.end(slot);
        } else {
            shard.take_back(slot, std::iter::empty());
            backoff::replace(shard, slot, answers, true);
        }
    }
}

impl<D: Dialogue> Drop for Conversation<D> {
    fn drop(&mut self) {
        if !self.settled {
            let reason = "its task panicked, or was dropped before its end";
            self.settle(Err(Failure::new(ErrorKind::Internal, reason)));
        }
    }
}

/// Writes the planned requests. While the socket is full, it also reads.
async fn write_or_read<T: Transport, D: Dialogue>(
    transport: &T,
    shard: &Shard,
    slot: &ConnectionSlot,
    dialogue: &D,
) -> io::Result<Woken> {
    let (outgoing, incoming): (&Scratch, &Scratch) = (&shard.outgoing, &shard.incoming);
    let mut write = pin!(transport.write(outgoing, |buffer| dialogue.fill(buffer)));
    let mut read = pin!(transport.read(incoming));
    let either = pin!(poll_fn(|cx| {
        if let Poll::Ready(wrote) = write.as_mut().poll(cx) {
            return Poll::Ready(wrote.map(Woken::Wrote));
        }
        read.as_mut().poll(cx).map_ok(Woken::Read)
    }));
    slot.event
        .unless_notified(either)
        .await
        .unwrap_or(Ok(Woken::Notified))
}
