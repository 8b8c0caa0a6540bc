//! How long a server's certificate is still good.
//!
//! A look of its own, beside the check: the check refuses a certificate that is not good, and then nobody would see why.
//! It believes any certificate, and must therefore never send or read anything but the handshake. Called by the source.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Longer certificates are none.
const MOST_BYTES: usize = 64 * 1024;

/// Looks at certificates.
#[derive(Clone)]
pub(super) struct Looker(TlsConnector);

impl std::fmt::Debug for Looker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Looker")
    }
}

impl Looker {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believer(provider)))
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// When the server's own certificate ends, in seconds since the epoch.
    pub async fn ends(&self, host: &str, port: u16) -> Option<i64> {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let stream = TcpStream::connect((host, port)).await.ok()?;
        let stream = self.0.connect(name, stream).await.ok()?;
        // Of the chain only the first: old roots that servers still hand out end without anybody noticing.
        end_of(stream.get_ref().1.peer_certificates()?.first()?)
    }
}

fn end_of(certificate: &[u8]) -> Option<i64> {
    if certificate.len() > MOST_BYTES {
        return None;
    }
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// Believes any certificate, but not a broken handshake.
#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_has_no_end() {
        assert_eq!(end_of(b""), None);
        assert_eq!(end_of(b"\x30\x03\x02\x01\x01"), None);
        assert_eq!(end_of(&vec![0x30; MOST_BYTES + 1]), None);
    }
}
