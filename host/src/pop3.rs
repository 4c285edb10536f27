//! POP3 sessions: drives `postern_proto::pop3` and answers its questions.
