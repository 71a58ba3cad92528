//! The books of a shard.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    brokerbench::fuzz::books(bytes);
});
