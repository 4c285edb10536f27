//! The body hashes of DKIM and ARC, made while a text is read: none is held in memory.

use crate::policy::MessageSource;
use crate::store;
use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext as _, HashImpl, Sha1, Sha256};
use mail_auth::dkim::canonicalize::BodyHasher;

/// Octets of one reading.
const PIECE: usize = 64 << 10;

enum Hasher {
    Sha1(BodyHasher<<Sha1 as HashImpl>::Context>),
    Sha256(BodyHasher<<Sha256 as HashImpl>::Context>),
}

impl Hasher {
    fn write(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.write(piece),
            Self::Sha256(hasher) => hasher.write(piece),
        }
    }

    fn finish(self) -> Vec<u8> {
        let output = match self {
            Self::Sha1(hasher) => hasher.finish().0.complete(),
            Self::Sha256(hasher) => hasher.finish().0.complete(),
        };
        output.as_ref().to_vec()
    }
}

/// Puts in the hashes of the text that signatures want, which were parsed from a header section alone. A text that
/// none wants is not read.
pub(super) async fn hash(
    message: &mut AuthenticatedMessage<'_>,
    source: &dyn MessageSource,
) -> store::Result<()> {
    if message.body_hashes.is_empty() {
        return Ok(());
    }
    let wanted = message.body_hashes.iter();
    let mut hashers: Vec<Hasher> = wanted
        .map(|(canonical, algorithm, length, _)| match algorithm {
            HashAlgorithm::Sha1 => Hasher::Sha1(BodyHasher::new(Sha1::hasher(), *canonical, *length)),
            HashAlgorithm::Sha256 => Hasher::Sha256(BodyHasher::new(Sha256::hasher(), *canonical, *length)),
        })
        .collect();
    let mut offset = 0;
    loop {
        let piece = source.read_text(offset, PIECE).await?;
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        hashers.iter_mut().for_each(|hasher| hasher.write(&piece));
        // A long text in memory must not keep others waiting.
        tokio::task::consume_budget().await;
    }
    for ((.., hash), hasher) in message.body_hashes.iter_mut().zip(hashers) {
        *hash = hasher.finish();
    }
    Ok(())
}
