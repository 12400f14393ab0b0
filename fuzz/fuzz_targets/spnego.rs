#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| epmapper::fuzzing::spnego(octets));
