//! An upstream that serves an example feed and misbehaves where told to.
//!
//! It writes HTTP/1.1 by hand, so that it can cut, stall and misframe; a request is logged when its
//! head and body have been read, before it is answered.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use nugate::demo::ExampleFeed;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::port;
use super::script::{On, Script, Scripts, take};

mod wire;

use wire::{Writer, read_body, read_head};

const PATIENCE: Duration = Duration::from_secs(10);

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path_and_query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    /// The path alone.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// A header's value, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

struct Shared {
    base: String,
    feed: Mutex<ExampleFeed>,
    scripts: Arc<Scripts>,
    log: watch::Sender<Vec<Seen>>,
    releases: watch::Sender<usize>,
    arrived: watch::Sender<usize>,
    connections: AtomicUsize,
}

/// The upstream; it ends with the runtime of the test.
pub struct ScriptedUpstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    state: State,
}

enum State {
    Up(watch::Sender<bool>, JoinHandle<()>),
    /// Holds the port without listening: connections are refused.
    Down(TcpSocket),
    Between,
}

impl ScriptedUpstream {
    /// An upstream with the demonstration's packages.
    pub async fn demo() -> Self {
        Self::new(ExampleFeed::demo()).await
    }

    /// An upstream with these packages, on a free port.
    pub async fn new(feed: ExampleFeed) -> Self {
        Self::at([127, 0, 0, 1], feed).await
    }

    /// The same at another address of this machine: another host.
    pub async fn at(address: [u8; 4], feed: ExampleFeed) -> Self {
        Self::start(address, feed, None).await
    }

    /// The same under a URL that only others know the way to.
    pub async fn called(base: &str, feed: ExampleFeed) -> Self {
        Self::start([127, 0, 0, 1], feed, Some(base)).await
    }

    async fn start(address: [u8; 4], feed: ExampleFeed, base: Option<&str>) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((address, 0)))
            .await
            .unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            base: base.map_or_else(|| format!("http://{addr}"), str::to_owned),
            feed: Mutex::new(feed),
            scripts: Arc::default(),
            log: watch::Sender::new(Vec::new()),
            releases: watch::Sender::new(0),
            arrived: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
        });
        let state = State::accepting(listener, Arc::clone(&shared));
        Self {
            addr,
            shared,
            state,
        }
    }

    /// `http://127.0.0.1:PORT`, or what it is called.
    pub fn base_url(&self) -> &str {
        &self.shared.base
    }

    /// URL of the service index.
    pub fn index_url(&self) -> String {
        format!("{}/v3/index.json", self.shared.base)
    }

    /// Its address.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Begins a script for a path, or for a path with its query.
    pub fn on(&self, path: &str) -> On {
        let releases = *self.shared.releases.borrow();
        On::new(Arc::clone(&self.shared.scripts), path, releases)
    }

    /// Forgets all scripts that are left.
    pub fn behave(&self) {
        self.shared.scripts.lock().unwrap().clear();
    }

    /// Changes the feed.
    pub fn change<T>(&self, change: impl FnOnce(&mut ExampleFeed) -> T) -> T {
        change(&mut self.shared.feed.lock().unwrap())
    }

    /// Lets every response go on that hangs or stalls, or will by a script written before.
    pub fn release(&self) {
        self.shared.releases.send_modify(|count| *count += 1);
    }

    /// Refuses connections and closes those there are.
    pub async fn down(&mut self) {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Up(stop, task) => {
                stop.send_replace(true);
                task.await.unwrap();
                self.state = State::Down(port::held(self.addr).await);
            }
            other => self.state = other,
        }
    }

    /// Accepts connections again, on the same port.
    pub fn up(&mut self) {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Down(socket) => {
                let listener = socket.listen(128).unwrap();
                self.state = State::accepting(listener, Arc::clone(&self.shared));
            }
            other => self.state = other,
        }
    }

    /// All requests so far, oldest first.
    pub fn log(&self) -> Vec<Seen> {
        self.shared.log.borrow().clone()
    }

    /// Number of requests for a path, whatever their query.
    pub fn count(&self, path: &str) -> usize {
        let log = self.shared.log.borrow();
        log.iter().filter(|seen| seen.path() == path).count()
    }

    /// Number of requests.
    pub fn requests(&self) -> usize {
        self.shared.log.borrow().len()
    }

    /// Waits until this many bytes of request bodies have arrived in all.
    pub async fn has_received(&self, bytes: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        let enough = arrived.wait_for(|all| *all >= bytes);
        let in_time = tokio::time::timeout(PATIENCE, enough).await.is_ok();
        assert!(in_time, "only {} bytes arrived", self.received());
    }

    /// How many bytes of request bodies have arrived in all.
    pub fn received(&self) -> usize {
        *self.shared.arrived.borrow()
    }

    /// Number of connections accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.shared.log.send_modify(Vec::clear);
    }

    /// Waits until the log fulfils a condition.
    pub async fn wait_for(&self, condition: impl Fn(&[Seen]) -> bool) {
        let mut log = self.shared.log.subscribe();
        let fulfilled = log.wait_for(|seen| condition(seen));
        let in_time = tokio::time::timeout(PATIENCE, fulfilled).await.is_ok();
        assert!(in_time, "the upstream saw only {:#?}", self.log());
    }
}

impl State {
    fn accepting(listener: TcpListener, shared: Arc<Shared>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    _ = stopped.wait_for(|&stop| stop) => break,
                    accepted = listener.accept() => accepted,
                };
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (stream, _) = accepted.unwrap();
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // The other side may go away at any time.
                    let _ = connection(stream, &shared).await;
                });
            }
            connections.shutdown().await;
        });
        Self::Up(stop, task)
    }
}

async fn connection(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(mut seen) = read_head(&mut stream).await? {
        let script = take(&shared.scripts, &seen.path_and_query).unwrap_or_default();
        let mut releases = shared.releases.subscribe();
        let enough = script.early.unwrap_or(usize::MAX);
        seen.body = read_body(&mut stream, &seen.headers, enough, &shared.arrived).await?;
        let response = answer(shared, &script, &seen);
        shared.log.send_modify(|log| log.push(seen.clone()));
        tokio::time::sleep(script.delay).await;
        if script.hang {
            released(&mut releases, &script).await;
        }
        let writer = Writer {
            script: &script,
            stream: stream.get_mut(),
        };
        let bodiless = seen.method == Method::HEAD || response.status() == StatusCode::NOT_MODIFIED;
        let usable = writer.write(response, bodiless, &mut releases).await?;
        if script.early.is_some() {
            released(&mut releases, &script).await;
            return Ok(());
        }
        if !usable || seen.header("connection") == "close" {
            return Ok(());
        }
    }
    Ok(())
}

/// What the script or the feed says, before framing.
fn answer(shared: &Shared, script: &Script, seen: &Seen) -> Response<Bytes> {
    let mut response = if let Some((status, body)) = &script.reply {
        let mut response = Response::new(body.clone());
        *response.status_mut() = StatusCode::from_u16(*status).unwrap();
        response
    } else {
        let mut request = Request::builder()
            .method(&seen.method)
            .uri(&seen.path_and_query);
        request.headers_mut().unwrap().clone_from(&seen.headers);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut feed = shared.feed.lock().unwrap();
        feed.answer(&shared.base, &head, &seen.body)
    };
    for (name, value) in &script.headers {
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        response.headers_mut().insert(name, value);
    }
    response
}

async fn released(releases: &mut watch::Receiver<usize>, script: &Script) {
    let _ = releases.wait_for(|count| *count > script.releases).await;
}
