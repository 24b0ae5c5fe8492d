#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (fswake_fuzz_targets::journal::TARGET.check)(input));
