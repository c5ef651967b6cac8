//! What commands leave out with `--keep-going`.

/// Exit code of a command that is complete except for what was skipped.
pub const SET_ASIDE: u8 = 3;
