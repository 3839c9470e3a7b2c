//! Certificates and settings.

use super::*;

/// An HTTP/2 server with a certificate of a private authority, and that authority.
async fn tls_server(authority: &str) -> (SocketAddr, CertificateDer<'static>) {
    tls_server_of(authority, "localhost", 4096).await
}

/// The same for another name, valid until a year.
async fn tls_server_of(
    authority: &str,
    name: &str,
    until: i32,
) -> (SocketAddr, CertificateDer<'static>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let leaf = params.signed_by(&key, &issuer).unwrap().der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let service = hyper::service::service_fn(async |request: Request<Incoming>| {
                let seen = request.uri().to_string();
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(seen))))
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, root)
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_given() {
    let (address, root) = tls_server("ours").await;
    let port = address.port();
    let url = Url::parse(&format!("https://user:pw@localhost:{port}/a")).unwrap();
    let mut trusting = options(&url);
    trusting.outbound.extra_roots = vec![root];
    let fetched = Given::new(&[&url])
        .fetch(&Feed::new(trusting).unwrap())
        .await
        .unwrap();
    assert!(fetched.body.framed());
    let seen = read(fetched.body).await.unwrap();
    assert_eq!(seen, format!("https://localhost:{port}/a").as_bytes());

    let (_, stranger) = tls_server("theirs").await;
    let mut options = options(&url);
    options.outbound.extra_roots = vec![stranger];
    let feed = Feed::new(options).unwrap();
    let error = Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!(error.kind, Kind::Tls, "{error}");
    let text = "tls handshake failed: certificate of an authority that is not trusted";
    assert!(error.to_string().ends_with(text), "{error}");
}

#[tokio::test]
async fn certificates_that_are_not_right_are_refused() {
    for (name, until, why) in [
        ("localhost", 2001, "expired"),
        ("other.example", 4096, "not valid for name"),
    ] {
        let (address, root) = tls_server_of("ours", name, until).await;
        let url = Url::parse(&format!("https://localhost:{}/a", address.port())).unwrap();
        let mut options = options(&url);
        options.outbound.extra_roots = vec![root];
        let feed = Feed::new(options).unwrap();
        let error = Given::new(&[&url]).fetch(&feed).await.unwrap_err();
        assert_eq!(error.kind, Kind::Tls, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn what_speaks_no_tls_is_not_asked_in_plain_text() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}/a", listener.local_addr().unwrap());
    let url = Url::parse(&url).unwrap();
    let (first, mut firsts) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            first.send(stream.read_u8().await.unwrap()).unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    });
    let feed = Feed::new(options(&url)).unwrap();
    let error = Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!(error.kind, Kind::Tls, "{error}");
    // The type of a handshake (RFC 8446 section 5.1).
    while let Ok(byte) = firsts.try_recv() {
        assert_eq!(byte, 22);
    }
}

#[test]
fn unusable_settings_are_refused() {
    let check = |options: FeedOptions, kind| {
        assert_eq!(Feed::new(options).unwrap_err().kind, kind);
    };
    check(
        options(&Url::parse("ftp://feed.example/").unwrap()),
        Kind::Protocol,
    );
    let mut broken = options(&Url::parse("https://feed.example/").unwrap());
    broken.outbound.extra_roots = vec![CertificateDer::from(vec![1, 2, 3])];
    check(broken, Kind::Tls);
}
