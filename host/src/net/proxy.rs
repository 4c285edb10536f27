//! The PROXY protocol, version 1 and 2, as a proxy in front of us sends it.
//!
//! Read only from networks that the listener names, where it is required. Bounded in size here and in time
//! by the caller; nothing behind the header is read. Anything else than a well-formed header over TCP ends
//! the connection: guessing would let a client choose its own address.

use ppp::{v1, v2};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line of version 1, CRLF included.
const LINE: usize = 107;
/// The fixed part of version 2: signature, command, family, length.
const FIXED: usize = 16;
/// What may follow it: addresses and TLVs, of which a client certificate is the largest in use.
const EXTRA: usize = 4096;

/// Reads the header. None: the proxy speaks for itself (`LOCAL`, `UNKNOWN`), the peer is the client.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    match stream.read_u8().await? {
        b'P' => version_1(stream).await,
        b'\r' => version_2(stream).await,
        _ => Err(refused("no PROXY header, though the peer is a configured proxy")),
    }
}

fn refused(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// One octet at a time: what follows the line belongs to the protocol behind it.
async fn version_1<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut line = vec![b'P'];
    while !line.ends_with(b"\r\n") {
        if line.len() >= LINE {
            return Err(refused("the PROXY line is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    let header = v1::Header::try_from(line.as_slice()).map_err(|_| refused("malformed PROXY line"))?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(ip) => Some(SocketAddr::from((ip.source_address, ip.source_port))),
        v1::Addresses::Tcp6(ip) => Some(canonical(ip.source_address.into(), ip.source_port)),
    })
}

async fn version_2<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut fixed = [b'\r'; FIXED];
    let (_, rest) = fixed.split_at_mut(1);
    stream.read_exact(rest).await?;
    let [.., high, low] = fixed;
    let extra = usize::from(u16::from_be_bytes([high, low]));
    if extra > EXTRA {
        return Err(refused("the PROXY header is too long"));
    }
    let mut header = fixed.to_vec();
    header.resize(FIXED + extra, 0);
    let (_, rest) = header.split_at_mut(FIXED);
    stream.read_exact(rest).await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|_| refused("malformed PROXY header"))?;
    match (header.command, header.protocol, header.addresses) {
        // Sent by health checks: the addresses, if any, are to be ignored.
        (v2::Command::Local, ..) | (_, _, v2::Addresses::Unspecified) => Ok(None),
        (_, v2::Protocol::Stream, v2::Addresses::IPv4(ip)) => {
            Ok(Some(SocketAddr::from((ip.source_address, ip.source_port))))
        }
        (_, v2::Protocol::Stream, v2::Addresses::IPv6(ip)) => {
            Ok(Some(canonical(ip.source_address.into(), ip.source_port)))
        }
        _ => Err(refused("the PROXY header is not about TCP")),
    }
}

fn canonical(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

    /// What the header says, and what is left of the input behind it.
    async fn read_all(input: &[u8]) -> (Result<Option<String>, io::ErrorKind>, usize) {
        let mut stream = input;
        let said = read(&mut stream).await;
        (
            said.map(|client| client.map(|c| c.to_string()))
                .map_err(|e| e.kind()),
            stream.len(),
        )
    }

    fn version_2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        header.extend(payload);
        header
    }

    fn client(text: &str) -> Result<Option<String>, io::ErrorKind> {
        Ok(Some(text.to_owned()))
    }

    const FOUR: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 25];

    #[tokio::test]
    async fn version_1_is_read_up_to_its_line_end_and_no_further() {
        let input = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 25\r\nEHLO x\r\n";
        assert_eq!(read_all(input).await, (client("192.0.2.7:12345"), 8));
        let input = b"PROXY TCP6 2001:db8::7 2001:db8::1 12345 25\r\n";
        assert_eq!(read_all(input).await, (client("[2001:db8::7]:12345"), 0));
        let input = b"PROXY TCP6 ::ffff:192.0.2.7 ::1 12345 25\r\n";
        assert_eq!(read_all(input).await, (client("192.0.2.7:12345"), 0));
        assert_eq!(read_all(b"PROXY UNKNOWN\r\nx").await, (Ok(None), 1));
    }

    #[tokio::test]
    async fn version_2_is_read_with_its_tlvs_and_no_further() {
        let mut with_tlv = FOUR.to_vec();
        with_tlv.extend([0x04, 0, 2, 1, 2]);
        let mut input = version_2(1, 0x11, &with_tlv);
        input.extend(b"EHLO");
        assert_eq!(read_all(&input).await, (client("192.0.2.7:12345"), 4));
        let mut six = [0; 36];
        six[..2].copy_from_slice(&[0x20, 0x01]);
        six[32..34].copy_from_slice(&[0x30, 0x39]);
        assert_eq!(
            read_all(&version_2(1, 0x21, &six)).await,
            (client("[2001::]:12345"), 0)
        );
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself() {
        assert_eq!(read_all(&version_2(0, 0, &[])).await, (Ok(None), 0));
        assert_eq!(
            read_all(&version_2(0, 0x11, &FOUR)).await,
            (Ok(None), 0),
            "addresses of LOCAL are ignored"
        );
    }

    #[tokio::test]
    async fn what_is_no_header_over_tcp_is_refused() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(100));
        let datagram = version_2(1, 0x12, &FOUR);
        let unix = version_2(1, 0x31, &[0; 216]);
        let too_long = version_2(1, 0x11, &vec![0; EXTRA + 1]);
        let inputs: [&[u8]; 7] = [
            b"EHLO there\r\n",
            b"PROXY TCP4 192.0.2.7\r\n",
            b"PROXY TCP4 300.0.2.7 10.0.0.1 1 2\r\n",
            long.as_bytes(),
            &datagram,
            &unix,
            &too_long,
        ];
        for input in inputs {
            assert_eq!(
                read_all(input).await.0,
                Err(io::ErrorKind::InvalidData),
                "{input:?}"
            );
        }
        assert_eq!(read_all(b"PROXY TCP4").await.0, Err(io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test]
    async fn both_edges_of_the_size() {
        let mut payload = FOUR.to_vec();
        payload.extend([0x04, 0x0f, 0xf1]);
        payload.resize(EXTRA, 0);
        assert_eq!(
            read_all(&version_2(1, 0x11, &payload)).await,
            (client("192.0.2.7:12345"), 0)
        );
    }
}
