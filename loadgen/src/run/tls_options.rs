//! The flags of TLS. `tls.rs` prepares them, and `tls_absent.rs` refuses them.

use std::path::PathBuf;

/// The requested TLS options of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    /// The server's name. It is sent (SNI), and the certificate must have it.
    pub(crate) name: String,
    /// The file of the authorities to trust; if absent, those of the system.
    pub(crate) cacert: Option<PathBuf>,
    /// True if any certificate is accepted.
    pub(crate) insecure: bool,
    /// The protocol that is offered (ALPN), if any.
    pub(crate) alpn: Option<&'static str>,
}
