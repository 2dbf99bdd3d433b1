//! The replacement of `tls.rs` in a build without the feature `tls`. It refuses all options.

use crate::run::tls_options::TlsOptions;

/// The TLS configuration of a run, which cannot exist in this build.
#[derive(Debug, Clone)]
pub(crate) enum Tls {}

impl TlsOptions {
    /// Returns an error.
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
