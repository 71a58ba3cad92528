//! A baseline's file, and `baseline.json` of a run folder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    brokerbench::fuzz::baseline(bytes);
});
