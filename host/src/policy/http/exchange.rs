//! One request and its answer, over a connection that is made for them.

use super::reach::is_public;
use super::request::Checked;
use crate::dns::{Failure, Lookup};
use crate::policy::bindings::postern::policy::types::{HeaderField, HttpResponse};
use crate::policy::grants::{HttpGrant, Origin, Scheme};
use crate::policy::limits::Limit;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::Host;

/// hyper wants room for no less.
const BUFFER: usize = 8192;
/// Octets of a status line.
const STATUS: usize = 1024;
/// What a field has beside its name and its value: `: ` and the end of its line.
const BETWEEN: usize = 4;

/// Connects, sends, reads. The error is for the policy.
pub(super) async fn run(
    grant: &HttpGrant,
    (tls, dns): (&TlsConnector, &dyn Lookup),
    checked: Checked,
) -> Result<HttpResponse, String> {
    let Checked { origin, request, .. } = checked;
    let addresses = addresses(&origin, dns).await?;
    let unreached = |error: std::io::Error| format!("cannot reach {origin}: {error}");
    let stream = TcpStream::connect(&*addresses).await.map_err(unreached)?;
    match origin.scheme {
        Scheme::Http => exchange(grant, stream, request).await,
        Scheme::Https => {
            let name = server_name(&origin)?;
            let stream = tls.connect(name, stream).await.map_err(unreached)?;
            exchange(grant, stream, request).await
        }
    }
}

/// Those that a connection may be made to.
async fn addresses(origin: &Origin, dns: &dyn Lookup) -> Result<Vec<SocketAddr>, String> {
    if let Some(named) = origin.address() {
        return Ok(vec![SocketAddr::new(named, origin.port)]);
    }
    let mut found = resolve(&origin.host.to_string(), origin.port, dns)
        .await
        .map_err(|error| format!("cannot find {origin}: {error}"))?;
    if !origin.is_private {
        found.retain(|address| is_public(address.ip()));
    }
    match found.is_empty() {
        true => Err(format!(
            "{origin} leads to no public address, and is not in grants.http.private"
        )),
        false => Ok(found),
    }
}

/// `localhost` is this machine without being asked for (RFC 6761 §6.3).
async fn resolve(name: &str, port: u16, dns: &dyn Lookup) -> Result<Vec<SocketAddr>, Failure> {
    let found: Vec<IpAddr> = match name.trim_end_matches('.') {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        name => {
            let found = dns.addresses(name).await?;
            found.iter().filter_map(|address| address.parse().ok()).collect()
        }
    };
    match found.is_empty() {
        true => Err(Failure("DNS has no address for it".to_owned())),
        false => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
    }
}

fn server_name(origin: &Origin) -> Result<ServerName<'static>, String> {
    match &origin.host {
        Host::Domain(name) => {
            ServerName::try_from(name.clone()).map_err(|error| format!("{origin}: {error}"))
        }
        Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::from(*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::from(*address).into())),
    }
}

async fn exchange<S>(
    grant: &HttpGrant,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<HttpResponse, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| match error.is_parse_too_large() {
        true => too_large_head(grant),
        false => format!("the exchange failed: {error}"),
    };
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(grant.head + STATUS)
        .max_buf_size(grant.head + STATUS + BUFFER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with this exchange.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(broken)?;
    read(grant, answer).await
}

fn too_large_head(grant: &HttpGrant) -> String {
    Limit::HttpHead.hit();
    format!(
        "the answer's header fields have more than {} octets (grants.http.head), or are more than 100",
        grant.head
    )
}

async fn read(grant: &HttpGrant, answer: Response<Incoming>) -> Result<HttpResponse, String> {
    let too_large = || {
        Limit::HttpResponse.hit();
        format!(
            "the answer has more than {} octets (grants.http.response)",
            grant.response
        )
    };
    let (head, mut body) = answer.into_parts();
    let fields = head.headers.iter();
    let octets: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + BETWEEN)
        .sum();
    if octets > grant.head {
        return Err(too_large_head(grant));
    }
    if body.size_hint().lower() > grant.response as u64 {
        return Err(too_large());
    }
    let mut octets = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        if octets.len() + data.len() > grant.response {
            return Err(too_large());
        }
        octets.extend_from_slice(&data);
    }
    let headers = head.headers.iter().map(|(name, value)| HeaderField {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    });
    Ok(HttpResponse {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body: octets,
    })
}
