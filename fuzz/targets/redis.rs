//! What a Redis server or a Sentinel answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    brokerbench::fuzz::redis(bytes);
});
