//! Answers the machine's questions by asking policies, directory, routing, quota and store.
//!
//! One [`Answers`] is one session's memory outside the machine: what policies said at connect, the login's
//! place among its account's sessions, and the transaction under way. Trouble of ours is answered with
//! 4yz; a transaction that is dropped takes its stored content with it.

use super::envelope::{Content, Standing, Transaction};
use super::facts;
use crate::config::Listener;
use crate::gateway::{AccountSession, Gateway};
use crate::message::{Draft, DraftError, MessageId};
use crate::policy::{Decision, Edit, Facts, Opinion, Policies};
use crate::senders::{Checked, ClientName};
use crate::store::StoreError;
use postern_proto::smtp::{self, Answer, Mail, Question, Reply, Role};
use postern_proto::{Address, sasl};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Who the client is and where it came in.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) listener: Arc<Listener>,
    pub(super) role: Role,
    /// It spoke before the greeting where that is refused.
    pub(super) manners: Manners,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    Waits,
    SpokeFirst,
}

#[derive(Debug)]
pub(super) struct Answers {
    pub(super) gateway: Arc<Gateway>,
    /// The set that was in force when the session began.
    pub(super) policies: Arc<Policies>,
    pub(super) client: Client,
    /// What was decided at connect; every transaction begins with it.
    standing: Standing,
    edits: Vec<Edit>,
    pub(super) connected: Vec<Opinion>,
    /// Counts the login; held for its drop.
    account: Option<AccountSession>,
    /// What DNS calls the client; None where it was not asked.
    pub(super) name: Option<ClientName>,
    pub(super) checked: Checked,
    pub(super) transaction: Option<Transaction>,
}

impl Answers {
    pub(super) fn new(gateway: Arc<Gateway>, client: Client) -> Self {
        Self {
            policies: gateway.policies.now(),
            gateway,
            client,
            standing: Standing::default(),
            edits: Vec::new(),
            connected: Vec::new(),
            account: None,
            name: None,
            checked: Checked::default(),
            transaction: None,
        }
    }

    pub(super) async fn answer(&mut self, session: &smtp::Facts, question: Question) -> Answer {
        let begun = Instant::now();
        let gateway = Arc::clone(&self.gateway);
        let stages = &gateway.stages;
        let (stage, answer) = match question {
            Question::Connect => (&stages.connect, self.connect(session).await),
            Question::Auth(question) => (&stages.auth, self.login(question).await),
            Question::Mail(mail) => (&stages.mail, proceed(self.mail(session, mail).await)),
            Question::Rcpt(rcpt) => (&stages.rcpt, proceed(self.recipient(rcpt.path).await)),
            Question::Begin => (&stages.begin, proceed(self.begin())),
            Question::Commit => (&stages.commit, self.commit(session).await),
        };
        stage.record(begun.elapsed());
        answer
    }

    async fn connect(&mut self, session: &smtp::Facts) -> Answer {
        if self.client.manners == Manners::SpokeFirst {
            return Answer::Close(Reply::spoke_before_greeting());
        }
        self.look_up_client(session).await;
        let facts = self.facts(session);
        let decision: Decision = self.policies.connect(&facts).await;
        (self.edits, self.connected) = (decision.edits, decision.opinions);
        let Err(reply) = self.standing.take(decision.verdict) else {
            return Answer::Proceed;
        };
        self.explain_connection(&facts, &reply);
        // RFC 5321 §3.1: a refused client may still say QUIT; one that is to try again need not.
        match reply.is_permanent() {
            true => Answer::Reply(reply),
            false => Answer::Close(reply),
        }
    }

    async fn login(&mut self, question: sasl::Question) -> Answer {
        let client = self.client.address.ip();
        let answer = self.gateway.directory.authenticate(question, client).await;
        if let sasl::Answer::Granted { account } = &answer {
            self.account = self.gateway.accounts.enter(account);
            if self.account.is_none() {
                tracing::info!(%account, %client, "too many sessions of this account");
                return Answer::Auth(sasl::Answer::Unavailable);
            }
        }
        Answer::Auth(answer)
    }

