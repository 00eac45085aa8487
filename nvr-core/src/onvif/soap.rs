//! SOAP 1.2 envelopes, WS-UsernameToken (OASIS Username Token Profile 1.0) and faults.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::xml::{Node, plain};
use crate::source::Credentials;
use crate::time::Timestamp;

/// Namespaces that requests use, with the prefixes by which [`envelope`] declares them.
const SPACES: &str = concat!(
    r#" xmlns:s="http://www.w3.org/2003/05/soap-envelope""#,
    r#" xmlns:tt="http://www.onvif.org/ver10/schema""#,
    r#" xmlns:tds="http://www.onvif.org/ver10/device/wsdl""#,
    r#" xmlns:trt="http://www.onvif.org/ver10/media/wsdl""#,
    r#" xmlns:tr2="http://www.onvif.org/ver20/media/wsdl""#,
    r#" xmlns:tptz="http://www.onvif.org/ver20/ptz/wsdl""#,
    r#" xmlns:tse="http://www.onvif.org/ver10/search/wsdl""#,
    r#" xmlns:trp="http://www.onvif.org/ver10/replay/wsdl""#,
    r#" xmlns:tev="http://www.onvif.org/ver10/events/wsdl""#,
    r#" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2""#,
    r#" xmlns:wsa="http://www.w3.org/2005/08/addressing""#,
);

/// A request: what goes into its header, and its body.
pub(super) fn envelope(header: &str, body: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><s:Envelope{SPACES}><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"#
    )
}

/// The header that proves who asks; `created` by the camera's own clock, or it refuses.
pub(super) fn username_token(credentials: &Credentials, created: Timestamp, nonce: [u8; 16]) -> String {
    const WSS: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss";
    let created = seconds(created);
    let mut hash = Sha1::new();
    hash.update(nonce);
    hash.update(created.as_bytes());
    hash.update(credentials.password.expose().as_bytes());
    let digest = STANDARD.encode(hash.finalize());
    let nonce = STANDARD.encode(nonce);
    let user = escape(&credentials.user);
    format!(
        concat!(
            r#"<wsse:Security s:mustUnderstand="1" xmlns:wsse="{0}-wssecurity-secext-1.0.xsd" xmlns:wsu="{0}-wssecurity-utility-1.0.xsd">"#,
            r#"<wsse:UsernameToken><wsse:Username>{1}</wsse:Username>"#,
            r#"<wsse:Password Type="{0}-username-token-profile-1.0#PasswordDigest">{2}</wsse:Password>"#,
            r#"<wsse:Nonce EncodingType="{0}-soap-message-security-1.0#Base64Binary">{3}</wsse:Nonce>"#,
            r#"<wsu:Created>{4}</wsu:Created></wsse:UsernameToken></wsse:Security>"#,
        ),
        WSS, user, digest, nonce, created
    )
}

/// `2026-05-04T12:00:00Z`: there are cameras that know no fractions.
fn seconds(t: Timestamp) -> String {
    let text = t.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// A text as it may stand in a request.
pub(super) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// What the body holds.
    Body(Node),
    /// Why the camera does not do it.
    Fault(Fault),
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Fault {
    /// Codes from outside in, without prefixes (`Sender`, `NotAuthorized`).
    pub(super) codes: Vec<String>,
    /// Words for people, possibly empty.
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|c| c == code)
    }

    /// The camera wants other credentials. Some say so in words only.
    pub(super) fn is_refusal(&self) -> bool {
        let reason = self.reason.to_ascii_lowercase();
        ["NotAuthorized", "FailedAuthentication", "InvalidSecurityToken"]
            .iter()
            .any(|code| self.has(code))
            || reason.contains("not authorized")
            || reason.contains("unauthorized")
    }

    /// It cannot do it at all.
    pub(super) fn is_unsupported(&self) -> bool {
        [
            "ActionNotSupported",
            "NoSuchService",
            "NotSupported",
            "OptionalActionNotImplemented",
        ]
        .iter()
        .any(|code| self.has(code))
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.codes.last(), self.reason.is_empty()) {
            (Some(code), true) => f.write_str(code),
            (Some(code), false) => write!(f, "{} ({code})", self.reason),
            (None, _) => f.write_str(&self.reason),
        }
    }
}

