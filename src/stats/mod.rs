//! What a finished measurement allows to conclude.

pub mod compare;
