//! What a Kafka broker answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    brokerbench::fuzz::kafka(bytes);
});
