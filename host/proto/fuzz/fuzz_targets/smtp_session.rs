//! Arbitrary input in every state of an SMTP session.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_proto_fuzz::smtp::run(input));
