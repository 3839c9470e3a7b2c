//! What is asked, and how bodies are read.

use super::*;

#[tokio::test]
async fn validators_and_identity_are_sent_byte_for_byte() {
    let not_modified = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: 0x8D2\r\n\r\n";
    let (url, mut requests) = server(vec![close(not_modified), close(OK)]).await;
    let feed = feed(&url);
    let mut given = Given::new(&[&url]);
    given.validators.etag = Some(HeaderValue::from_static("0x8D23AD938EF4481"));
    given.validators.last_modified =
        Some(HeaderValue::from_static("Sat, 01 Jan 2022 00:00:00 GMT"));
    given.identity.user_agent = Some(HeaderValue::from_static("NuGet xplat/6.9"));
    given.identity.session_id = Some(HeaderValue::from_static("abc"));
    let fetched = given.fetch(&feed).await.unwrap();
    assert_eq!(fetched.status, StatusCode::NOT_MODIFIED);
    assert_eq!(read(fetched.body).await.unwrap(), b"");
    let request = requests.recv().await.unwrap();
    for line in [
        "GET /doc.json?sig=secret HTTP/1.1",
        &format!("host: {}", crate::upstream::authority(&url)),
        "if-none-match: 0x8D23AD938EF4481",
        "if-modified-since: Sat, 01 Jan 2022 00:00:00 GMT",
        "accept-encoding: gzip",
        "via: 1.1 nugate",
        "user-agent: NuGet xplat/6.9",
        "x-nuget-session-id: abc",
    ] {
        assert!(request.lines().any(|l| l == line), "{line} in {request}");
    }

    Given::new(&[&url]).fetch(&feed).await.unwrap();
    let request = requests.recv().await.unwrap();
    assert!(request.contains(concat!(
        "user-agent: nugate/",
        env!("CARGO_PKG_VERSION"),
        "\r\n"
    )));
    assert!(!request.contains("if-"));
}

#[tokio::test]
async fn bodies_are_decoded_by_their_label() {
    let packed = gzip(b"hello");
    let check = async |head: &str, body: &[u8], expected: Result<&[u8], Kind>| {
        let got = get(reply(head, body), 1024).await;
        assert_eq!(
            got.as_deref().map_err(|error| error.kind),
            expected,
            "{head}"
        );
    };
    check("200 OK", b"hello", Ok(b"hello")).await;
    check("200 OK\r\nContent-Encoding: gzip", &packed, Ok(b"hello")).await;
    check("200 OK", &packed, Ok(&packed)).await;
    check("404 Gone\r\nContent-Encoding: gzip", &packed, Ok(b"hello")).await;
    let refused = Err(Kind::BadEncoding);
    check(
        "200 OK\r\nContent-Encoding: gzip, aws-chunked",
        &packed,
        refused,
    )
    .await;
    check("200 OK\r\nContent-Encoding: gzip", b"hello", refused).await;
    check(
        "200 OK\r\nContent-Encoding: gzip",
        &packed[..packed.len() - 3],
        refused,
    )
    .await;
    check("200 OK\r\nContent-Encoding: br", &packed, refused).await;
    let mut damaged = packed.clone();
    damaged[packed.len() - 8] ^= 1;
    check("200 OK\r\nContent-Encoding: gzip", &damaged, refused).await;
}

#[tokio::test]
async fn an_unreadable_body_does_not_hide_a_404() {
    let (url, _requests) = server(vec![reply("404 Not Found\r\nContent-Encoding: br", b"x")]).await;
    let fetched = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap();
    assert_eq!(fetched.status, StatusCode::NOT_FOUND);
    assert_eq!(
        read(fetched.body).await.unwrap_err().kind,
        Kind::BadEncoding
    );
}

#[tokio::test]
async fn cut_bodies_are_errors() {
    let check = async |reply: &str| {
        let error = get(close(reply), 1024).await.unwrap_err();
        assert_eq!(error.kind, Kind::Cut, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    };
    check("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello").await;
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel").await;
    check("HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f").await;
    check("").await;
    check("HTTP/1.1 200 OK\r\nContent-").await;
}

#[tokio::test]
async fn length_and_framing_are_told() {
    let check = async |reply: &str, length: Option<u64>, framed: bool| {
        let (url, _requests) = server(vec![close(reply)]).await;
        let body = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap().body;
        assert_eq!((body.length(), body.framed()), (length, framed), "{reply}");
        assert_eq!(read(body).await.unwrap(), b"hello");
    };
    check(OK, Some(5), true).await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    check(chunked, None, true).await;
    check("HTTP/1.0 200 OK\r\n\r\nhello", None, false).await;
    check(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        None,
        false,
    )
    .await;
}

#[tokio::test]
async fn a_head_is_answered_by_a_head() {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 9999\r\n\r\n";
    let (url, mut requests) = server(vec![close(head)]).await;
    let mut given = Given::new(&[&url]);
    given.method = Method::HEAD;
    given.size_max = 100;
    let fetched = given.fetch(&feed(&url)).await.unwrap();
    assert_eq!(fetched.headers["content-length"], "9999");
    assert_eq!(read(fetched.body).await.unwrap(), b"");
    assert!(requests.recv().await.unwrap().starts_with("HEAD /doc.json"));
}

#[tokio::test]
async fn bodies_over_the_limit_are_errors() {
    let check = async |reply: Reply, fits: bool| {
        let kind = get(reply, 5).await.map_err(|error| error.kind);
        let expected = if fits {
            Ok(b"hello".to_vec())
        } else {
            Err(Kind::TooLarge)
        };
        assert_eq!(kind, expected);
    };
    check(close(OK), true).await;
    check(hold("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"), false).await;
    check(
        hold("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n"),
        false,
    )
    .await;
    let bomb = gzip(&vec![0; 4_000_000]);
    let error = get(reply("200 OK\r\nContent-Encoding: gzip", &bomb), 300_000).await;
    assert_eq!(error.unwrap_err().kind, Kind::TooLarge);
}

#[tokio::test]
async fn two_lengths_are_none() {
    for lengths in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        for body in ["hello", "5\r\nhello\r\n0\r\n\r\n"] {
            let reply = format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\n{body}");
            let error = get(close(reply), 1024).await.unwrap_err();
            assert_eq!(error.kind, Kind::Protocol, "{lengths}: {error}");
        }
    }
}

#[tokio::test]
async fn a_rest_is_asked_for_at_the_first_url_alone() {
    let (url, mut requests) = server(vec![close(DOWN), close(OK)]).await;
    let mut other = url.clone();
    other.set_path("/other.json");
    let given = Given::new(&[&url, &other]);
    let rest = Rest {
        from: 7,
        validator: HeaderValue::from_static("\"a\""),
    };
    let feed = feed(&url);
    let fetch = Fetch {
        wanted: Wanted::Rest(&rest),
        ..given.request()
    };
    feed.fetch(fetch).await.unwrap();
    let first = requests.recv().await.unwrap();
    for line in [
        "range: bytes=7-",
        "if-range: \"a\"",
        "accept-encoding: identity",
    ] {
        assert!(first.lines().any(|l| l == line), "{line} in {first}");
    }
    let second = requests.recv().await.unwrap();
    assert!(!second.contains("range: "), "{second}");
}
