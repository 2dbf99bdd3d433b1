//! A pooled HTTP client: fetches a page many times, a few requests at a time.
//!
//! ```console
//! $ cargo run --features client --example fetch -- http://127.0.0.1:8080/ 100
//! ```

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;

use asyncfd::client::HttpConnector;
use asyncfd::compat::{MobileExecutor, ShardTimer};
use hyper::Uri;
use hyper::body::Body;
use hyper_util::client::legacy::Client;
use reactor::{JoinSet, Reactor};

type BoxError = Box<dyn Error + Send + Sync>;

/// Fetches the page and returns the length of its body.
async fn fetch(client: Client<HttpConnector, String>, uri: Uri) -> Result<usize, BoxError> {
    let answer = client.get(uri).await?;
    if !answer.status().is_success() {
        return Err(answer.status().to_string().into());
    }
    let (mut body, mut len) = (answer.into_body(), 0);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        len += frame?.data_ref().map_or(0, |data| data.len());
    }
    Ok(len)
}

/// Fetches the page `count` times, with at most eight requests under way.
async fn run(uri: Uri, count: usize) -> Result<usize, BoxError> {
    let client = Client::builder(MobileExecutor::new())
        .pool_timer(ShardTimer::new())
        .timer(ShardTimer::new())
        .build(HttpConnector::new());
    let (mut under_way, mut len) = (JoinSet::new(), 0);
    for _ in 0..count {
        if under_way.len() == 8 {
            if let Some(fetched) = under_way.join_next().await {
                len += fetched??;
            }
        }
        under_way.spawn(fetch(client.clone(), uri.clone()));
    }
    while let Some(fetched) = under_way.join_next().await {
        len += fetched??;
    }
    Ok(len)
}

fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let uri: Uri = arguments.next().ok_or("give a URL and a count")?.parse()?;
    let count = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let reactor = Reactor::new()?;
    let len = reactor.block_on(reactor.spawn(run(uri, count)))??;
    println!("{count} answers, {len} bytes");
    Ok(())
}
