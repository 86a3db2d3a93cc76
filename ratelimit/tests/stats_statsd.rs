//! Statistics over real sockets: what arrives, in what pieces, and what happens while the server is away.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ratelimit::stats::Protocol;
use ratelimit::stats::dogstatsd::Mogrifiers;
use ratelimit::stats::flush::{Pace, Times};
use ratelimit::stats::sample::{Reading, Source};
use ratelimit::stats::statsd::{Format, StatsdSink, Target};
use ratelimit::stats::tags::Tags;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);
const PACE: Pace = Pace {
    flush: Duration::from_millis(5),
    send: Duration::from_millis(2),
    reconnect: Duration::from_millis(5),
};

/// A sink that runs, with one counter and one gauge to say.
struct Running {
    counter: Arc<AtomicU64>,
    times: Times,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn start(address: SocketAddr, protocol: Protocol, format: Format, pace: Pace) -> Running {
    let counter = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&counter);
    let source = Source::new(move |visit| {
        visit("service.hits", Reading::Counter(read.load(Ordering::Relaxed)));
        visit("service.still", Reading::Counter(0));
        visit("service.pool", Reading::Gauge(3));
    });
    let target = Target {
        address: address.to_string(),
        protocol,
        format,
    };
    let (sink, times) = StatsdSink::new(target, source, Tags::extra([("region", "eu")]), pace);
    let (stop, stopped) = oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "tests have no task supervisor")]
    let task = tokio::spawn(sink.run(async { drop(stopped.await) }));
    Running {
        counter,
        times,
        stop,
        task,
    }
}

impl Running {
    fn count(&self, hits: u64) {
        self.counter.fetch_add(hits, Ordering::Relaxed);
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        within(self.task).await.unwrap();
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap()
}

/// Sums of counters, last values of gauges, by the text before the colon.
#[derive(Default)]
struct Heard(BTreeMap<String, u64>);

impl Heard {
    fn hear(&mut self, line: &str) {
        let (name, rest) = line.split_once(':').unwrap_or_else(|| panic!("no value in {line:?}"));
        let (value, kind) = rest.split_once('|').unwrap();
        let value: u64 = value.parse().unwrap();
        let entry = self.0.entry(name.to_owned()).or_default();
        *entry = if kind.starts_with('g') { value } else { *entry + value };
    }

    fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// Listens to one connection until a name has this value.
async fn hear_until(stream: &mut BufReader<TcpStream>, heard: &mut Heard, name: &str, value: u64) {
    let mut line = String::new();
    while heard.get(name) < value {
        line.clear();
        assert!(
            within(stream.read_line(&mut line)).await.unwrap() > 0,
            "closed before {name} was {value}"
        );
        heard.hear(line.trim_end());
    }
}

async fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    BufReader::new(within(listener.accept()).await.unwrap().0)
}

#[tokio::test]
async fn sends_what_moved_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = start(listener.local_addr().unwrap(), Protocol::Tcp, Format::Statsd, PACE);
    let mut stream = accept(&listener).await;
    let mut heard = Heard::default();

    running.count(7);
    hear_until(&mut stream, &mut heard, "service.hits.__region=eu", 7).await;
    running.count(2);
    hear_until(&mut stream, &mut heard, "service.hits.__region=eu", 9).await;
    running.times.timer("service.took").record(Duration::from_millis(12));
    hear_until(&mut stream, &mut heard, "service.took.__region=eu", 12).await;

    assert_eq!(heard.get("service.pool.__region=eu"), 3);
    assert!(
        !heard.0.contains_key("service.still.__region=eu"),
        "a counter at rest is not said"
    );
    running.stop().await;
}

#[tokio::test]
async fn says_the_rest_when_it_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = Pace {
        flush: Duration::from_secs(3600),
        send: Duration::from_secs(3600),
        ..PACE
    };
    let running = start(listener.local_addr().unwrap(), Protocol::Tcp, Format::Statsd, slow);
    running.count(5);
    running.times.timer("service.took").record(Duration::from_millis(8));
    let stopping = running.stop();
    let listening = async {
        let mut text = String::new();
        accept(&listener).await.read_to_string(&mut text).await.unwrap();
        text
    };
    let (text, ()) = tokio::join!(within(listening), stopping);
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "service.took.__region=eu:8|ms",
            "service.pool.__region=eu:3|g",
            "service.hits.__region=eu:5|c"
        ]
    );
}

#[tokio::test]
async fn sends_tagged_datagrams_with_rewritten_names() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let variables = |name: &str| match name.rsplit('_').next() {
        Some("PATTERN") => Some(r"^service\.(hits|took)$".to_owned()),
        Some("NAME") => Some("calls".to_owned()),
        _ => Some("what:$1".to_owned()),
    };
    let mogrifiers = Mogrifiers::read(&["A".to_owned()], variables).unwrap();
    let running = start(
        socket.local_addr().unwrap(),
        Protocol::Udp,
        Format::DogStatsd(mogrifiers),
        PACE,
    );
    running.count(4);
    running.times.timer("service.took").record(Duration::from_micros(2500));

    let mut wanted = vec![
        "calls:4|c|#region:eu,what:hits",
        "calls:2|ms|#region:eu,what:took",
        "service.pool:3|g|#region:eu",
    ];
    let mut datagram = [0; 4096];
    while !wanted.is_empty() {
        let length = within(socket.recv(&mut datagram)).await.unwrap();
        let text = std::str::from_utf8(&datagram[..length]).unwrap();
        assert!(text.ends_with('\n'));
        wanted.retain(|line| !text.lines().any(|got| got == *line));
    }
    running.stop().await;
}

