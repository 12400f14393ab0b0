#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| epmapper::fuzzing::typed_stub(octets));
