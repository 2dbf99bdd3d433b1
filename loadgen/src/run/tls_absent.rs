//! The place of `tls.rs` in a build without the feature `tls`: options that cannot be used.

use crate::run::tls_options::TlsOptions;

/// The TLS of a run: there is none.
#[derive(Debug, Clone)]
pub(crate) enum Tls {}

impl TlsOptions {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn prepare(&self) -> Result<Tls, String> {
        Err(format!(
            "{}: this build has no TLS; build it with --features tls",
            self.name
        ))
    }
}
