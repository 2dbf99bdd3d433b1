//! [`UCred`].

#![forbid(unsafe_code)]

/// A user id.
#[allow(
    non_camel_case_types,
    reason = "the name in the C library and in tokio"
)]
pub type uid_t = u32;

/// A group id.
#[allow(
    non_camel_case_types,
    reason = "the name in the C library and in tokio"
)]
pub type gid_t = u32;

/// A process id.
#[allow(
    non_camel_case_types,
    reason = "the name in the C library and in tokio"
)]
pub type pid_t = i32;

/// The credentials of a peer, from [`UnixStream::peer_cred`](super::UnixStream::peer_cred).
///
/// They are those of the time when the peer connected, listened or made the pair.
///
/// Same as tokio's type of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    pid: Option<pid_t>,
    uid: uid_t,
    gid: gid_t,
}

impl UCred {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn new(cred: libc::ucred) -> Self {
        Self {
            pid: (cred.pid != 0).then_some(cred.pid),
            uid: cred.uid,
            gid: cred.gid,
        }
    }

    /// Returns the effective user id of the peer.
    pub fn uid(&self) -> uid_t {
        self.uid
    }

    /// Returns the effective group id of the peer.
    pub fn gid(&self) -> gid_t {
        self.gid
    }

    /// Returns the process id of the peer, or `None` if the peer is outside of this process's pid
    /// namespace.
    pub fn pid(&self) -> Option<pid_t> {
        self.pid
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::UCred;

    #[test]
    fn each_number_has_its_place() {
        let (pid, uid, gid) = (1, 2, 3);
        let cred = UCred::new(libc::ucred { pid, uid, gid });
        assert_eq!((cred.pid(), cred.uid(), cred.gid()), (Some(1), 2, 3));
        let elsewhere = UCred::new(libc::ucred { pid: 0, uid, gid });
        assert_eq!(elsewhere.pid(), None);
    }
}
