//! What any process needs and no domain does: documents and their problems, hot reload, listeners, TLS, health,
//! metrics, logs, shutdown, tasks, a clock.
//!
//! If a line here mentions a limit or a token it is in the wrong crate. A service reads its settings, loads documents
//! into a [`snapshot::Snapshot`], binds listeners and serves until shutdown.

pub mod clock;
pub mod document;
pub mod health;
pub mod health_probe;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod ports;
pub mod problem;
pub mod reload;
pub mod secret;
pub mod settings;
pub mod shutdown;
pub mod snapshot;
pub mod source;
pub mod task;
pub mod watch;

pub use problem::{Position, Problem, Problems};
pub use secret::Secret;
pub use snapshot::Snapshot;
pub use source::SourceFile;
