//! The flags of TLS. `tls.rs` prepares them, and `tls_absent.rs` refuses them.

use std::path::PathBuf;

/// The TLS of a run as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    /// The name that the server's certificate has to have, which is also sent (SNI).
    pub(crate) name: String,
    /// The file of the only authorities to trust; those of the system if absent.
    pub(crate) cacert: Option<PathBuf>,
    /// True if any certificate is accepted.
    pub(crate) insecure: bool,
    /// The protocol that is offered (ALPN), if any.
    pub(crate) alpn: Option<&'static str>,
}
