//! The endpoint's requests and answers.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use reactor::{Handle, Metric, prometheus, time};
use rustix::time::{ClockId, clock_gettime};
use tower_service::Service;

use super::json;

/// Returns a program's own metrics.
pub(super) type Source = Arc<dyn Fn() -> Vec<Metric> + Send + Sync>;

/// The time that a shard has to run a task before it counts as unhealthy.
const HEALTH_DEADLINE: Duration = Duration::from_secs(1);

/// The number of tasks in an answer, unless the request says otherwise.
const TASKS_MAX: usize = 1000;

const INDEX: &str = "/metrics  every metric, for Prometheus\n\
                     /shards   the same, by shard, as JSON\n\
                     /tasks    the live tasks, the busiest first, as JSON; ?limit=N\n\
                     /healthz  200 if every shard runs a new task within a second\n";

type Answering = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

/// The service behind the endpoint.
#[derive(Clone)]
pub(super) struct Endpoint {
    watched: Handle,
    sources: Vec<Source>,
}

impl Endpoint {
    pub(super) fn new(watched: Handle, sources: Vec<Source>) -> Self {
        Self { watched, sources }
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut all: Vec<_> = self.watched.metrics().iter().collect();
        all.push(process_cpu());
        for source in &self.sources {
            all.extend(source());
        }
        all
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        match request.uri().path() {
            "/" => text(StatusCode::OK, INDEX.to_owned()),
            "/metrics" => {
                let mut body = String::new();
                prometheus::encode(&mut body, self.metrics());
                typed(StatusCode::OK, prometheus::CONTENT_TYPE, body)
            }
            "/shards" => in_json(&json::shards(self.metrics())),
            "/tasks" => match limit(request.uri().query()) {
                Ok(limit) => in_json(&json::tasks(self.watched.tasks(), limit)),
                Err(message) => text(StatusCode::BAD_REQUEST, message),
            },
            path => text(
                StatusCode::NOT_FOUND,
                format!("there is no {path}\n\n{INDEX}"),
            ),
        }
    }
}

impl Service<Request<Incoming>> for Endpoint {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Answering {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Box::pin(ready(Ok(answer)));
        }
        if request.uri().path() == "/healthz" {
            return Box::pin(health(self.watched.clone()));
        }
        Box::pin(ready(Ok(self.answer(&request))))
    }
}

/// Returns the CPU time of the process. Where shards are busy for longer, they wait for a CPU.
fn process_cpu() -> Metric {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = Duration::try_from(used).unwrap_or_default();
    Metric::counter_seconds(
        "process_cpu_seconds_total",
        "CPU time of the process, user and system.",
        None,
        used,
    )
}

/// Asks each shard to run a task.
async fn health(watched: Handle) -> Result<Response<String>, Infallible> {
    if watched.is_shutting_down() {
        return Ok(text(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting down\n".to_owned(),
        ));
    }
    let probes = watched.spawn_on_all(|_| ready(()));
    let deadline = time::Instant::now() + HEALTH_DEADLINE;
    let mut silent = Vec::new();
    for (shard, mut probe) in watched.shards().zip(probes) {
        if !matches!(time::timeout_at(deadline, &mut probe).await, Ok(Ok(()))) {
            // A stuck shard must not collect the probes of later requests.
            probe.abort();
            silent.push(shard.to_string());
        }
    }
    Ok(if silent.is_empty() {
        text(StatusCode::OK, "ok\n".to_owned())
    } else {
        let message = format!(
            "no answer within a second from shard {}\n",
            silent.join(", ")
        );
        text(StatusCode::SERVICE_UNAVAILABLE, message)
    })
}

/// Reads `limit=N` from a query.
fn limit(query: Option<&str>) -> Result<usize, String> {
    let mut pairs = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty());
    pairs.try_fold(TASKS_MAX, |_, pair| {
        let number = pair
            .strip_prefix("limit=")
            .and_then(|number| number.parse().ok());
        number.ok_or_else(|| format!("`{pair}` is not of the form limit=N\n"))
    })
}

fn in_json(value: &serde_json::Value) -> Response<String> {
    typed(StatusCode::OK, "application/json", format!("{value}\n"))
}

fn text(status: StatusCode, body: String) -> Response<String> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, media_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_limit_or_an_error() {
        assert_eq!(limit(None), Ok(TASKS_MAX));
        assert_eq!(limit(Some("")), Ok(TASKS_MAX));
        assert_eq!(limit(Some("limit=7")), Ok(7));
        for wrong in ["limit=", "limit=-1", "limits=7", "limit=7&x"] {
            assert!(limit(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
