//! What commands leave out with `--keep-going`.

/// Exit code of a command that is complete but for what was set aside.
pub const SET_ASIDE: u8 = 3;
