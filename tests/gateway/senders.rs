//! A stranger's mail through a real process: it asks the DNS server that it is told to ask, and writes what it found.

use super::server::Records;
use super::*;

/// A connection to a listener, line by line.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn open(address: &str) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(tcp))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "it hung up");
        line
    }

    /// The last line of the reply.
    fn say(&mut self, text: &str) -> String {
        self.send(&format!("{text}\r\n"));
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }
}

fn add_user(site: &Site) {
    assert!(site.postern(&["domain", "add", "example.org"]).status.success());
    let mut adding = Command::new(POSTERN)
        .args(["user", "add", "ann@example.org", "--password-stdin", "--config"])
        .arg(site.config())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    adding
        .stdin
        .take()
        .unwrap()
        .write_all(b"correct horse\n")
        .unwrap();
    assert!(adding.wait().unwrap().success());
}

#[test]
fn a_stranger_is_verified_by_the_servers_that_are_named() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let records = Records::default()
        .ptr("192.0.2.1", "client.example.")
        .address("client.example", "192.0.2.1")
        .txt("example.net", "v=spf1 ip4:192.0.2.1 -all")
        .txt("_dmarc.example.net", "v=DMARC1; p=quarantine");
    let dns = runtime.block_on(records.serve());
    let site = Site::new(&format!(
        "- {{ name: proxied, role: mx, address: \"127.0.0.1:0\", proxy: [127.0.0.1/32] }}\n\
         - {{ name: pop3, role: pop3, address: \"127.0.0.1:0\", tls: none, plaintext_auth: true }}\n\
         dns: {{ servers: [\"{}\"] }}\n",
        dns.address
    ));
    add_user(&site);
    let mut gateway = site.serve();
    let mut mx = Wire::open(&gateway.address("proxied"));
    mx.send("PROXY TCP4 192.0.2.1 192.0.2.99 1234 25\r\n");
    assert!(mx.line().starts_with("220 "));
    for command in [
        "EHLO client.example",
        "MAIL FROM:<bob@example.net>",
        "RCPT TO:<ann@example.org>",
    ] {
        let reply = mx.say(command);
        assert!(reply.starts_with("250 "), "{command}: {reply}");
    }
    assert!(mx.say("DATA").starts_with("354 "));
    let reply =
        mx.say("Authentication-Results: LOCALHOST; dmarc=pass\r\nFrom: bob@example.net\r\n\r\nhi\r\n.");
    assert!(reply.starts_with("250 "), "{reply}");
    let mut pop3 = Wire::open(&gateway.address("pop3"));
    pop3.line();
    for command in ["USER ann@example.org", "PASS correct horse", "RETR 1"] {
        let reply = pop3.say(command);
        assert!(reply.starts_with("+OK"), "{command}: {reply}");
    }
    let mut mail = String::new();
    while !mail.ends_with("\r\n.\r\n") {
        mail.push_str(&pop3.line());
    }
    let field = "Authentication-Results: localhost;\r\n\
                 \tiprev=pass policy.iprev=192.0.2.1 (client.example);\r\n\
                 \tspf=pass smtp.mailfrom=bob@example.net;\r\n\
                 \tdkim=none;\r\n\
                 \tdmarc=pass (p=quarantine) header.from=example.net;\r\n\
                 \tarc=none\r\n";
    assert!(mail.contains(field), "{mail}");
    assert_eq!(mail.matches("Authentication-Results").count(), 1, "{mail}");
    let page = gateway.get("/metrics");
    let counted = "postern_sender_auth_total{method=\"spf\",result=\"pass\"} 1";
    assert!(page.contains(counted), "{page}");
    gateway.signal(Signal::TERM);
    drop((mx, pop3));
    assert_eq!(gateway.code(), Some(0));
}
