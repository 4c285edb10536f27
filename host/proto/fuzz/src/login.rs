//! Logins that come to something.

use postern_proto::sasl::{Answer, Question, ScramKeys};

/// Whoever logs in is let in, but by keys that were made up.
pub fn granted(question: &Question) -> Answer {
    match question {
        Question::Keys { login } => Answer::Keys {
            keys: ScramKeys {
                salt: vec![1; 16],
                iterations: 4096,
                stored_key: [2; 32],
                server_key: [3; 32],
            },
            account: Some(login.clone()),
            server_nonce: "nonce".into(),
        },
        Question::Proof { account: None, .. } => Answer::Denied,
        _ => Answer::Granted {
            account: "ann@s.example".into(),
        },
    }
}
