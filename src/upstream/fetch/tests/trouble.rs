//! Failing upstreams, redirects, limits.

use super::*;
use crate::upstream::hold::HELD_MAX;

#[tokio::test]
async fn the_next_url_is_asked_when_one_fails() {
    let dead = nobody().await;
    let (down, _at_down) = server(vec![close(DOWN)]).await;
    let (good, _at_good) = server(vec![close(OK)]).await;
    let fetched = Given::new(&[&dead, &down, &good])
        .fetch(&feed(&good))
        .await
        .unwrap();
    assert_eq!((fetched.attempts, &fetched.url), (3, &good));
    assert_eq!(read(fetched.body).await.unwrap(), b"hello");
}

#[tokio::test]
async fn validators_are_for_the_first_url_alone() {
    let (down, _at_down) = server(vec![close(DOWN)]).await;
    let (good, mut at_good) = server(vec![close(OK)]).await;
    let mut given = Given::new(&[&down, &good]);
    given.validators.etag = Some(HeaderValue::from_static("\"of the first\""));
    given.identity.user_agent = Some(HeaderValue::from_static("a client"));
    given.fetch(&feed(&good)).await.unwrap();
    let request = at_good.try_recv().unwrap().to_ascii_lowercase();
    assert!(!request.contains("if-none-match"), "{request}");
    assert!(request.contains("user-agent: a client"), "{request}");
}

#[tokio::test]
async fn passing_failures_are_repeated_and_others_are_answers() {
    let (url, mut requests) = server(vec![close(DOWN), close(""), close(OK)]).await;
    let mut options = options(&url);
    options.attempts = 3;
    let feed = Feed::new(options).unwrap();
    let fetched = Given::new(&[&url]).fetch(&feed).await.unwrap();
    assert_eq!((fetched.status, fetched.attempts), (StatusCode::OK, 3));
    for _ in 0..3 {
        assert!(requests.try_recv().is_ok());
    }

    let (url, _requests) = server(vec![close(DOWN), close(DOWN), close(DOWN)]).await;
    let error = Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!((error.kind, error.retryable()), (Kind::Status(503), true));

    for status in [401, 403, 404, 410, 501] {
        let (url, _requests) = server(vec![reply(&format!("{status} X"), b"")]).await;
        let fetched = Given::new(&[&url]).fetch(&feed).await.unwrap();
        assert_eq!((fetched.status.as_u16(), fetched.attempts), (status, 1));
    }
}

#[tokio::test]
async fn a_refused_connection_is_told_plainly() {
    let url = nobody().await;
    let error = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Connect);
    assert_eq!(
        error.to_string(),
        format!("GET {url}: cannot connect: connection refused")
    );
}

