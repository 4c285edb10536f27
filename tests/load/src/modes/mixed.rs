//! `mixed`: deliveries while others read and delete what came, and at the end all is accounted for.

use super::read::Visits;
use super::send::{Mail, judge};
use crate::options::{Load, above_zero, merge, of_both};
use crate::pace::{self, Pace};
use crate::process::files_for;
use crate::reader::{Order, Reader};
use crate::smtp::{Protocol, Sender};
use crate::target::{Target, Tls, When};
use serde_json::json;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// host:port that takes mail
    server: String,
    /// host:port of POP3
    pop3: String,
    #[command(flatten)]
    mail: Mail,
    #[command(flatten)]
    tls: Tls,
    /// TLS of POP3
    #[arg(long, value_enum, default_value = "none")]
    pop3_tls: When,
    /// Of all mailboxes
    #[arg(long)]
    password: String,
    /// Sessions that read
    #[arg(long, default_value_t = 4)]
    readers: usize,
    /// Visits a second; without it each reader comes again when it is done
    #[arg(long, value_parser = above_zero, allow_negative_numbers = true)]
    visits: Option<f64>,
    #[command(flatten)]
    visit: Visits,
    #[command(flatten)]
    load: Load,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let Options { mail, load, .. } = options;
    let target = Target::new(&options.server, &options.tls)?;
    let tls = Tls {
        tls: options.pop3_tls,
        ca: options.tls.ca,
    };
    let pop3 = Target::new(&options.pop3, &tls)?;
    let work = Arc::new(mail.work()?);
    let with_password = |name: &String| (name.clone(), options.password.clone());
    let users: Vec<_> = work.mailboxes().iter().map(with_password).collect();
    let sender = Sender::mannered(target.clone(), &work, mail.manner(Protocol::Smtp));
    files_for(load.connections + options.readers)?;
    let mut senders = vec![sender; load.connections];
    pace::ready(&mut senders).await;
    let visit = options.visit.visit(false);
    let readers = Reader::fleet(options.readers, &pop3, (users, Order::Turn), &visit, Some(&work));

    let observer = pace::progress("mixed");
    observer.stop_at_interrupt();
    let aside = observer.aside();
    let visits = options.visits.map_or(Pace::Closed, Pace::Open);
    let mut reading = None;
    let both = async {
        let sending = pace::run(senders, load.pace(), load.length(), &observer);
        let read = pace::run(readers, visits, load.length(), &aside);
        let (sent, read) = tokio::try_join!(sending, read)?;
        reading = Some(read.json());
        anyhow::Ok(sent)
    };
    let mut outcome = load.telling.measured(&observer, both, &target.traffic).await?;
    of_both(&mut outcome);
    merge(
        &mut outcome,
        json!({ "readers": reading, "read_traffic": pop3.traffic.json() }),
    );
    let difference = work
        .read_back(pop3, &options.password, work.mailboxes().len())
        .await?;
    merge(&mut outcome, difference.json());
    load.telling.show(&outcome)?;
    judge(difference)
}
