//! POP3 sessions: drives `postern_proto::pop3` and answers its questions.

use crate::gateway::Gateway;
use crate::net::Connection;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Serves one connection.
pub async fn serve(connection: Connection, gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let _ = (connection, gateway, shutdown);
}
