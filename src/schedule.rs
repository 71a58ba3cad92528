//! When messages are due: pure arithmetic from rate and seed.
