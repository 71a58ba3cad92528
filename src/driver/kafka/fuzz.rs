//! For fuzzing: every answer of Kafka that is read here and not by librdkafka.

use super::{answers, raw, sasl, wire};

/// Whether `answer` is one to anything that is asked.
pub fn any(answer: &[u8]) -> bool {
    if let Some(head) = answer.first_chunk() {
        let head = wire::BatchHead::new(*head);
        let _ = (head.check(), head.size(), head.checksum(), head.begin());
    }
    sasl::fuzz(answer);
    let produced = wire::produced(answer).is_ok();
    answers::fuzz(answer) | raw::fuzz(answer) | produced
}
