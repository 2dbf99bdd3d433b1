//! The names of all cases, with their faults.

use anyhow::Result;

use super::generator::{load_fails, load_survives};
use super::misuse::{bad_clients, slowloris, stopped_client, stopped_server};
use super::resources::{no_descriptors, no_memory};
use super::server::{
    costs_connections, forged_eagain, forged_eagain_of_accept, lost_epoll, pauses,
    refuses_connections, short_write, storm, unnoticed, unnoticed_on_path, write_of_nothing,
};
use super::startup::{no_pin, no_stack, no_start};
use super::{Case, Mode};

/// A case. It succeeds, fails, or returns the reason why it cannot run here.
pub(super) type Body = dyn Fn(&Case) -> Result<Option<&'static str>> + Send;

#[derive(Default)]
struct List(Vec<(String, Box<Body>)>);

impl List {
    fn add(
        &mut self,
        name: impl Into<String>,
        body: impl Fn(&Case) -> Result<()> + Send + 'static,
    ) {
        self.add_if_possible(name, move |case| body(case).map(|()| None));
    }

    fn add_if_possible(
        &mut self,
        name: impl Into<String>,
        body: impl Fn(&Case) -> Result<Option<&'static str>> + Send + 'static,
    ) {
        self.0.push((name.into(), Box::new(body)));
    }
}

const ALL_IO: [&str; 3] = ["helpers", "guards", "poll"];
const EXHAUSTED: &str = "Resource temporarily unavailable";

pub(super) fn all() -> Vec<(String, Box<Body>)> {
    let mut list = List::default();
    for accept in ["reuseport", "hybrid"] {
        for io in ALL_IO {
            of_every_mode(&mut list, Mode { accept, io });
        }
    }
    of_every_io(&mut list);
    of_one_mode(&mut list);
    of_startup(&mut list);
    of_the_generator(&mut list);
    list.0
}

fn of_every_mode(list: &mut List, mode: Mode) {
    let name = |fault| format!("{fault}, {}, {}", mode.accept, mode.io);
    for (fault, calls) in [
        ("recv EINTR", "recvfrom:error=EINTR:when=1+3"),
        ("send EINTR", "sendto:error=EINTR:when=20+3"),
        ("epoll_wait EINTR", "epoll_wait:error=EINTR:when=1+2"),
        ("accept ECONNABORTED", "accept4:error=ECONNABORTED:when=1+2"),
    ] {
        list.add(name(fault), move |case| unnoticed(case, calls, mode));
    }
    list.add(name("accept EMFILE"), move |case| {
        pauses(case, "accept4:error=EMFILE:when=2..4", mode)
    });
    for (fault, calls, counted) in [
        ("recv ECONNRESET", "recvfrom:error=ECONNRESET:when=30", true),
        (
            "recv says it is the end",
            "recvfrom:retval=0:when=30",
            false,
        ),
        ("send EPIPE", "sendto:error=EPIPE:when=30", true),
    ] {
        list.add(name(fault), move |case| {
            costs_connections(case, calls, mode, counted)
        });
    }
    for (fault, calls) in [
        // The start registers two eventfds, two listeners and two signals.
        ("registering ENOMEM", "epoll_ctl:error=ENOMEM:when=7"),
        ("registering ENOSPC", "epoll_ctl:error=ENOSPC:when=7..9"),
    ] {
        list.add(name(fault), move |case| {
            refuses_connections(case, calls, mode)
        });
    }
    list.add(name("all at once"), move |case| storm(case, mode));
    list.add(name("no descriptor left"), move |case| {
        no_descriptors(case, mode)
    });
    list.add(name("server stopped and continued"), move |case| {
        stopped_server(case, mode)
    });
    list.add(name("bad clients"), move |case| bad_clients(case, mode));
    list.add(name("slowloris"), move |case| slowloris(case, mode));
}

fn of_every_io(list: &mut List) {
    for io in ALL_IO {
        let name = |fault| format!("{fault}, {io}");
        list.add(name("recv lies EAGAIN"), move |case| {
            forged_eagain(case, "recvfrom", io)
        });
        list.add(name("send lies EAGAIN"), move |case| {
            forged_eagain(case, "sendto", io)
        });
        list.add(name("a short write"), move |case| short_write(case, io));
        list.add(name("a write of nothing"), move |case| {
            write_of_nothing(case, io)
        });
        list.add_if_possible(name("no memory"), move |case| no_memory(case, io));
    }
}

