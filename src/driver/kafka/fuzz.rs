//! For fuzzing: every answer of Kafka that is read here and not by librdkafka.

use super::capability::{record, socket_consumer};
use crate::wire::kafka::{answers, sasl};

/// Whether `answer` is one to anything that is asked.
pub fn any(answer: &[u8]) -> bool {
    if let Some(head) = answer.first_chunk() {
        let head = record::BatchHead::new(*head);
        let _ = (head.check(), head.size(), head.checksum(), head.begin());
    }
    sasl::fuzz(answer);
    let produced = record::produced(answer).is_ok();
    answers::fuzz(answer) | socket_consumer::fuzz(answer) | produced
}
