//! What SNS and SQS offer beside the load: what is left, read back; large messages; the archive of
//! a FIFO topic, sent again; work with native dead letters; and a stand-in of our own.

pub mod audit;
pub mod large;
pub mod reflector;
pub mod replay;
pub mod work;
