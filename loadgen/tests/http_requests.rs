//! Options of HTTP requests: method, header fields, bodies with varying fields, basic
//! authentication, several paths with weights. A server records the requests.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use common::{command, run, serve, start_command};

/// A request that the server read.
#[derive(Debug, Clone)]
struct Request {
    line: String,
    fields: BTreeMap<String, Vec<String>>,
    body: String,
}

fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    loop {
        let mut field = String::new();
        stream.read_line(&mut field)?;
        let Some((name, value)) = field.trim_end().split_once(": ") else {
            break;
        };
        let values = fields.entry(name.to_ascii_lowercase()).or_default();
        values.push(value.to_owned());
    }
    let length = fields
        .get("content-length")
        .map_or("0", |values| &values[0]);
    let mut body = vec![0; length.parse().expect("a length")];
    stream.read_exact(&mut body)?;
    Ok(Some(Request {
        line: line.trim_end().to_owned(),
        fields,
        body: String::from_utf8(body).expect("text"),
    }))
}

/// Starts a server that records the requests. It answers with a head, and after `pause` with the
/// body.
fn recorder(status: &'static str, pause: Duration) -> (SocketAddr, Arc<Mutex<Vec<Request>>>) {
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let kept = Arc::clone(&requests);
    let address = serve(move |_, mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = read(&mut reader)? {
            let head = request.line.starts_with("HEAD");
            kept.lock().expect("no panic").push(request);
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n")?;
            if !head {
                thread::sleep(pause);
                stream.write_all(b"ok")?;
            }
        }
        Ok(())
    });
    (address, requests)
}

#[test]
fn a_request_is_what_the_flags_say() {
    let (address, requests) = recorder("200 OK", Duration::ZERO);
    let mut command = command(&format!("http://{address}/ -c 2 -n 40 -q --format json"));
    command.args(["--path", "3*/a?n={random}", "--path", "/b", "-X", "PUT"]);
    command.args(["-H", "Accept: text/html", "-H", "X-A: 1", "-H", "X-A: 2"]);
    command.args(["--body", r#"{"id": {counter}}"#, "--user", "me:se%20cret"]);
    let report = start_command(command).finish().expect_code(0).report();
    assert_eq!(report.requests.answered, 40);
    assert_eq!(report.status_codes.get(&200), Some(&40));
    let requests = requests.lock().expect("no panic").clone();
    // The first request of each connection is not measured.
    assert_eq!(requests.len(), 42);
    let mut ids = HashSet::new();
    for request in &requests {
        let path = request.line.strip_prefix("PUT ").expect("the method");
        assert!(path.starts_with("/a?n=") || path == "/b HTTP/1.1", "{path}");
        assert_eq!(request.fields["accept"], ["text/html"]);
        assert_eq!(request.fields["x-a"], ["1", "2"]);
        assert_eq!(request.fields["host"], [address.to_string()]);
        assert_eq!(request.fields["authorization"], ["Basic bWU6c2UgY3JldA=="]);
        let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
        assert!(ids.insert(body["id"].as_u64().expect("a number")), "{body}");
    }
    let of_a = requests
        .iter()
        .filter(|one| one.line.contains("/a?"))
        .count();
    // Three of four requests, within five standard deviations.
    assert!((18..=41).contains(&of_a), "{of_a}");
}

#[test]
fn a_body_comes_from_a_file_and_makes_it_a_post() {
    let (address, requests) = recorder("200 OK", Duration::ZERO);
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "a=1").expect("ours");
    let args = format!(
        "http://{address}/form -c 1 -n 3 --body-file {}",
        file.path().display()
    );
    run(&args).expect_code(0);
    for request in requests.lock().expect("no panic").iter() {
        assert_eq!(request.line, "POST /form HTTP/1.1");
        assert_eq!(
            (
                request.body.as_str(),
                request.fields["content-length"].len()
            ),
            ("a=1", 1)
        );
    }
}

#[test]
fn a_response_to_head_has_no_body() {
    let (address, _) = recorder("200 OK", Duration::ZERO);
    let report = run(&format!(
        "http://{address}/ -c 1 -n 20 -X HEAD --format json"
    ))
    .expect_code(0)
    .report();
    assert_eq!((report.requests.answered, report.errors.len()), (20, 0));
}

#[test]
fn the_first_byte_comes_before_the_whole_answer() {
    let pause = Duration::from_millis(60);
    let (address, _) = recorder("200 OK", pause);
    let report = run(&format!("http://{address}/ -c 1 -n 5 --format json"))
        .expect_code(0)
        .report();
    let first = report.latency.first_byte.expect("HTTP");
    assert_eq!((first.count, report.latency.raw.count), (5, 5));
    assert!(report.latency.raw.min_ns >= 60_000_000);
    assert!(first.p50_ns < 40_000_000, "{}", first.p50_ns);
}

#[test]
fn failures_have_latencies_of_their_own() {
    let (address, _) = recorder("503 Busy", Duration::ZERO);
    let run = run(&format!(
        "http://{address}/ -c 1 -n 20 --slo errors>0,p99<1s --format json"
    ));
    let report = run.expect_code(3).report();
    assert_eq!(
        (report.latency.raw.count, report.latency.failures.count),
        (0, 20)
    );
    assert_eq!(report.status_codes.get(&503), Some(&20));
    let met: Vec<_> = report.slo.iter().map(|verdict| verdict.met).collect();
    assert_eq!(met, [true, false], "no good answer has a latency");
}

#[test]
fn flags_of_http_need_http() {
    for (args, words) in [
        ("--body x", "--body is for --protocol http"),
        ("127.0.0.1:1 -X POST", "--method is for --protocol http"),
        (
            "http://127.0.0.1:1/ -H Content-Length:5",
            "length of the body by itself",
        ),
        (
            "http://127.0.0.1:1/ --path 0*/a",
            "a weight is a whole number",
        ),
    ] {
        run(args).expect_code(2).expect_message(words);
    }
}
