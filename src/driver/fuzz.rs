//! For fuzzing: what brokers answer, walked as the drivers walk it. Each returns whether the bytes were an answer.

pub fn kafka(answer: &[u8]) -> bool {
    super::kafka::fuzz::any(answer)
}

pub fn redis(answer: &[u8]) -> bool {
    super::redis::fuzz::any(answer)
}
