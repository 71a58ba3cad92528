//! Other formats of a run: `.hgrm`. Reads results only; needs no broker.

pub mod hgrm;
