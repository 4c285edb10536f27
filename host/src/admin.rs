//! The admin listener: `/healthz`, `/readyz`, `/metrics`, and the control socket.
