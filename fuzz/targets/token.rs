//! What a provider of tokens answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    brokerbench::fuzz::token(bytes);
});
