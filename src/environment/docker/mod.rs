//! Real brokers as containers, driven through compose.

mod engine;

pub use engine::{Compose, Engine, Image, Network, find as find_engine, image_name};
