//! Charts: each states its finding, its units and its sample size,
//! and carries the numbers that it shows.

mod axis;
pub mod canvas;
mod colors;
pub mod comparison;
pub mod fault_matrix;
pub mod faults;
mod letters;
pub mod lines;
pub mod overview;
mod palette;
pub mod rates;
mod rows;
pub mod run;
pub mod series;
pub mod setting;
pub mod spectrum;
pub mod stages;
pub mod sweep;
pub mod tail;
