//! Arbitrary input in every state of a POP3 session.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_proto_fuzz::pop3::run(input));
