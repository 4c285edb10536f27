//! A small authoritative DNS server on loopback, by UDP and TCP, for tests. It knows what it is given, counts
//! what it is asked, and has trouble where it is told to.

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{MX, PTR, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::AbortHandle;

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// SERVFAIL.
    Fails,
    /// No answer at all.
    Silent,
}

/// What a server knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    records: BTreeMap<(String, RecordType), Vec<RData>>,
    trouble: BTreeMap<String, Trouble>,
}

impl Records {
    fn with(mut self, name: &str, kind: RecordType, data: RData) -> Self {
        self.records
            .entry((name.to_owned(), kind))
            .or_default()
            .push(data);
        self
    }

    /// Strings of at most 255 octets each, as the wire has them.
    pub(crate) fn txt(self, name: &str, text: &str) -> Self {
        let strings = text.as_bytes().chunks(255).collect();
        self.with(name, RecordType::TXT, RData::TXT(TXT::from_bytes(strings)))
    }

    pub(crate) fn address(self, name: &str, address: &str) -> Self {
        match address.parse().expect("an address") {
            IpAddr::V4(v4) => self.with(name, RecordType::A, RData::A(v4.into())),
            IpAddr::V6(v6) => self.with(name, RecordType::AAAA, RData::AAAA(v6.into())),
        }
    }

    pub(crate) fn mx(self, name: &str, preference: u16, exchange: &str) -> Self {
        let exchange = Name::from_ascii(exchange).expect("a name");
        self.with(name, RecordType::MX, RData::MX(MX::new(preference, exchange)))
    }

    pub(crate) fn ptr(self, address: &str, name: &str) -> Self {
        let address: IpAddr = address.parse().expect("an address");
        let pointer = PTR(Name::from_ascii(name).expect("a name"));
        let reverse = Name::from(address).to_ascii();
        self.with(
            reverse.trim_end_matches('.'),
            RecordType::PTR,
            RData::PTR(pointer),
        )
    }

    /// Everything about this name is answered SERVFAIL.
    pub(crate) fn failing(mut self, name: &str) -> Self {
        self.trouble.insert(name.to_owned(), Trouble::Fails);
        self
    }

    /// Nothing about this name is answered.
    pub(crate) fn silent(mut self, name: &str) -> Self {
        self.trouble.insert(name.to_owned(), Trouble::Silent);
        self
    }

    pub(crate) async fn serve(self) -> Server {
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().expect("an address");
        let known = Arc::new(Known {
            records: self,
            asked: Mutex::default(),
        });
        let by_udp = tokio::spawn(by_udp(udp, Arc::clone(&known)));
        let by_tcp = tokio::spawn(by_tcp(tcp, Arc::clone(&known)));
        Server {
            address,
            known,
            tasks: [by_udp.abort_handle(), by_tcp.abort_handle()],
        }
    }
}

/// One port for both.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = tcp.local_addr().expect("an address");
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (udp, tcp);
        }
    }
}

#[derive(Debug)]
struct Known {
    records: Records,
    asked: Mutex<Vec<String>>,
}

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    known: Arc<Known>,
    tasks: [AbortHandle; 2],
}

impl Server {
    /// All questions so far, `TXT example.org`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.known.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Known {
    /// None where nothing is said.
    fn answer(&self, request: &[u8], most: Option<usize>) -> Option<Vec<u8>> {
        let request = Message::from_vec(request).ok()?;
        let query = request.queries.first()?;
        let name = query.name().to_lowercase().to_ascii();
        let name = name.trim_end_matches('.').to_owned();
        let kind = query.query_type();
        self.asked
            .lock()
            .expect("no panic")
            .push(format!("{kind} {name}"));
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata.authoritative = true;
        response.add_query(query.clone());
        match self.records.trouble.get(&name) {
            Some(Trouble::Silent) => return None,
            Some(Trouble::Fails) => response.metadata.response_code = ResponseCode::ServFail,
            None => {
                let exists = self.records.records.keys().any(|(known, _)| *known == name);
                if !exists {
                    response.metadata.response_code = ResponseCode::NXDomain;
                }
                let data = self.records.records.get(&(name, kind));
                for data in data.into_iter().flatten() {
                    let record = Record::from_rdata(query.name().clone(), 300, data.clone());
                    response.add_answer(record);
                }
            }
        }
        let whole = response.to_vec().ok()?;
        let most = most.unwrap_or(usize::from(request.max_payload()));
        if whole.len() <= most {
            return Some(whole);
        }
        response.answers.clear();
        response.metadata.truncation = true;
        response.to_vec().ok()
    }
}

async fn by_udp(socket: UdpSocket, known: Arc<Known>) {
    let mut request = [0; 4096];
    while let Ok((octets, client)) = socket.recv_from(&mut request).await {
        if let Some(answer) = known.answer(&request[..octets], None) {
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn by_tcp(listener: TcpListener, known: Arc<Known>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(one_client(stream, Arc::clone(&known)));
    }
}

async fn one_client(mut stream: TcpStream, known: Arc<Known>) {
    while let Ok(octets) = stream.read_u16().await {
        let mut request = vec![0; usize::from(octets)];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        if let Some(answer) = known.answer(&request, Some(usize::from(u16::MAX))) {
            let length = u16::try_from(answer.len()).expect("an answer that fits");
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}
