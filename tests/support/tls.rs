//! An upstream behind TLS, with a certificate authority made on the spot.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::message::Request;
use super::upstream::{After, Conn, Transport, Upstream};

/// Signs server certificates.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Writes what a client must trust.
    pub fn write_to(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    fn server_config(&self, names: &[&str]) -> rustls::ServerConfig {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(certificate.der().to_vec())], key)
            .unwrap()
    }
}

/// [`Upstream`] behind TLS, for the names its certificate is given.
pub struct TlsUpstream {
    pub inner: Upstream,
}

impl TlsUpstream {
    pub fn start(
        authority: &Authority,
        names: &[&str],
        script: impl Fn(&mut Conn, &Request) -> After + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(authority.server_config(names));
        let wrap = move |tcp: TcpStream| -> io::Result<Box<dyn Transport>> {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(session, tcp);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
            Ok(Box::new(stream))
        };
        Self { inner: Upstream::start_wrapped(wrap, script) }
    }

    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.inner.addr.port())
    }
}
