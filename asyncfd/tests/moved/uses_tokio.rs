use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::task::{JoinSet, spawn_blocking, yield_now};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio::{main, spawn};