#[tokio::test]
async fn datagrams_fit_a_frame_and_hold_whole_lines() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let source = Source::new(|visit| {
        for number in 0..500 {
            visit(
                &format!("service.a_rather_long_name_of_a_rule.number_{number}"),
                Reading::Gauge(number),
            );
        }
    });
    let address = socket.local_addr().unwrap().to_string();
    let target = Target {
        address,
        protocol: Protocol::Udp,
        format: Format::Statsd,
    };
    let slow = Pace {
        flush: Duration::from_millis(50),
        ..PACE
    };
    let (sink, _times) = StatsdSink::new(target, source, Tags::default(), slow);
    let (stop, stopped) = oneshot::channel::<()>();
    let listening = async {
        let mut heard = Heard::default();
        let mut datagram = vec![0; 65_536];
        while heard.0.len() < 500 {
            let length = socket.recv(&mut datagram).await.unwrap();
            assert!(length <= 1432, "{length} bytes");
            let text = std::str::from_utf8(&datagram[..length]).unwrap();
            text.strip_suffix('\n')
                .unwrap()
                .lines()
                .for_each(|line| heard.hear(line));
        }
        stop.send(()).unwrap();
        heard
    };
    let (heard, ()) = within(async { tokio::join!(listening, sink.run(async { drop(stopped.await) })) }).await;
    assert_eq!(heard.get("service.a_rather_long_name_of_a_rule.number_499"), 499);
}

#[tokio::test]
async fn connects_again_when_the_server_comes_back() {
    let [before, after] = [(); 2].map(|()| TcpSocket::new_v4().unwrap());
    before.set_reuseport(true).unwrap();
    before.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = before.local_addr().unwrap();
    after.set_reuseport(true).unwrap();
    after.bind(address).unwrap();

    let first = before.listen(16).unwrap();
    let running = start(address, Protocol::Tcp, Format::Statsd, PACE);
    let mut heard = Heard::default();
    let mut stream = accept(&first).await;
    running.count(1);
    hear_until(&mut stream, &mut heard, "service.hits.__region=eu", 1).await;

    drop(first);
    drop(stream);
    let second = after.listen(16).unwrap();
    let mut stream = accept(&second).await;
    running.count(10);
    hear_until(&mut stream, &mut heard, "service.hits.__region=eu", 11).await;
    running.stop().await;
}

/// A socket that has an address for itself and on which nobody listens yet: connections to it are refused.
fn reserved() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

#[tokio::test]
async fn what_is_counted_before_the_server_is_there_arrives() {
    let socket = reserved();
    let address = socket.local_addr().unwrap();
    let running = start(address, Protocol::Tcp, Format::Statsd, PACE);
    running.count(6);
    let mut heard = Heard::default();
    let listener = socket.listen(16).unwrap();
    let mut stream = accept(&listener).await;
    hear_until(&mut stream, &mut heard, "service.hits.__region=eu", 6).await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_is_away_costs_a_bounded_queue_and_drops_are_counted() {
    let socket = reserved();
    let address = socket.local_addr().unwrap();
    let name = "x".repeat(4000);
    let source = Source::new(move |visit| {
        for number in 0..1200 {
            visit(&format!("{name}{number}"), Reading::Gauge(1));
        }
    });
    let target = Target {
        address: address.to_string(),
        protocol: Protocol::Tcp,
        format: Format::Statsd,
    };
    // One flush is more than the queue holds.
    let pace = Pace {
        flush: Duration::from_millis(400),
        ..PACE
    };
    let (sink, _times) = StatsdSink::new(target, source, Tags::default(), pace);
    let listening = async {
        let listener = socket.listen(16).unwrap();
        let mut stream = accept(&listener).await;
        let mut heard = Heard::default();
        hear_until(&mut stream, &mut heard, "ratelimit.statistics.lines_dropped", 100).await;
    };
    tokio::select! {
        () = within(listening) => {}
        () = sink.run(std::future::pending()) => panic!("the sink ended"),
    }
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_server_that_is_away() {
    let socket = reserved();
    let address = socket.local_addr().unwrap();
    let running = start(address, Protocol::Tcp, Format::Statsd, PACE);
    running.count(1);
    running.stop().await;
}

#[tokio::test]
async fn times_that_nobody_writes_are_dropped_and_recording_never_blocks() {
    let source = Source::new(|_visit| {});
    let target = Target {
        address: "127.0.0.1:1".into(),
        protocol: Protocol::Udp,
        format: Format::Statsd,
    };
    let (sink, times) = StatsdSink::new(target, source, Tags::default(), PACE);
    let timer = times.timer("t");
    for _ in 0..100_000 {
        timer.record(Duration::from_millis(1));
    }
    drop(sink);
    timer.record(Duration::from_millis(1));
}
