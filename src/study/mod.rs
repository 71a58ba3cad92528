//! Cells, blocks and their order.
