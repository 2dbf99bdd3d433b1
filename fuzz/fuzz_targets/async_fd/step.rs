//! One operation of a program, and its encoding in a fuzzer's bytes. Descriptors and registrations
//! are given by number, modulo their count.

use reactor::Interest;

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Opens two connected descriptors.
    Pair(Kind),
    Close(u8),
    /// Opens a second number for the same open file.
    Dup(u8),
    /// Makes the second name the same file as the first.
    Dup2(u8, u8),
    Write(u8, u16),
    Read(u8, u16),
    /// Writes until it would block.
    Fill(u8),
    /// Reads until it would block, or the stream ends.
    Drain(u8),
    Shutdown(u8, Half),

    /// Registers on one of the two shards.
    Register(u8, bool),
    Deregister(u8),
    /// Takes the object out and registers it again at once.
    Again(u8),
    SetInterest(u8, Asked),
    /// Calls `poll_read_ready` or `poll_write_ready`, with a waker that records its wake.
    Poll(u8, Side),
    /// Starts a wait, and keeps it.
    Wait(u8, Asked),
    PollWait(u8, u8),
    DropWait(u8, u8),
    /// Reads or writes the given number of bytes through `try_io`.
    TryIo(u8, Side, u16),
    /// Clears through a guard without an attempt.
    Clear(u8, Side),
    ClearClosed(u8),

    /// Lets the shards see all events; then the registrations are checked.
    Settle,
    /// Ends the reactor.
    Shut,
}

/// Returns the program that the bytes encode. A step takes one byte and one for each of its
/// arguments. Bytes that end in the middle of a step end the program before it.
pub fn program(bytes: &[u8]) -> Vec<Step> {
    let mut bytes = bytes.iter().copied();
    std::iter::from_fn(|| step(&mut bytes)).collect()
}

fn step(bytes: &mut impl Iterator<Item = u8>) -> Option<Step> {
    let step = bytes.next()?;
    let mut next = || bytes.next();
    // Steps that move descriptors and registrations come often: by itself each of the others does
    // little.
    Some(match step % 32 {
        0 | 1 => Step::Pair(Kind::of(next()?)),
        2 | 3 => Step::Close(next()?),
        4 => Step::Dup(next()?),
        5 => Step::Dup2(next()?, next()?),
        6 | 7 => Step::Write(next()?, len(next()?)),
        8 => Step::Read(next()?, len(next()?)),
        9 => Step::Fill(next()?),
        10 => Step::Drain(next()?),
        11 => Step::Shutdown(next()?, Half::of(next()?)),
        side @ 12..=15 => Step::Register(next()?, side & 1 == 1),
        16 | 17 => Step::Deregister(next()?),
        18 => Step::Again(next()?),
        19 => Step::SetInterest(next()?, Asked::of(next()?)),
        20 | 21 => Step::Poll(next()?, Side::of(step)),
        22 => Step::Wait(next()?, Asked::of(next()?)),
        23 => Step::PollWait(next()?, next()?),
        24 => Step::DropWait(next()?, next()?),
        25 | 26 => Step::TryIo(next()?, Side::of(step), len(next()?)),
        27 | 28 => Step::Clear(next()?, Side::of(step)),
        29 => Step::ClearClosed(next()?),
        30 => Step::Settle,
        // This is rare, since nothing else happens after it.
        _ if step == u8::MAX => Step::Shut,
        _ => Step::Settle,
    })
}

/// Returns short lengths, and lengths that fill the buffers.
fn len(byte: u8) -> u16 {
    u16::from(byte) << (byte & 7)
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Unix,
    Tcp,
    Pipe,
}

#[derive(Clone, Copy, Debug)]
pub enum Half {
    Read,
    Write,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Read,
    Write,
}

#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Read,
    Write,
    ReadWrite,
    ReadPriority,
    Error,
}

impl Kind {
    fn of(byte: u8) -> Self {
        [Self::Unix, Self::Tcp, Self::Pipe][usize::from(byte % 3)]
    }
}

impl Half {
    fn of(byte: u8) -> Self {
        [Self::Read, Self::Write, Self::Both][usize::from(byte % 3)]
    }
}

impl Side {
    fn of(byte: u8) -> Self {
        Self::BOTH[usize::from(byte % 2)]
    }

    pub const BOTH: [Self; 2] = [Self::Read, Self::Write];

    pub fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READABLE,
            Self::Write => Interest::WRITABLE,
        }
    }
}

impl Asked {
    fn of(byte: u8) -> Self {
        let some = [
            Self::ReadWrite,
            Self::Read,
            Self::Write,
            Self::ReadPriority,
            Self::Error,
        ];
        some[usize::from(byte) % some.len()]
    }

    pub fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READABLE,
            Self::Write => Interest::WRITABLE,
            Self::ReadWrite => Interest::READABLE | Interest::WRITABLE,
            Self::ReadPriority => Interest::READABLE | Interest::PRIORITY,
            Self::Error => Interest::ERROR,
        }
    }
}
