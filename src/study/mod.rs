//! Cells, blocks and their order; and the self-check of the instrument.

pub mod selfcheck;