fn of_one_mode(list: &mut List) {
    let mode = |accept, io| Mode { accept, io };
    let hybrid = mode("hybrid", "helpers");
    list.add("generator stopped and continued", move |case| {
        stopped_client(case, mode("hash", "helpers"))
    });
    for errno in ["ENFILE", "ENOBUFS", "ENOMEM", "EPERM"] {
        list.add(format!("accept {errno}"), move |case| {
            pauses(case, &format!("accept4:error={errno}:when=2..4"), hybrid)
        });
    }
    for errno in ["EINTR", "EPROTO", "ENETDOWN", "ETIMEDOUT"] {
        list.add(format!("accept {errno}"), move |case| {
            let calls = format!("accept4:error={errno}:when=1+2");
            unnoticed(case, &calls, mode("hybrid", "guards"))
        });
    }
    for accept in ["reuseport", "hybrid"] {
        list.add(format!("accept lies EAGAIN, {accept}"), move |case| {
            forged_eagain_of_accept(case, accept)
        });
    }
    let in_turn = mode("round-robin", "helpers");
    for errno in ["EAGAIN", "EINTR"] {
        list.add(format!("eventfd {errno}"), move |case| {
            let calls = format!("write:error={errno}:when=1+2");
            unnoticed_on_path(case, &calls, in_turn, "anon_inode:[eventfd]")
        });
    }
    for call in [
        "futex",
        "epoll_wait",
        "epoll_ctl",
        "accept4",
        "close",
        "write",
    ] {
        list.add(format!("late: {call}"), move |case| {
            let calls = format!("{call}:delay_exit=2000:when=1+3");
            unnoticed(case, &calls, mode("round-robin", "poll"))
        });
    }
    list.add("deregistering ENOMEM", move |case| {
        unnoticed(case, "epoll_ctl:error=ENOMEM:when=12+1", in_turn)
    });
    list.add("TCP_NODELAY EINVAL", move |case| {
        unnoticed(case, "setsockopt:error=EINVAL:when=9+1", hybrid)
    });
    list.add("epoll lost", lost_epoll);
}

fn of_startup(list: &mut List) {
    for (name, calls, words) in [
        ("no thread", "clone3:error=EAGAIN:when=1", &[EXHAUSTED][..]),
        (
            "no second thread",
            "clone3:error=EAGAIN:when=2",
            &[EXHAUSTED],
        ),
        (
            "no epoll",
            "epoll_create1:error=EMFILE:when=1",
            &["Too many open files"],
        ),
        (
            "no second epoll",
            "epoll_create1:error=EMFILE:when=2",
            &["Too many open files"],
        ),
        (
            "no eventfd",
            "eventfd2:error=ENFILE:when=2",
            &["Too many open files in system"],
        ),
        (
            "epoll takes no eventfd",
            "epoll_ctl:error=ENOMEM:when=1",
            &["Cannot allocate memory"],
        ),
        (
            "epoll takes no listener",
            "epoll_ctl:error=ENOSPC:when=2",
            &["No space left on device"],
        ),
        ("no socket", "socket:error=EMFILE", &["Too many open files"]),
        (
            "no address",
            "bind:error=EACCES",
            &["cannot listen on ", "Permission denied"],
        ),
        (
            "no second listener",
            "listen:error=EADDRINUSE:when=2",
            &["cannot listen on ", "Address already in use"],
        ),
        (
            "no pair for signals",
            "socketpair:error=EMFILE",
            &["Too many open files"],
        ),
    ] {
        list.add(format!("start: {name}"), move |case| {
            no_start(case, calls, words)
        });
    }
    list.add("start: no stack for the second thread", no_stack);
    list.add("start: no pin", no_pin);
}

fn of_the_generator(list: &mut List) {
    for io in ALL_IO {
        for (fault, calls) in [
            ("recv EINTR", "recvfrom:error=EINTR:when=1+3"),
            ("send EINTR", "sendto:error=EINTR:when=1+3"),
            ("epoll_wait EINTR", "epoll_wait:error=EINTR:when=1+2"),
        ] {
            list.add(format!("loadgen: {fault}, {io}"), move |case| {
                load_survives(case, calls, io)
            });
        }
    }
    for (fault, calls) in [
        ("late epoll_ctl", "epoll_ctl:delay_exit=2000:when=1+2"),
        ("late connect", "connect:delay_exit=2000:when=1+2"),
        (
            "connect EADDRNOTAVAIL once",
            "connect:error=EADDRNOTAVAIL:when=2",
        ),
    ] {
        list.add(format!("loadgen: {fault}"), move |case| {
            load_survives(case, calls, "helpers")
        });
    }
    for (fault, calls, words) in [
        (
            "recv ECONNRESET",
            "recvfrom:error=ECONNRESET:when=50",
            "connection reset by the server: 1 of 10",
        ),
        ("send EPIPE", "sendto:error=EPIPE:when=50", "1 of 10"),
        (
            "connect ECONNREFUSED",
            "connect:error=ECONNREFUSED:when=2",
            "connection refused: 1 of 10",
        ),
        (
            "connect EADDRNOTAVAIL",
            "connect:error=EADDRNOTAVAIL:when=2+1",
            "no local port left",
        ),
        (
            "connect ENETUNREACH",
            "connect:error=ENETUNREACH",
            "target unreachable",
        ),
        (
            "no socket",
            "socket:error=EMFILE:when=3",
            "no descriptor left",
        ),
        (
            "registering ENOMEM",
            "epoll_ctl:error=ENOMEM:when=4",
            "Cannot allocate memory",
        ),
        ("no thread", "clone3:error=EAGAIN", EXHAUSTED),
        (
            "no epoll",
            "epoll_create1:error=EMFILE",
            "Too many open files",
        ),
    ] {
        list.add(format!("loadgen: {fault}"), move |case| {
            load_fails(case, calls, words)
        });
    }
}
