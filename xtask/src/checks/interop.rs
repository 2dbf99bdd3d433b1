//! `cargo xtask interop`: tests of other libraries' traits on this project's streams, and of
//! independent stacks on the reactor: hyper, axum, rustls, async-tungstenite, quinn, the Redis
//! client, and libraries that need tokio's runtime, with PostgreSQL. Then the examples and
//! `server-demo http` serve loadgen, curl, h2load and Python's websockets.
//!
//! The package interop/ has a lock file of its own. Each server ends with success at SIGTERM.

mod clients;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Trial};
use rustix::process::Signal;

use crate::checks::report::{Count, Report};
use crate::checks::trial;
use crate::programs::demo;
use crate::programs::process::{self, PATIENCE, Running, target_folder};
use crate::programs::python;
use crate::programs::server::Server;
use clients::{answers_whole, curl, h2load};

/// The longest time for a command of cargo, which builds many dependencies.
const CARGO_LIMIT: Duration = Duration::from_secs(1_200);

const TESTS: &str = "test --package shard-asyncfd --package shard-reactor \
    --features shard-asyncfd/full,shard-reactor/metrics --test compat --test serve_http \
    --test serve_timed --test blocked_shard --test tokio_rt --test traced --test tracing --test facade";
const DEMO_TESTS: &str = "test --package server-demo --features http --test http";
const DOC_TESTS: &str = "test --package shard-asyncfd --features full --doc";

/// Runs the cases that the arguments of a test program choose.
///
/// # Errors
/// A program is missing, or the build fails.
pub(crate) fn run(build: bool, arguments: &Arguments) -> Result<ExitCode> {
    if !arguments.list {
        for (program, package) in [
            ("curl", "curl"),
            ("h2load", "nghttp2-client"),
            ("nginx", "nginx"),
            ("python3", "python3"),
            ("redis-server", "redis-server"),
        ] {
            process::need(program, package)?;
        }
        if build {
            process::build(&["--package", "loadgen"])?;
            process::build(&["--package", "server-demo", "--features", "http"])?;
            let examples = [
                "--features",
                "full",
                "--example",
                "web",
                "--example",
                "fetch",
            ];
            process::build(&[&["--package", "shard-asyncfd"], &examples[..]].concat())?;
            let separate = separate();
            let examples = ["--examples"].into_iter();
            let separate = separate.iter().map(String::as_str);
            process::build(&examples.chain(separate).collect::<Vec<_>>())?;
        }
    }
    let target = std::path::absolute(target_folder())?;
    let mut trials = tests_of_cargo();
    trials.extend(hyper(&target));
    trials.extend(web(&target));
    trials.extend(demo_http(&target));
    Ok(libtest_mimic::run(arguments, trials).exit_code())
}

/// Returns the options for the package interop/. Its target folder is separate, since it shares no
/// dependency with the workspace.
fn separate() -> Vec<String> {
    let target = target_folder().join("interop").display().to_string();
    let manifest = "interop/Cargo.toml".to_owned();
    vec![
        "--manifest-path".to_owned(),
        manifest,
        "--target-dir".to_owned(),
        target,
    ]
}

fn tests_of_cargo() -> Vec<Trial> {
    let cargo = |name: &str, line: &str, before: Vec<String>, after: &'static [&str]| {
        let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        words.extend(before);
        words.push("--locked".to_owned());
        trial::new(format!("cargo: {name}"), move |folder| {
            let mut command = Command::new("cargo");
            command.args(&words).args(after);
            process::run(folder, CARGO_LIMIT, &[0], &mut command)?;
            Ok(())
        })
    };
    let lints = &["--all-targets", "--", "-D", "warnings"];
    vec![
        cargo("features of asyncfd and reactor", TESTS, vec![], &[]),
        cargo("server-demo http", DEMO_TESTS, vec![], &[]),
        cargo(
            "documentation of compat",
            DOC_TESTS,
            vec![],
            &["--", "compat"],
        ),
        cargo("lints of interop", "clippy", separate(), lints),
        cargo("tests of interop", "test", separate(), &[]),
    ]
}

