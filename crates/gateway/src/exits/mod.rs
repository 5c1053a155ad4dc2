//! Which way a connection leaves: the exits, how they are doing, which sessions they have, and trying one
//! after the other.

mod attempt;
mod health;
mod probe;
mod route;
mod session_file;
mod sessions;
mod standing;
mod way_out;
mod window;

pub(crate) use attempt::{DatagramUpstream, Upstream};
pub use health::ExitStatus;
pub(crate) use health::Health;
pub(crate) use probe::Prober;
pub(crate) use session_file::SessionFile;
pub(crate) use sessions::Sessions;
pub use standing::LeftOut;
pub(crate) use way_out::Exits;
