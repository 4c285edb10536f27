//! Components of older versions of the contract, as they were built then.

use crate::folder::{Folder, Mail, answers, facts, load};
use postern::policy::{Edit, Verdict};

const OLD: &[u8] = include_bytes!("../../guests/old/policy-0.1.0.wasm");

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_built_against_0_1_0_is_asked_as_any_other() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("10-old.wasm"), OLD).expect("a policy");
    let manifest = "settings: { refused: bob@shop.example }\ngrants: { kv: {} }\n";
    std::fs::write(folder.path().join("10-old.yaml"), manifest).expect("its file");
    let policies = load(&folder).await;
    assert_eq!(answers(&policies, "10-old"), ["mail", "message", "validate"]);
    let refused = policies.mail(&facts()).await.verdict;
    assert!(matches!(refused, Verdict::Reject(reply) if reply.text() == "not you"));
    let letter = Mail::new(b"Subject: lunch\r\n\r\nAt noon?\r\n");
    let decision = policies.message(&facts(), letter, &[]).await;
    let edit = Edit::AddHeader {
        name: "X-Old".to_owned(),
        value: "lunch, from mail.shop.example, 1".to_owned(),
    };
    assert_eq!((decision.verdict, decision.edits), (Verdict::Accept, vec![edit]));
}
