//! SMTP and LMTP sessions: drives `postern_proto::smtp` and answers its questions.

mod envelope;
mod outcome;

use crate::gateway::Gateway;
use crate::net::Connection;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Serves one connection.
pub async fn serve(connection: Connection, gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let _ = (connection, gateway, shutdown);
}
