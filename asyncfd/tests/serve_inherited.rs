//! Sockets that a service manager hands over, as systemd does: the parent listens, the child
//! serves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use asyncfd::serve::{Server, inherited_sockets};
use reactor::Reactor;

/// The child: serves the socket that it was given, for one connection.
#[test]
#[ignore = "started by the other test, as a process of its own"]
fn child() {
    let mut sockets = inherited_sockets().unwrap();
    assert_eq!(sockets.len(), 1);
    assert!(
        inherited_sockets().unwrap().is_empty(),
        "they have an owner now"
    );
    let flags = rustix::io::fcntl_getfd(&sockets[0]).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let listener = TcpListener::from(sockets.remove(0));
    let reactor = Reactor::builder().shards(2).build().unwrap();
    let (sender, ended) = std::sync::mpsc::channel();
    let server = Server::from_listener(listener)
        .unwrap()
        .start(
            reactor.handle(),
            move |stream: asyncfd::net::TcpStream, _| {
                let sender = sender.clone();
                async move {
                    let mut buffer = [0; 8];
                    let n = stream.read(&mut buffer).await.unwrap();
                    stream.write_all(&buffer[..n]).await.unwrap();
                    sender.send(()).unwrap();
                }
            },
        )
        .unwrap();
    ended.recv_timeout(Duration::from_secs(20)).unwrap();
    reactor.block_on(server.shutdown());
}

fn child_with(script: &str, stdin: impl Into<Stdio>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .stdin(stdin);
    command
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // Descriptor 3, as sd_listen_fds(3) says, and the process that it is for.
    let script = r#"exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@""#;
    let socket = std::os::fd::OwnedFd::from(listener);
    let mut child = child_with(script, socket).spawn().unwrap();
    let mut client = TcpStream::connect(addr).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    drop(client);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_for_another_process_is_left_alone() {
    // The child's first assertion fails: it gets no socket.
    let script = r#"exec 3<&0; export LISTEN_PID=1 LISTEN_FDS=1; exec "$0" "$@""#;
    let output = child_with(script, Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("left: 0"), "{said}");
}
