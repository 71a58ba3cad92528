//! A scenario file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    brokerbench::fuzz::scenario(bytes);
});
