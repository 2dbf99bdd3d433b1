use asyncfd::io::{BufReader, copy};
use asyncfd::net::tcp::OwnedWriteHalf;
use asyncfd::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use reactor::time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout};
use reactor::{JoinSet, main, spawn, spawn_blocking, yield_now};
