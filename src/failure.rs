//! How a command ends when it does not succeed.

use std::fmt::Display;

/// Tells a person something on standard error. Where that is closed or full nobody listens, and that is no reason to end.
pub fn tell(message: impl Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Why a command did not succeed, in one message for a person.
#[derive(Debug)]
pub enum Failure {
    /// Refused before anything was touched: arguments, configuration, interface, permission, unreadable input.
    Refused(String),
    /// Failed while running.
    Failed(String),
}

impl Failure {
    /// Refused, because of `why`.
    pub fn refused(why: impl Display) -> Self {
        Self::Refused(why.to_string())
    }

    /// Failed, because of `why`.
    pub fn failed(why: impl Display) -> Self {
        Self::Failed(why.to_string())
    }

    /// The exit code: 2 for a refusal, 1 for a failure.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 2,
            Self::Failed(_) => 1,
        }
    }

    /// The message, as it is printed.
    #[must_use]
    pub fn message(&self) -> String {
        let (Self::Refused(why) | Self::Failed(why)) = self;
        // A configuration's error shows the line and begins with its own title.
        if why.starts_with("error: ") { why.clone() } else { format!("error: {why}") }
    }
}
