use super::*;
use crate::policy::stand::Mail;

#[tokio::test]
async fn a_small_message_outlives_its_transaction_and_a_large_one_does_not_hold_it_up() {
    for (octets, outlives) in [(0, true), (KEPT, true), (KEPT + 1, false)] {
        let gone = Arc::new(AtomicBool::new(false));
        let mail: Arc<dyn MessageSource> = Mail::new("A: b\r\n\r\n".to_owned() + &"x".repeat(octets));
        let source = Source::of(&mail, &gone);
        assert_eq!((source.size(), source.head()), (mail.size(), mail.head()));
        assert_eq!(Arc::strong_count(&mail), 1, "nothing of it is held");
        assert_eq!(source.read_text(0, usize::MAX).await.unwrap().len(), octets);
        drop(mail);
        let late = source.read_text(0, 1).await;
        assert_eq!(
            (late.is_ok(), gone.load(Ordering::Relaxed)),
            (outlives, !outlives),
            "{octets}"
        );
    }
}

#[test]
fn so_many_are_admitted_as_run_and_wait() {
    let limits = PolicyLimits {
        shadow_instances: 2,
        shadow_queue: 3,
        ..PolicyLimits::default()
    };
    let shadows = Shadows::new(&limits);
    let mut admitted = Vec::new();
    let most = crate::policy::limits::tests::hits(Limit::Shadow, || {
        admitted.extend((0..5).map(|_| shadows.admit().unwrap()));
    });
    assert_eq!(most, 0);
    let more = crate::policy::limits::tests::hits(Limit::Shadow, || assert!(shadows.admit().is_none()));
    assert_eq!(more, 1);
    admitted.pop();
    assert!(shadows.admit().is_some());
}
