//! A configuration server with the manners of Envoy Gateway's (go-control-plane, state of the world), quirks included:
//! it withholds even response headers before its first push, says nothing to a node it does not know, takes no version
//! for older or newer than another, answers a NACK with the same push at once, and falls silent after a wrong nonce.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use proto::xds::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer, Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse,
    DiscoveryRequest, DiscoveryResponse,
};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::TYPE_URL;

/// When a push is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manners {
    /// After the last one was answered, as go-control-plane does.
    Patient,
    /// Whenever there is something new.
    Eager,
}

/// All there is, under a version.
#[derive(Clone, Debug)]
struct Snapshot {
    version: String,
    resources: Vec<Any>,
}

/// A request that arrived.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) request: DiscoveryRequest,
    pub(crate) headers: MetadataMap,
    /// The client's certificate, DER.
    pub(crate) certificate: Option<Vec<u8>>,
}

impl Seen {
    /// Version, nonce and error text.
    pub(crate) fn said(&self) -> [&str; 3] {
        let error = self.request.error_detail.as_ref();
        [
            &self.request.version_info,
            &self.request.response_nonce,
            error.map_or("", |status| &status.message),
        ]
    }
}

pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    /// Bound and never listening: keeps the port ours while the server is away, and refuses connections meanwhile.
    _reserved: TcpSocket,
    manners: Manners,
    tls: Option<Arc<ServerConfig>>,
    seen: mpsc::UnboundedReceiver<Seen>,
    report: mpsc::UnboundedSender<Seen>,
    sent: mpsc::UnboundedReceiver<u32>,
    report_sent: mpsc::UnboundedSender<u32>,
    refused: mpsc::UnboundedReceiver<String>,
    report_refused: mpsc::UnboundedSender<String>,
    running: Option<Running>,
}

/// One life of the server. It has a runtime of its own, so that it can die with all its connections.
struct Running {
    runtime: Runtime,
    server: JoinHandle<()>,
    snapshot: watch::Sender<Option<Snapshot>>,
    stop: watch::Sender<bool>,
}

impl ControlPlane {
    pub(crate) fn start() -> Self {
        Self::start_with(Manners::Patient, None)
    }

    pub(crate) fn start_with(manners: Manners, tls: Option<ServerConfig>) -> Self {
        let mut control_plane = Self::away(manners, tls);
        control_plane.restart();
        control_plane
    }

    /// Has an address and does not listen on it yet.
    pub(crate) fn away(manners: Manners, tls: Option<ServerConfig>) -> Self {
        let reserved = socket("127.0.0.1:0".parse().unwrap());
        let (report, seen) = mpsc::unbounded_channel();
        let (report_sent, sent) = mpsc::unbounded_channel();
        let (report_refused, refused) = mpsc::unbounded_channel();
        Self {
            address: reserved.local_addr().unwrap(),
            _reserved: reserved,
            manners,
            tls: tls.map(Arc::new),
            seen,
            report,
            sent,
            report_sent,
            refused,
            report_refused,
            running: None,
        }
    }

    /// Begins a new life, without a snapshot.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (snapshot, _) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let service = AggregatedDiscoveryServiceServer::new(Service {
            manners: self.manners,
            snapshot: snapshot.clone(),
            stopped: stopped.clone(),
            report: self.report.clone(),
            report_sent: self.report_sent.clone(),
        });
        let guard = runtime.enter();
        let listener = socket(self.address).listen(16).unwrap();
        drop(guard);
        let (tls, refused) = (self.tls.clone(), self.report_refused.clone());
        let server = runtime.spawn(async move {
            let router = Server::builder().add_service(service);
            match tls {
                None => router
                    .serve_with_incoming_shutdown(TcpListenerStream::new(listener), set(stopped))
                    .await
                    .unwrap(),
                Some(tls) => router
                    .serve_with_incoming_shutdown(handshakes(listener, tls, refused), set(stopped))
                    .await
                    .unwrap(),
            }
        });
        self.running = Some(Running {
            runtime,
            server,
            snapshot,
            stop,
        });
    }

    /// What it serves from now on.
    pub(crate) fn push(&self, version: &str, resources: Vec<Any>) {
        let snapshot = Snapshot {
            version: version.to_owned(),
            resources,
        };
        self.running.as_ref().unwrap().snapshot.send_replace(Some(snapshot));
    }

    /// The next request of any stream.
    pub(crate) async fn request(&mut self) -> Seen {
        crate::soon(self.seen.recv()).await.unwrap()
    }

    /// The request that has arrived and was not looked at, if there is one.
    pub(crate) fn pending_request(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }

    /// Waits until a push with this nonce was sent.
    pub(crate) async fn sent(&mut self, nonce: u32) {
        while crate::soon(self.sent.recv()).await.unwrap() != nonce {}
    }

    /// The next handshake that failed, and why.
    pub(crate) async fn refused(&mut self) -> String {
        crate::soon(self.refused.recv()).await.unwrap()
    }

    /// Ends as on SIGTERM: every stream with status OK.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.stop.send_replace(true);
        crate::soon(running.server).await.unwrap();
        std::thread::spawn(move || drop(running.runtime)).join().unwrap();
    }

    /// Dies: sockets are closed with nothing said.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            // Waits until every task and with it every socket is gone. Not to be done within a runtime.
            std::thread::spawn(move || drop(running.runtime)).join().unwrap();
        }
    }

    /// What the next life expects of its clients.
    pub(crate) fn set_tls(&mut self, tls: ServerConfig) {
        self.tls = Some(Arc::new(tls));
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.kill();
    }
}

fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn set(mut flag: watch::Receiver<bool>) {
    let _set_or_gone = flag.wait_for(|set| *set).await;
}

type TlsStream = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

fn handshakes(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    refused: mpsc::UnboundedSender<String>,
) -> impl Stream<Item = std::io::Result<TlsStream>> {
    let (send, receive) = mpsc::channel(16);
    spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            match TlsAcceptor::from(Arc::clone(&tls)).accept(socket).await {
                Ok(stream) => send.send(Ok(stream)).await.unwrap(),
                Err(error) => refused.send(error.to_string()).unwrap(),
            }
        }
    });
    ReceiverStream::new(receive)
}

struct Service {
    manners: Manners,
    snapshot: watch::Sender<Option<Snapshot>>,
    stopped: watch::Receiver<bool>,
    report: mpsc::UnboundedSender<Seen>,
    report_sent: mpsc::UnboundedSender<u32>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let certificates = request.peer_certs();
        let conversation = Conversation {
            manners: self.manners,
            snapshot: self.snapshot.subscribe(),
            stopped: self.stopped.clone(),
            report: self.report.clone(),
            report_sent: self.report_sent.clone(),
            headers: request.metadata().clone(),
            certificate: certificates.and_then(|chain| chain.first().map(|leaf| leaf.to_vec())),
        };
        let (send, mut receive) = mpsc::channel(16);
        spawn(conversation.hold(request.into_inner(), send));
        // Headers go out with the first push and not before.
        let first = receive.recv().await.map(Ok);
        let all = tokio_stream::iter(first).chain(ReceiverStream::new(receive).map(Ok));
        Ok(Response::new(Box::pin(all)))
    }

    async fn delta_aggregated_resources(
        &self,
        _request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("state of the world only"))
    }
}

/// One stream.
struct Conversation {
    manners: Manners,
    snapshot: watch::Receiver<Option<Snapshot>>,
    stopped: watch::Receiver<bool>,
    report: mpsc::UnboundedSender<Seen>,
    report_sent: mpsc::UnboundedSender<u32>,
    headers: MetadataMap,
    certificate: Option<Vec<u8>>,
}

impl Conversation {
    async fn hold(mut self, mut requests: Streaming<DiscoveryRequest>, responses: mpsc::Sender<DiscoveryResponse>) {
        let mut nonce: u32 = 0;
        // The version that the client said it has when it asked for another.
        let mut asked: Option<String> = None;
        loop {
            let news = self.snapshot.has_changed().unwrap();
            let is_eager = news && nonce > 0 && self.manners == Manners::Eager;
            let snapshot = self.snapshot.borrow_and_update().clone();
            let is_due = |snapshot: &Snapshot| asked.as_ref().is_some_and(|version| *version != snapshot.version);
            if let Some(snapshot) = snapshot.filter(|snapshot| is_eager || is_due(snapshot)) {
                nonce += 1;
                asked = None;
                // Fails when the client is gone, which the next read tells.
                let _sent = responses.send(response(snapshot, nonce)).await;
                self.report_sent.send(nonce).unwrap();
            }
            tokio::select! {
                request = requests.message() => {
                    let Ok(Some(request)) = request else { return };
                    let known = request.node.as_ref().is_some_and(|node| node.id == "test-node");
                    let expected = if nonce == 0 { String::new() } else { nonce.to_string() };
                    if known && request.response_nonce == expected {
                        asked = Some(request.version_info.clone());
                    }
                    let (headers, certificate) = (self.headers.clone(), self.certificate.clone());
                    self.report.send(Seen { request, headers, certificate }).unwrap();
                }
                changed = self.snapshot.changed() => {
                    changed.unwrap();
                    self.snapshot.mark_changed();
                }
                () = set(self.stopped.clone()) => return,
            }
        }
    }
}

fn response(snapshot: Snapshot, nonce: u32) -> DiscoveryResponse {
    DiscoveryResponse {
        version_info: snapshot.version,
        resources: snapshot.resources,
        type_url: TYPE_URL.to_owned(),
        nonce: nonce.to_string(),
        ..DiscoveryResponse::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "ends with the runtime of its server")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
