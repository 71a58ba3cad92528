//! The files of a run.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    brokerbench::fuzz::run(bytes);
});
