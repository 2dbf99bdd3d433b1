//! Reading to a length, to a line's end and to the end, and copying.
#![allow(
    unused_mut,
    reason = "tokio's streams are written to and read from by &mut"
)]

use std::io;
use std::pin::pin;

use super::side::*;
use crate::common::both;
use crate::common::support::Probe;

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

#[test]
fn read_exact_fills_the_buffer_or_fails() {
    run(|| async {
        let (mut client, mut server) = tcp().await;
        let mut buffer = [0; 6];
        let read = async {
            assert_eq!(server.read_exact(&mut buffer).await.unwrap(), 6);
            assert_eq!(&buffer, b"abcdef");
            let error = server.read_exact(&mut buffer).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(server.read_exact(&mut []).await.unwrap(), 0);
        };
        let write = async {
            for part in [&b"ab"[..], b"cde", b"fgh"] {
                client.write_all(part).await.unwrap();
            }
            client.shutdown().await.unwrap();
        };
        both(read, write).await;
    });
}

#[test]
fn read_to_end_appends_all_there_is() {
    run(|| async {
        let (mut client, mut server) = tcp().await;
        let much: Vec<u8> = (0..1 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
        let mut came = b"first".to_vec();
        let read = async {
            assert_eq!(server.read_to_end(&mut came).await.unwrap(), much.len());
            assert_eq!(server.read_to_end(&mut came).await.unwrap(), 0);
        };
        let write = async {
            client.write_all(&much).await.unwrap();
            client.shutdown().await.unwrap();
        };
        both(read, write).await;
        assert!(came[..5] == *b"first" && came[5..] == much[..]);

        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(b"abc").await.unwrap();
        drop(a);
        let (mut read, _write) = b.into_split();
        let mut came = Vec::new();
        assert_eq!(read.read_to_end(&mut came).await.unwrap(), 3);
        let (mut sender, mut receiver) = pipe::pipe().unwrap();
        sender.write_all(b"def").await.unwrap();
        drop(sender);
        assert_eq!(receiver.read_to_end(&mut came).await.unwrap(), 3);
        assert_eq!(came, b"abcdef");
    });
}

#[test]
fn copy_moves_everything_and_leaves_the_writer_open() {
    run(|| async {
        let (mut client, mut server) = tcp().await;
        let (mut sender, mut receiver) = pipe::pipe().unwrap();
        let much: Vec<u8> = (0..300_000).map(|i: u32| i.to_le_bytes()[0]).collect();
        let mut came = vec![0; much.len() + 1];
        let forward = async {
            let copied = copy(&mut server, &mut sender).await.unwrap();
            assert_eq!(copied, much.len() as u64);
            sender.write_all(b"!").await.unwrap();
        };
        let ends = async {
            both(
                async {
                    client.write_all(&much).await.unwrap();
                    client.shutdown().await.unwrap();
                },
                async {
                    receiver.read_exact(&mut came).await.unwrap();
                },
            )
            .await;
        };
        both(forward, ends).await;
        assert!(came[..much.len()] == much[..] && came[much.len()] == b'!');
    });
}

#[test]
fn lines_lose_their_ends_and_nothing_else() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        let long = "x".repeat(20_000);
        let text = format!("one\n\ntwo\r\n{long}\nthree\r\r\nrest\r");
        let mut lines = BufReader::new(b).lines();
        let read = async {
            for line in ["one", "", "two", &long, "three\r", "rest\r"] {
                assert_eq!(lines.next_line().await.unwrap().as_deref(), Some(line));
            }
            assert_eq!(lines.next_line().await.unwrap(), None);
            assert_eq!(lines.next_line().await.unwrap(), None);
        };
        let write = async {
            a.write_all(text.as_bytes()).await.unwrap();
            a.shutdown().await.unwrap();
        };
        both(read, write).await;
    });
}

#[test]
fn a_line_that_is_no_text_is_an_error_and_the_next_one_is_read() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(b"\xff\xfe\ngood\n").await.unwrap();
        let mut lines = BufReader::new(b).lines();
        let error = lines.next_line().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("good"));
    });
}

#[test]
fn a_line_survives_a_wait_that_is_dropped() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        let mut lines = BufReader::new(b).lines();
        a.write_all(b"hel").await.unwrap();
        lines.get_ref().get_ref().readable().await.unwrap();
        {
            let mut next = pin!(lines.next_line());
            assert!(Probe::new().poll(next.as_mut()).is_pending());
        }
        a.write_all(b"lo\n").await.unwrap();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("hello"));
    });
}

#[test]
fn a_buffered_reader_reads_up_to_any_byte() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(b"key=value;line\nend").await.unwrap();
        a.shutdown().await.unwrap();
        let mut reader = BufReader::with_capacity(4, b);
        let mut bytes = Vec::new();
        assert_eq!(reader.read_until(b'=', &mut bytes).await.unwrap(), 4);
        assert_eq!(reader.read_until(b';', &mut bytes).await.unwrap(), 6);
        assert_eq!(reader.buffer(), b"li");
        assert_eq!(bytes, b"key=value;");
        let mut text = String::from("> ");
        assert_eq!(reader.read_line(&mut text).await.unwrap(), 5);
        assert_eq!(text, "> line\n");
        assert_eq!(reader.read_until(b';', &mut bytes).await.unwrap(), 3);
        assert_eq!(reader.read_until(b';', &mut bytes).await.unwrap(), 0);
        assert!(bytes.ends_with(b"end") && reader.buffer().is_empty());
    });
}

#[test]
fn a_buffered_reader_reads_8_kib_at_once() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(&[b'x'; 10_000]).await.unwrap();
        a.shutdown().await.unwrap();
        let mut reader = BufReader::new(b);
        reader.read_until(b'x', &mut Vec::new()).await.unwrap();
        assert_eq!(reader.buffer().len(), 8 * 1024 - 1);
    });
}
