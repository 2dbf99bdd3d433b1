//! An axum router on every shard, without tokio's runtime: HTTP/1 and unencrypted HTTP/2 on one
//! port.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asyncfd::compat::{ShardExecutor, ShardTimer};
use asyncfd::net::TcpStream;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use interop::{curl, serve};
use reactor::{Reactor, ShardId};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[derive(Serialize)]
struct Receipt {
    item: String,
    total: u32,
}

async fn hello(Path(name): Path<String>) -> String {
    assert!(ShardId::current().is_some(), "handlers run on the shards");
    assert!(
        tokio::runtime::Handle::try_current().is_err(),
        "there is no other runtime"
    );
    // A handler's waits: the reactor's time, off and back on the shard.
    reactor::time::sleep(std::time::Duration::from_millis(2)).await;
    format!("hello {name}\n")
}

async fn order(State(orders): State<Arc<AtomicUsize>>, Json(order): Json<Order>) -> Json<Receipt> {
    orders.fetch_add(1, Ordering::Relaxed);
    let total = order.count * 3;
    Json(Receipt {
        item: order.item,
        total,
    })
}

fn server(orders: Arc<AtomicUsize>) -> (Reactor, SocketAddr) {
    let router = Router::new()
        .route("/hello/{name}", get(hello))
        .route("/order", post(order))
        .with_state(orders);
    serve(move || {
        let router = router.clone();
        move |stream: TcpStream| {
            let service = TowerToHyperService::new(router.clone());
            async move {
                let mut builder = auto::Builder::new(ShardExecutor::new());
                builder.http1().timer(ShardTimer::new());
                builder.http2().timer(ShardTimer::new());
                let connection = pin!(builder.serve_connection(stream, service));
                let _ = connection.await;
            }
        }
    })
}

#[test]
fn a_router_answers_over_both_versions() {
    let orders = Arc::default();
    let (_reactor, address) = server(Arc::clone(&orders));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let url = format!("http://{address}/hello/you");
        assert_eq!(curl([version, &url]), b"hello you\n");
        let url = format!("http://{address}/order");
        let json = "content-type: application/json";
        let order = r#"{"item":"tea","count":14}"#;
        let receipt = curl([version, "--header", json, "--data", order, &url]);
        assert_eq!(receipt, br#"{"item":"tea","total":42}"#);
        // The router rejects a body that is not an order, and the server goes on.
        let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        let refused = [version, "--header", json, "--data", "{}", &url];
        assert_eq!(curl(status.iter().chain(&refused)), b"422");
        let nowhere = format!("http://{address}/nowhere");
        assert_eq!(
            curl(status.iter().copied().chain([version, &nowhere])),
            b"404"
        );
    }
    assert_eq!(orders.load(Ordering::Relaxed), 2);
}

#[test]
fn a_router_serves_many_connections_at_once() {
    let (_reactor, address) = server(Arc::default());
    let url = format!("http://{address}/hello/[1-300]");
    let text = curl(["--http1.1", "--parallel", "--parallel-max", "40", &url]);
    let mut lines: Vec<_> = text.split(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(
        lines.len(),
        301,
        "every answer is another, and the last line is empty"
    );
}
