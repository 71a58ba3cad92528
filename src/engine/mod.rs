//! Runs one cell. Never prints.