/// Reads an answer. SOAP 1.1 faults are understood too: there are cameras that mix the two.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read(document: &str) -> Result<Answer, String> {
    let root = Node::parse(document)?;
    if root.name != "Envelope" {
        return Err(format!("it is no SOAP envelope but {:?}", plain(&root.name)));
    }
    let body = root.child("Body").ok_or("it has no body")?;
    if let Some(fault) = body.child("Fault") {
        return Ok(Answer::Fault(read_fault(fault)));
    }
    let first = body.children.first().cloned();
    Ok(Answer::Body(first.unwrap_or_default()))
}

fn read_fault(fault: &Node) -> Fault {
    let mut codes = Vec::new();
    let mut code = fault.child("Code");
    while let Some(at) = code.filter(|_| codes.len() < 8) {
        codes.extend(at.text_at(&["Value"]).map(without_prefix));
        code = at.child("Subcode");
    }
    codes.extend(fault.text_at(&["faultcode"]).map(without_prefix));
    let reason = fault
        .text_at(&["Reason", "Text"])
        .or_else(|| fault.text_at(&["faultstring"]))
        .or_else(|| fault.text_at(&["Detail", "Text"]));
    Fault {
        codes,
        reason: plain(reason.unwrap_or_default()),
    }
}

fn without_prefix(name: &str) -> String {
    plain(name.rsplit(':').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_token_is_that_of_the_specification() {
        // The example of the ONVIF application programmer's guide, 6.1.1.3.
        let nonce = STANDARD.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap();
        let credentials = Credentials {
            user: "us<er".into(),
            password: Secret::new("userpassword"),
        };
        let created = "2010-09-16T07:50:45Z".parse().unwrap();
        let token = username_token(&credentials, created, nonce.try_into().unwrap());
        assert!(token.contains(">tuOSpGlFlIXsozq4HFNeeGeFLEI=<"), "{token}");
        assert!(
            token.contains("<wsu:Created>2010-09-16T07:50:45Z</wsu:Created>"),
            "{token}"
        );
        assert!(
            token.contains("us&lt;er") && !token.contains("userpassword"),
            "{token}"
        );
        Node::parse(&envelope(&token, "<tds:X/>")).unwrap();
    }

    #[test]
    fn faults_of_both_kinds_are_read() {
        let new = r#"<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"><SOAP-ENV:Body><SOAP-ENV:Fault>
            <SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value><SOAP-ENV:Subcode><SOAP-ENV:Value>ter:NotAuthorized</SOAP-ENV:Value>
            </SOAP-ENV:Subcode></SOAP-ENV:Code><SOAP-ENV:Reason><SOAP-ENV:Text xml:lang="en">Sender not
            Authorized</SOAP-ENV:Text></SOAP-ENV:Reason></SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"#;
        let Answer::Fault(fault) = read(new).unwrap() else {
            panic!()
        };
        assert_eq!(fault.codes, ["Sender", "NotAuthorized"]);
        assert!(fault.is_refusal() && !fault.is_unsupported(), "{fault}");
        let old = "<e:Envelope><e:Body><e:Fault><faultcode>ter:ActionNotSupported</faultcode><faultstring>no</faultstring></e:Fault></e:Body></e:Envelope>";
        let Answer::Fault(fault) = read(old).unwrap() else {
            panic!()
        };
        assert!(fault.is_unsupported());
        assert_eq!(fault.to_string(), "no (ActionNotSupported)");
        assert!(read("<html><body>404</body></html>").is_err());
    }
}
