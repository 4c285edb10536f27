//! SMTP and LMTP sessions: drives `postern_proto::smtp` and answers its questions.
