use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why a certificate cannot be used, as one line that names the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("{path} (tls.certificate): {what}", path = .path.display())]
    Certificate { path: PathBuf, what: String },
    #[error("{path} (tls.key): {what}", path = .path.display())]
    Key { path: PathBuf, what: String },
}

/// The certificate in force, read again from its files when they change: handshakes from then on
/// use the new one, and no connection is dropped.
pub(super) struct Certificate {
    chain_file: PathBuf,
    key_file: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Loaded>,
}

struct Loaded {
    key: Arc<CertifiedKey>,
    /// When the two files were last written.
    stamps: [Option<SystemTime>; 2],
}

impl Certificate {
    pub(super) fn load(chain_file: &Path, key_file: &Path) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let loaded = read(chain_file, key_file, &provider)?;
        Ok(Arc::new(Self {
            chain_file: chain_file.to_owned(),
            key_file: key_file.to_owned(),
            provider,
            current: RwLock::new(loaded),
        }))
    }

    /// Reads the files again if they were written since. Answers whether a new certificate is in
    /// force; on an error the old one stays.
    pub(super) fn refresh(&self) -> Result<bool, TlsError> {
        let stamps = [written_at(&self.chain_file), written_at(&self.key_file)];
        let before = self.current.read().unwrap_or_else(PoisonError::into_inner).stamps;
        if stamps == before {
            return Ok(false);
        }
        let loaded = read(&self.chain_file, &self.key_file, &self.provider)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(true)
    }

    /// TLS 1.2 and 1.3 with forward secrecy, offering the given application protocols.
    pub(super) fn server_config(self: &Arc<Self>, protocols: &[&str]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain_file", &self.chain_file).finish_non_exhaustive()
    }
}

fn read(chain_file: &Path, key_file: &Path, provider: &CryptoProvider) -> Result<Loaded, TlsError> {
    let no_chain = |what| TlsError::Certificate { path: chain_file.to_owned(), what };
    let no_key = |what| TlsError::Key { path: key_file.to_owned(), what };
    let stamps = [written_at(chain_file), written_at(key_file)];
    let chain: Vec<_> = CertificateDer::pem_file_iter(chain_file)
        .and_then(Iterator::collect)
        .map_err(|error| no_chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(no_chain("holds no certificate in PEM form".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| no_key(error.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| no_key(format!("does not fit the certificate: {error}")))?;
    Ok(Loaded { key: Arc::new(key), stamps })
}

fn written_at(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|m| m.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(folder: &Path, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        fs::write(folder.join("chain.pem"), made.cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }

    // D41, W50: a changed certificate is used, and a broken one changes nothing.
    #[test]
    fn a_changed_certificate_is_used_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        write_pair(folder.path(), "one.example");
        let certificate = Certificate::load(&chain, &key).unwrap();
        let first = certificate.current.read().unwrap().key.clone();
        assert!(!certificate.refresh().unwrap(), "nothing changed");

        write_pair(folder.path(), "two.example");
        let file = fs::File::options().write(true).open(&chain).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_modified(before + std::time::Duration::from_secs(5)).unwrap();
        assert!(certificate.refresh().unwrap());
        let second = certificate.current.read().unwrap().key.clone();
        assert_ne!(first.cert, second.cert);

        fs::write(&chain, "nonsense").unwrap();
        certificate.refresh().unwrap_err();
        assert_eq!(certificate.current.read().unwrap().key.cert, second.cert);
    }

    #[test]
    fn errors_name_the_file_and_the_key() {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path(), "one.example");
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let missing = folder.path().join("missing.pem");
        let text = Certificate::load(&missing, &key).unwrap_err().to_string();
        assert!(text.contains("missing.pem (tls.certificate)"), "{text}");
        let text = Certificate::load(&chain, &missing).unwrap_err().to_string();
        assert!(text.contains("missing.pem (tls.key)"), "{text}");
    }
}
