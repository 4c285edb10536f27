use super::super::socket::Reply;
use super::*;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Served {
    it: Fixture,
    path: PathBuf,
    shutdown: CancellationToken,
    server: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    async fn new() -> Self {
        Self::over(Fixture::new().await).await
    }

    async fn over(it: Fixture) -> Self {
        let path = socket_path(it.state.path());
        let (shutdown, context) = (CancellationToken::new(), Arc::clone(&it.context));
        let server = tokio::spawn({
            let (path, shutdown) = (path.clone(), shutdown.clone());
            async move { serve(&path, context, shutdown).await }
        });
        let served = Self {
            it,
            path,
            shutdown,
            server,
        };
        // Connecting succeeds as soon as it listens.
        while UnixStream::connect(&served.path).await.is_err() {
            assert!(!served.server.is_finished());
            tokio::task::yield_now().await;
        }
        served
    }

    async fn client(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(&self.path).await.unwrap())
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.server.await.unwrap().unwrap();
        assert!(!self.path.exists());
    }
}

async fn send(client: &mut BufReader<UnixStream>, operation: &Operation) -> Vec<Reply> {
    let line = serde_json::to_string(operation).unwrap() + "\n";
    client.write_all(line.as_bytes()).await.unwrap();
    replies(client).await
}

/// Up to the last one of an answer.
async fn replies(client: &mut BufReader<UnixStream>) -> Vec<Reply> {
    let mut replies = Vec::new();
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await.unwrap();
        let reply = serde_json::from_str(&line).unwrap();
        let last = !matches!(reply, Reply::Record(_));
        replies.push(reply);
        if last {
            return replies;
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn commands_and_listings_go_through_the_socket_one_after_the_other() {
    let served = Served::new().await;
    let mut client = served.client().await;
    for name in ["ann", "bob"] {
        let answered = send(&mut client, &user(&format!("{name}@example.org"), "secret")).await;
        assert_eq!(answered, [Reply::Done(format!("user {name}@example.org added"))]);
    }
    let listed = send(&mut client, &Operation::UserList).await;
    assert!(
        matches!(&listed[..], [Reply::Record(_), Reply::Record(_), Reply::Done(_)]),
        "{listed:?}"
    );
    let refused = send(&mut client, &user("ann@example.org", "secret")).await;
    assert!(
        matches!(&refused[..], [Reply::Failed(text)] if text.contains("already")),
        "{refused:?}"
    );
    served.end().await;
}

#[tokio::test]
async fn only_its_owner_can_reach_the_socket() {
    let served = Served::new().await;
    assert_eq!(mode(served.path.parent().unwrap()), 0o700);
    assert_eq!(mode(&served.path), 0o600);
    served.end().await;
}

#[tokio::test]
async fn a_listing_of_any_length_is_streamed_and_a_client_that_leaves_stops_it() {
    let served = Served::new().await;
    let users = (0..500).map(|line| Imported {
        line,
        address: format!("user{line:03}@example.org"),
        proof: Proof::Hash(Hidden(BCRYPT.to_owned())),
    });
    served
        .it
        .done(Operation::UserImport {
            users: users.collect(),
        })
        .await;
    let mut leaving = served.client().await;
    leaving
        .write_all(b"{\"operation\":\"user-list\"}\n")
        .await
        .unwrap();
    drop(leaving);
    let mut client = served.client().await;
    assert_eq!(send(&mut client, &Operation::UserList).await.len(), 501);
    served.end().await;
}

#[tokio::test]
async fn what_is_no_command_is_refused_and_what_is_too_long_ends_the_connection() {
    let served = Served::new().await;
    let mut client = served.client().await;
    for line in ["nonsense\n", "{\"operation\":\"make-tea\"}\n"] {
        client.write_all(line.as_bytes()).await.unwrap();
        let answered = replies(&mut client).await;
        assert!(matches!(&answered[..], [Reply::Failed(_)]), "{answered:?}");
    }
    assert_eq!(send(&mut client, &Operation::DomainList).await.len(), 2);

    // At the bound it is read whole, and refused for what it says.
    let mut line = vec![b'x'; MOST_REQUEST];
    line.push(b'\n');
    let mut client = served.client().await;
    client.write_all(&line).await.unwrap();
    assert!(matches!(&replies(&mut client).await[..], [Reply::Failed(_)]));

    line.insert(0, b'x');
    let mut client = served.client().await;
    // The gateway may have hung up before the last octet is sent.
    let _ = client.write_all(&line).await;
    let mut answer = Vec::new();
    match client.read_until(b'\n', &mut answer).await {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    served.end().await;
}

#[tokio::test]
async fn the_socket_of_a_dead_gateway_is_replaced_and_that_of_a_living_one_is_not() {
    let it = Fixture::new().await;
    let path = socket_path(it.state.path());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind");
    let served = Served::over(it).await;

    let context = Arc::clone(&served.it.context);
    let second = serve(&served.path, context, CancellationToken::new()).await;
    let refused = second.unwrap_err().to_string();
    assert!(refused.contains("another gateway"), "{refused}");
    assert_eq!(
        send(&mut served.client().await, &Operation::DomainList)
            .await
            .len(),
        2
    );
    served.end().await;
}