/// Returns a case with a server, which then ends with success at SIGTERM.
fn served(
    name: String,
    program: &Path,
    arguments: &'static str,
    client: impl FnOnce(&Path, &mut Server) -> Result<()> + Send + 'static,
) -> Trial {
    let program = program.to_owned();
    trial::new(name, move |folder| {
        let mut server = start(folder, &program, arguments)?;
        client(folder, &mut server)?;
        server.stop(Signal::TERM, PATIENCE)
    })
}

fn start(folder: &Path, program: &Path, arguments: &str) -> Result<Server> {
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace());
    Server::start("server", folder, &mut command)
}

/// The example of interop/ with hyper.
fn hyper(target: &Path) -> Vec<Trial> {
    let program = target.join("interop/debug/examples/hyper");
    let loadgen = target.join("debug/loadgen");
    let address = "127.0.0.1:0";
    vec![
        served(
            "hyper: loadgen".into(),
            &program,
            address,
            move |folder, server| {
                let mut load = Command::new(loadgen);
                load.arg(format!("http://{}/", server.address()));
                load.args(["-c", "50", "-n", "5000", "--quiet", "--format", "json"]);
                let report = demo::run_load(folder, &[0], &mut load)?.out;
                Report::parse(&report)?.is(Count::Answered, 5000)
            },
        ),
        served(
            "hyper: h2load, HTTP/2".into(),
            &program,
            address,
            |folder, server| {
                let url = format!("http://{}/", server.address());
                h2load(folder, &["--max-concurrent-streams=20"], &url)
            },
        ),
    ]
}

/// The example of a web server: HTTP/1, HTTP/2, TLS and WebSocket, and a drain.
fn web(target: &Path) -> Vec<Trial> {
    let examples = target.join("debug/examples");
    let program = examples.join("web");
    let case = |name: &str, client: WebClient| {
        served(
            format!("web: {name}"),
            &program,
            WEB,
            move |folder, server| {
                // The server says both addresses as URLs.
                let secure = server.program_mut().says("listening on https:")?;
                let urls = [server.address().to_owned(), format!("https:{secure}")];
                client(folder, server, &urls)
            },
        )
    };
    let mut trials = Vec::new();
    for option in ["--http1.1", "--http2-prior-knowledge"] {
        let client = move |folder: &Path, _: &mut Server, [plain, _]: &[String; 2]| {
            let answer = curl(folder, &[option, &format!("{plain}/")])?;
            ensure!(answer == "hello\n", "curl gets: {answer}");
            Ok(())
        };
        trials.push(case(&format!("curl {option}"), Box::new(client)));
    }
    for version in ["1.1", "2"] {
        let client = move |folder: &Path, _: &mut Server, [_, secure]: &[String; 2]| {
            let option = format!("--http{version}");
            let written = ["--write-out", " %{http_version}"];
            let answer = curl(
                folder,
                &[
                    "--insecure",
                    &option,
                    written[0],
                    written[1],
                    &format!("{secure}/"),
                ],
            )?;
            ensure!(
                answer == format!("hello\n {version}"),
                "curl gets: {answer}"
            );
            Ok(())
        };
        trials.push(case(
            &format!("curl --http{version} over TLS"),
            Box::new(client),
        ));
    }
    for (index, scheme) in ["http", "https"].into_iter().enumerate() {
        for (name, options) in H2LOADS {
            let client = move |folder: &Path, _: &mut Server, urls: &[String; 2]| {
                h2load(folder, options, &format!("{}/", urls[index]))
            };
            trials.push(case(&format!("h2load, {name}, {scheme}"), Box::new(client)));
        }
        let client = move |folder: &Path, _: &mut Server, urls: &[String; 2]| {
            let programs = python::environment("websockets", &[python::WEBSOCKETS])?;
            let mut command = python::script(&programs, "checks/interop/websocket_client.py");
            process::run(
                folder,
                Duration::from_secs(60),
                &[0],
                command.arg(&urls[index]),
            )?;
            Ok(())
        };
        trials.push(case(&format!("websockets, {scheme}"), Box::new(client)));
    }
    let fetch = examples.join("fetch");
    let client = move |folder: &Path, _: &mut Server, [plain, _]: &[String; 2]| {
        let mut command = Command::new(fetch);
        command.args([&format!("{plain}/"), "100"]);
        let fetched = demo::run_load(folder, &[0], &mut command)?.out;
        ensure!(fetched == "100 answers, 600 bytes\n", "it says: {fetched}");
        Ok(())
    };
    trials.push(case(
        "the pooled client of the example fetch",
        Box::new(client),
    ));
    trials.push(trial::new("web: drain", move |folder| {
        drains(folder, &program)
    }));
    trials
}

