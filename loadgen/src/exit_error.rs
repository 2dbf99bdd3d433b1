//! An error that ends the program: a message and an exit code.

/// Why no run took place: what to say, and the exit code.
#[derive(Debug)]
pub struct ExitError {
    /// A sentence.
    pub message: String,
    /// 1 for the machine or the target, 2 for the arguments.
    pub exit_code: u8,
}

impl ExitError {
    pub(crate) fn arguments(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 2,
        }
    }

    pub(crate) fn run(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 1,
        }
    }
}