    async fn mail(&mut self, session: &smtp::Facts, mail: Mail) -> Result<(), Reply> {
        self.transaction = None;
        self.gateway.store.ready().map_err(|error| trouble(&error))?;
        if self.gateway.config.submission.check_sender {
            self.owned(session, mail.sender.iter()).await?;
        }
        let decided = (self.standing.clone(), self.edits.clone());
        let mut transaction = Transaction::new(MessageId::new(), mail, decided, self.facts(session));
        self.check_envelope(session, &mut transaction).await?;
        let decision = self.policies.mail(&transaction.facts).await;
        transaction.opinions = decision.opinions;
        let taken = transaction.standing.take(decision.verdict);
        taken.inspect_err(|reply| self.explain_sender(&transaction, reply))?;
        transaction.edit(decision.edits);
        self.transaction = Some(transaction);
        Ok(())
    }

    /// Whether a login may use these sender addresses. Without a login anybody may write anything.
    pub(super) async fn owned(
        &self,
        session: &smtp::Facts,
        senders: impl Iterator<Item = &Address>,
    ) -> Result<(), Reply> {
        let Some(user) = &session.user else {
            return Ok(());
        };
        for sender in senders {
            let owned = self.gateway.directory.may_send_as(user, sender).await;
            if !owned.map_err(|error| trouble(&error))? {
                return Err(Reply::sender_not_owned());
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Reply> {
        let gateway = &self.gateway;
        let transaction = self.transaction.as_mut().ok_or_else(Reply::our_trouble)?;
        transaction.begun = Instant::now();
        transaction.content = match transaction.standing {
            Standing::Discard => Content::Discarded { size: 0 },
            Standing::Deliver | Standing::Quarantine(_) => {
                let declared = transaction.mail.size.unwrap_or_default();
                let draft = Draft::begin(transaction.id, &gateway.store, &gateway.in_flight, declared);
                Content::Coming(draft.map_err(|error| refused_content(&error))?)
            }
        };
        Ok(())
    }

    /// Takes content. What cannot be kept is read to its end and refused then.
    pub(super) async fn body(&mut self, piece: &[u8]) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        match &mut transaction.content {
            Content::Coming(draft) => {
                if let Err(error) = draft.push(piece).await {
                    transaction.content = Content::Refused(refused_content(&error));
                }
            }
            Content::Discarded { size } => *size += piece.len() as u64,
            Content::Awaited | Content::Refused(_) => {}
        }
    }

    /// Whether content of a message has been asked for.
    pub(super) fn has_content(&self) -> bool {
        let transaction = self.transaction.as_ref();
        transaction.is_some_and(|transaction| !matches!(transaction.content, Content::Awaited))
    }

    /// The transaction is over.
    pub(super) fn reset(&mut self) {
        self.transaction = None;
    }

    /// TLS was started: the login, if there was one, is forgotten with all else (RFC 3207 §4.2).
    pub(super) fn secured(&mut self) {
        self.transaction = None;
        self.account = None;
    }

    /// Whether ending the session now would cost the client work.
    pub(super) fn is_idle(&self) -> bool {
        self.transaction.is_none()
    }

    fn facts(&self, session: &smtp::Facts) -> Facts {
        let client = &self.client;
        Facts {
            client_name: self.client_name().to_owned(),
            ..facts::of_session(&client.listener, client.role, client.address.ip(), session)
        }
    }
}

fn proceed(answer: Result<(), Reply>) -> Answer {
    answer.map_or_else(Answer::Reply, |()| Answer::Proceed)
}

/// The store's failures as clients hear them: never 5yz.
pub(super) fn trouble(error: &StoreError) -> Reply {
    match error {
        StoreError::Full => Reply::disk_full(),
        StoreError::Bound(_) => Reply::quarantine_full(),
        StoreError::NotFound | StoreError::Kind(_) | StoreError::Engine(_) => {
            tracing::error!(%error, "mail is deferred");
            Reply::our_trouble()
        }
    }
}

fn refused_content(error: &DraftError) -> Reply {
    match error {
        DraftError::InFlight => Reply::too_much_in_flight(),
        DraftError::Store(error) => trouble(error),
    }
}