/// The arguments of the web example: addresses without and with TLS.
const WEB: &str = "127.0.0.1:0 127.0.0.1:0";

/// A client of the web example. Its last argument has the URLs without and with TLS.
type WebClient = Box<dyn FnOnce(&Path, &mut Server, &[String; 2]) -> Result<()> + Send>;

/// Options of h2load for each version of HTTP.
const H2LOADS: [(&str, &[&str]); 2] = [("HTTP/2", &[]), ("HTTP/1", &["--h1"])];

/// A request in progress at the signal gets its whole answer.
fn drains(folder: &Path, program: &Path) -> Result<()> {
    let mut server = start(folder, program, WEB)?;
    let mut command = clients::curl_command();
    command.args(["--header", "expect:", "--request", "POST"]);
    command.args(["--upload-file", ".", &format!("{}/echo", server.address())]);
    let (mut client, body) = Running::start_with_input("curl", folder, &mut command)?;
    answers_whole(&mut client, body, || server.program().signal(Signal::TERM))?;
    server.program_mut().succeeds(PATIENCE)
}

/// The pages of the demo, plain and over TLS.
fn demo_http(target: &Path) -> Vec<Trial> {
    let program = target.join("debug/server-demo");
    let mut trials = Vec::new();
    for (scheme, arguments, http2) in [
        (
            "http",
            "http --listen 127.0.0.1:0 --shards 2",
            "--http2-prior-knowledge",
        ),
        (
            "https",
            "http --listen 127.0.0.1:0 --shards 2 --tls",
            "--http2",
        ),
    ] {
        for version in ["--http1.1", http2] {
            let name = format!("server-demo: curl {version}, {scheme}");
            trials.push(served(name, &program, arguments, move |folder, server| {
                let url = format!("{scheme}://{}", server.address());
                pages_are_right(folder, version, &url)
            }));
        }
        for (version, options) in H2LOADS {
            let name = format!("server-demo: h2load, {version}, {scheme}");
            trials.push(served(name, &program, arguments, move |folder, server| {
                let url = format!("{scheme}://{}/size/100", server.address());
                h2load(folder, options, &url)
            }));
        }
    }
    trials
}

fn pages_are_right(folder: &Path, version: &str, url: &str) -> Result<()> {
    let ask = |arguments: &[&str]| curl(folder, &[&["--insecure", version], arguments].concat());
    let greeting = ask(&[&format!("{url}/")])?;
    ensure!(
        greeting.trim_end() == "hello, world",
        "the greeting is '{greeting}'"
    );
    let size = ask(&[&format!("{url}/size/3000000")])?.len();
    ensure!(size == 3_000_000, "{size} bytes instead of 3,000,000");
    let json = ask(&["--json", r#" { "a" : [1, 2] } "#, &format!("{url}/json")])?;
    ensure!(json == r#"{"a":[1,2]}"#, "the JSON is {json}");
    Ok(())
}
