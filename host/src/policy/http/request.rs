//! What a policy wants to send, checked as a client's input is.
//!
//! The gateway alone says where a request ends and to whom it goes: the fields that do so are refused, not mended.

use crate::policy::bindings::postern::policy::types::HttpRequest;
use crate::policy::capabilities::line;
use crate::policy::grants::{HttpGrant, Origin};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use url::{Position, Url};

/// Header fields of a request.
const FIELDS: usize = 100;
/// Octets of a text of the guest's that is told back to it.
const SHOWN: usize = 200;
/// These are the gateway's.
const OURS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request that may be sent.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) origin: Origin,
    /// Without its fragment.
    pub(super) url: Url,
    pub(super) request: Request<Full<Bytes>>,
}

/// The error is for the policy.
pub(super) fn check(grant: &HttpGrant, asked: HttpRequest) -> Result<Checked, String> {
    let mut url = Url::parse(&asked.url)
        .map_err(|error| format!("`{}` is no URL: {error}", line(&asked.url, SHOWN)))?;
    url.set_fragment(None);
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user in it is not sent; use the header field Authorization".to_owned());
    }
    let origin = Origin::of(&url).ok_or("only https:// and http:// are spoken")?;
    let origin = match grant.origins.iter().find(|granted| granted.is(&origin)) {
        Some(granted) => granted.clone(),
        None => return Err(format!("not granted: {origin} is not in grants.http.hosts")),
    };
    let method = method(&asked.method)?;
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let mut request = Request::new(Full::new(Bytes::from(asked.body)));
    *request.uri_mut() = target
        .parse()
        .map_err(|error| format!("`{}` cannot be asked for: {error}", line(target, SHOWN)))?;
    *request.method_mut() = method;
    let headers = request.headers_mut();
    for (place, field) in asked.headers.into_iter().enumerate() {
        if place >= FIELDS {
            return Err(format!("a request has at most {FIELDS} header fields"));
        }
        add(headers, &field.name, &field.value)?;
    }
    let host = HeaderValue::try_from(origin.authority());
    headers.insert(HOST, host.map_err(|error| format!("{origin}: {error}"))?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(Checked { origin, url, request })
}

fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.as_bytes());
    // CONNECT makes a tunnel of a connection, TRACE tells what was sent (RFC 9110 §9.3).
    let fits = |method: &Method| *method != Method::CONNECT && *method != Method::TRACE;
    let method = method.ok().filter(fits);
    method.ok_or_else(|| format!("`{}` is no method that is sent", line(text, SHOWN)))
}

fn add(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), String> {
    let shown = line(name, SHOWN);
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{shown}` is no header name"))?;
    if OURS.contains(&name.as_str()) {
        return Err(format!("the header field {shown} is the gateway's to set"));
    }
    let value =
        HeaderValue::from_bytes(value).map_err(|_| format!("{shown} has a value that no field has"))?;
    headers.append(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bindings::postern::policy::types::HeaderField;
    use crate::policy::grants::tests::granted;

    fn checked(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Checked, String> {
        let grant =
            granted("{ hosts: [api.example.com, \"api.example.com:8443\", \"http://plain.example\"] }");
        let headers = headers.iter().map(|(name, value)| HeaderField {
            name: (*name).to_owned(),
            value: value.as_bytes().to_vec(),
        });
        let asked = HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: headers.collect(),
            body: b"x".to_vec(),
            timeout_ms: 0,
        };
        check(&grant.unwrap(), asked)
    }

    #[test]
    fn a_request_goes_to_its_host_in_origin_form_and_ends_its_connection() {
        let made = checked(
            "POST",
            "https://API.example.com:8443/a/../b?q=1#frag",
            &[("X-Key", "k")],
        )
        .unwrap();
        assert_eq!(made.request.uri().to_string(), "/b?q=1");
        assert_eq!(made.request.headers()[HOST], "api.example.com:8443");
        assert_eq!(made.request.headers()[CONNECTION], "close");
        assert_eq!(made.request.headers()["x-key"], "k");
        let made = checked("GET", "http://plain.example", &[]).unwrap();
        assert_eq!(made.request.uri().to_string(), "/");
        assert_eq!(made.request.headers()[HOST], "plain.example");
    }

    #[test]
    fn what_was_not_granted_word_for_word_is_not_asked() {
        for url in [
            "http://api.example.com/",
            "https://api.example.com:444/",
            "https://plain.example/",
            "https://sub.api.example.com/",
            "https://api.example.com./",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://0x7f.1/",
            "https://api.example.com\u{ff0e}evil.example/",
        ] {
            let error = checked("GET", url, &[]).unwrap_err();
            assert!(error.starts_with("not granted: http"), "{url}: {error}");
        }
        for (url, begin) in [
            ("https://me:secret@api.example.com/", "a URL with a user"),
            ("file:///etc/passwd", "only https://"),
            ("nonsense", "`nonsense` is no URL"),
        ] {
            let error = checked("GET", url, &[]).unwrap_err();
            assert!(error.starts_with(begin), "{error}");
        }
    }

    #[test]
    fn nothing_that_frames_a_request_is_the_policys_to_say() {
        let url = "https://api.example.com/";
        for name in OURS {
            let error = checked("GET", url, &[(&name.to_uppercase(), "x")]).unwrap_err();
            assert!(error.ends_with("is the gateway's to set"), "{error}");
        }
        for (name, value) in [
            ("X-A", "1\r\nHost: b"),
            ("X-A", "\0"),
            ("X A", "1"),
            ("X-A\r\nB", "1"),
            ("", "1"),
        ] {
            assert!(
                checked("GET", url, &[(name, value)]).is_err(),
                "{name:?}: {value:?}"
            );
        }
        for method in [
            "CONNECT",
            "TRACE",
            "",
            "G T",
            "GET / HTTP/1.1\r\nHost: b\r\n\r\nGET",
        ] {
            let error = checked(method, url, &[]).unwrap_err();
            assert!(error.ends_with("is no method that is sent"), "{error}");
        }
        assert!(checked("PATCH", url, &[("X-A", "1"), ("X-A", "2")]).is_ok());
    }

    #[test]
    fn so_many_fields_are_sent_and_no_more() {
        let fields = [("X-A", "1"); FIELDS + 1];
        let url = "https://api.example.com/";
        assert!(checked("GET", url, &fields[..FIELDS]).is_ok());
        assert_eq!(
            checked("GET", url, &fields).unwrap_err(),
            "a request has at most 100 header fields"
        );
    }
}
