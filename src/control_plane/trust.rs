//! Which certificate authorities are believed: the system's, or the ones compiled in where a system has none, or only
//! those of a file.

use std::{io::BufReader, path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

/// # Errors
/// A sentence about the file.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => from_system(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn from_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn from_file(path: &Path) -> Result<RootCertStore, String> {
    let said = |what: &dyn std::fmt::Display| format!("upstream.ca_file {}: {what}", path.display());
    let file = std::fs::File::open(path).map_err(|error| said(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in pem_certificates(BufReader::new(file)) {
        let certificate = certificate.map_err(|error| said(&error))?;
        roots.add(certificate).map_err(|error| said(&error))?;
    }
    if roots.is_empty() { Err(said(&"no certificate in it")) } else { Ok(roots) }
}

fn pem_certificates(
    reader: impl std::io::BufRead,
) -> impl Iterator<Item = Result<CertificateDer<'static>, rustls::pki_types::pem::Error>> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_reader_iter(reader)
}
