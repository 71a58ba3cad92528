//! For fuzzing: what answers where a broker should listen.

pub fn redis(answer: &[u8]) {
    super::redis::fuzz(answer);
}

pub fn kafka(answer: &[u8]) {
    super::kafka::fuzz(answer);
}