#[tokio::test]
async fn a_host_without_address_is_told_plainly() {
    // A label of 64 characters is refused by every resolver before it asks anyone.
    let url = Url::parse(&format!("http://{}.invalid/a", "a".repeat(64))).unwrap();
    let mut options = options(&url);
    options.attempts = 1;
    let error = Given::new(&[&url])
        .fetch(&Feed::new(options).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Dns, "{error}");
    assert!(
        error.to_string().contains("cannot resolve the host: "),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_there_is_read_without_waiting() {
    let plain = vec![b' '; 1_000_000];
    let packed = reply("200 OK\r\nContent-Encoding: gzip", &gzip(&plain));
    let (url, _requests) = server(vec![packed]).await;
    let mut body = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap().body;
    let mut length = body.next().await.unwrap().unwrap().len();
    let mut blocks = 0;
    while let Some(block) = body.try_next() {
        length += block.unwrap().len();
        blocks += 1;
    }
    assert!(blocks > 0, "one frame decodes to several blocks");
    assert_eq!(length + read(body).await.unwrap().len(), plain.len());
}

fn redirect_to(url: &Url) -> Reply {
    reply(&format!("302 Found\r\nLocation: {url}"), b"over there")
}

#[tokio::test]
async fn redirects_are_followed_without_what_belongs_to_the_origin() {
    let (cdn, mut at_cdn) = server(vec![close(OK)]).await;
    let (url, mut at_feed) = server(vec![redirect_to(&cdn)]).await;
    let mut given = Given::new(&[&url]);
    given.validators.etag = Some(HeaderValue::from_static("\"a\""));
    given.identity.session_id = Some(HeaderValue::from_static("abc"));
    given.allowed.insert(crate::upstream::authority(&cdn));
    let fetched = given.fetch(&feed(&url)).await.unwrap();
    assert_eq!((&fetched.url, fetched.attempts), (&url, 1));
    assert_eq!(read(fetched.body).await.unwrap(), b"hello");
    let first = at_feed.recv().await.unwrap();
    assert!(first.contains("if-none-match: \"a\"") && first.contains("session-id: abc"));
    let second = at_cdn.recv().await.unwrap();
    assert!(!second.contains("if-none-match") && !second.contains("session-id"));
    assert!(second.contains(&format!("host: {}\r\n", crate::upstream::authority(&cdn))));
}

#[tokio::test]
async fn redirects_to_unnamed_hosts_and_in_circles_are_errors() {
    let (cdn, mut at_cdn) = server(vec![close(OK)]).await;
    let (url, _requests) = server(vec![redirect_to(&cdn)]).await;
    let error = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Redirect);
    let host = crate::upstream::authority(&cdn);
    let named = format!("redirect to {host} refused; add it to feeds.main.redirect_hosts");
    assert!(error.to_string().contains(&named), "{error}");
    assert!(at_cdn.try_recv().is_err());

    let circle =
        "HTTP/1.1 307 X\r\nConnection: close\r\nLocation: /doc.json\r\nContent-Length: 0\r\n\r\n";
    let (url, mut requests) = server((0..8).map(|_| close(circle)).collect()).await;
    let error = Given::new(&[&url]).fetch(&feed(&url)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Redirect);
    assert!(
        error.to_string().ends_with("more than 5 redirects"),
        "{error}"
    );
    assert_eq!(std::iter::from_fn(|| requests.try_recv().ok()).count(), 6);
}

#[tokio::test]
async fn silence_has_a_limit() {
    let (url, _requests) = server(vec![
        hold("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
        hold(""),
    ])
    .await;
    let mut options = options(&url);
    options.idle_timeout = Duration::from_millis(100);
    options.header_timeout = Duration::from_millis(300);
    let feed = Feed::new(options).unwrap();
    let mut body = Given::new(&[&url]).fetch(&feed).await.unwrap().body;
    assert_eq!(body.next().await.unwrap().unwrap(), "hello");
    assert!(body.try_next().is_none());
    let error = body.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert!(
        error
            .to_string()
            .ends_with("no further byte of the body within 100ms"),
        "{error}"
    );
    drop(body);

    let error = Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert!(
        error.to_string().ends_with("no response head within 300ms"),
        "{error}"
    );
    assert_eq!(feed.gate.free(), 4);
}

#[tokio::test]
async fn permits_last_as_long_as_bodies() {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let (url, _requests) = server(vec![hold(start), close(OK), close("")]).await;
    let mut options = options(&url);
    options.attempts = 1;
    let feed = Feed::new(options).unwrap();
    let first = Given::new(&[&url]).fetch(&feed).await.unwrap();
    let mut second = Given::new(&[&url]).fetch(&feed).await.unwrap();
    assert_eq!(feed.gate.free(), 2);
    drop(first);
    assert_eq!(feed.gate.free(), 3);
    while second.body.next().await.is_some() {}
    assert_eq!(
        feed.gate.free(),
        4,
        "a finished body frees its permit before it is dropped"
    );
    Given::new(&[&url]).fetch(&feed).await.unwrap_err();
    assert_eq!(feed.gate.free(), 4);
}

const LIMITED: &str =
    "HTTP/1.1 429 X\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn who_waits_for_a_host_that_asked_for_it_has_neither_permit_nor_attempt_to_lose() {
    let (url, _requests) = server(vec![close(LIMITED), close(OK)]).await;
    let mut options = options(&url);
    (options.attempts, options.hold) = (1, Duration::from_secs(30));
    let feed = Feed::new(options).unwrap();
    let mut given = Given::new(&[&url]);
    given.patient = true;
    let fetching = given.fetch(&feed);
    let looking = async {
        while feed.holding.0.available_permits() == HELD_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(feed.gate.free(), 4);
    };
    let fetched = tokio::join!(fetching, looking).0.unwrap();
    assert_eq!((fetched.status, fetched.attempts), (StatusCode::OK, 2));
}

#[tokio::test]
async fn no_more_wait_for_a_host_than_there_are_places() {
    let (url, _requests) = server(vec![close(LIMITED), close(OK)]).await;
    let mut options = options(&url);
    (options.attempts, options.hold) = (1, Duration::from_secs(30));
    let feed = Feed::new(options).unwrap();
    let places = u32::try_from(HELD_MAX).unwrap();
    let _all = feed.holding.0.try_acquire_many(places).unwrap();
    let mut given = Given::new(&[&url]);
    given.patient = true;
    let error = given.fetch(&feed).await.unwrap_err();
    assert_eq!(error.kind, Kind::Status(429));
    assert_eq!(given.fetch(&feed).await.unwrap_err().kind, Kind::Limited);
}
