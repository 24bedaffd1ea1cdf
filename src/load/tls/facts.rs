//! What TLS has to say to people: what was agreed on, or which fact about the other side ended it.

use chrono::{DateTime, Utc};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, ClientConnection, Error, HandshakeKind, InvalidMessage};
use serde::Serialize;

/// Names of a certificate that a note lists.
const NAMES_MAX: usize = 4;

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsFacts {
    /// `TLSv1_3`.
    pub version: String,
    /// `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// `h2` or `http/1.1`; nothing when the server chose none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// An earlier session went on, so that no certificate was sent.
    pub resumed: bool,
    /// Certificates that the server sent.
    pub certificates: usize,
}

/// The facts of a complete handshake.
pub(super) fn of(session: &ClientConnection) -> Option<TlsFacts> {
    if session.is_handshaking() {
        return None;
    }
    Some(TlsFacts {
        version: session.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
        cipher: session.negotiated_cipher_suite().map(|c| format!("{:?}", c.suite())).unwrap_or_default(),
        alpn: session.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        certificates: session.peer_certificates().map_or(0, <[_]>::len),
    })
}

/// Why a session ended, for people.
pub(super) fn why(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(wrong) => certificate(wrong),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "the other side does not speak TLS".into()
        }
        Error::PeerIncompatible(why) => format!("no common TLS version or cipher ({why:?})"),
        Error::NoApplicationProtocol => "the server speaks none of the protocols offered".into(),
        other => format!("TLS: {other}"),
    }
}

fn certificate(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::ExpiredContext { not_after, .. } => format!("the certificate expired at {}", moment(*not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate is valid only from {} on", moment(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let mut names: Vec<&str> = presented.iter().take(NAMES_MAX).map(|name| bare(name)).collect();
            if presented.len() > NAMES_MAX {
                names.push("...");
            }
            format!("the certificate is not for `{}` but for {}", expected.to_str(), names.join(", "))
        }
        CertificateError::UnknownIssuer => "the certificate is signed by none that is trusted (unknown issuer)".into(),
        CertificateError::Revoked => "the certificate has been revoked".into(),
        other => format!("the certificate is not acceptable: {other}"),
    }
}

/// A name as webpki presents it, without the word for its kind.
fn bare(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inside.trim_matches('"')
}

fn refused(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "the server wants a client certificate".into(),
        AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::AccessDenied => format!("the server refused the client certificate ({alert:?})"),
        AlertDescription::UnrecognisedName => "the server knows no such name (UnrecognisedName)".into(),
        AlertDescription::NoApplicationProtocol => "the server speaks none of the protocols offered".into(),
        other => format!("the server ended TLS with the alert {other:?}"),
    }
}

fn moment(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    DateTime::<Utc>::from_timestamp(seconds, 0).map_or_else(|| seconds.to_string(), |t| t.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
