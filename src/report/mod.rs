//! Tables and charts from a run folder. Reads results only; needs no broker.
