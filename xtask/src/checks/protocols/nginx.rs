//! nginx: HTTP/1.1, HTTP/2, TLS, and a reload of its configuration under load.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Check, Kind, Load, Site, start};
use crate::checks::report::Count;
use crate::programs::process;
use crate::programs::server::free_address;

const NGINX: (&str, &str) = ("nginx", "nginx");
const OPENSSL: (&str, &str) = ("openssl", "openssl");

pub(super) fn kinds() -> [Kind; 3] {
    [
        Kind {
            name: "nginx",
            needs: &[NGINX],
            start: start_http1,
            loads: http1(),
        },
        Kind {
            name: "nginx",
            needs: &[NGINX],
            start: start_reloaded,
            loads: vec![reloaded()],
        },
        Kind {
            name: "nginx",
            needs: &[NGINX, OPENSSL],
            start: start_http2,
            loads: http2(),
        },
    ]
}

fn http1() -> Vec<Load> {
    let mut loads = Vec::new();
    for path in ["small", "large", "chunked", "empty"] {
        let url = format!("http://{{address}}/{path}");
        let closed = Load::new(
            format!("{path}, closed loop"),
            format!("{url} -c 20 -n 3000"),
        );
        // nginx closes each connection after a hundred requests.
        let closing = Check::AtLeast(Count::ClosedByServer, 20);
        loads.push(closed.answered(3000).check(closing));
        let line = format!("{url} -c 20 -n 1000 -R 5k");
        loads.push(Load::new(format!("{path}, open loop"), line).answered(1000));
    }
    let url = "http://{address}";
    let one = |name: &str, line: &str| Load::new(name, line.replace("URL", url));
    loads.extend([
        one(
            "pipelined, two threads",
            "URL/small -c 20 -n 3000 -P 8 -t 2 --io poll",
        )
        .answered(3000),
        one(
            "ten requests per connection",
            "URL/small -c 20 -n 3000 --requests-per-conn 10",
        )
        .answered(3000)
        .check(Check::AtLeast(Count::Retired, 280)),
        one(
            "Unix socket",
            "unix:{socket} --protocol http --path /small -c 20 -n 2000",
        )
        .answered(2000),
        one(
            "bad clients",
            "URL/small -c 20 -d 1 -R 500 \
             --bad-clients slow-read:5%,slow-write:5%,never-read:5%,half-close:5%,reset:5%",
        ),
        one("not found", "URL/nowhere -c 2 -n 50")
            .code(1)
            .check(Check::HasError("http-4xx"))
            .answered(50),
        one("unavailable", "URL/busy -c 2 -n 50")
            .code(1)
            .check(Check::HasError("http-5xx"))
            .answered(50),
    ]);
    loads
}

/// At a reload, nginx closes every idle connection, and loadgen opens all of them again. nginx may
/// reset a connection whose request arrives at that moment. This is more likely on a loaded
/// machine, so the case has several attempts.
fn reloaded() -> Load {
    Load::new("reload", "http://{address}/ -c 20 -R 200 -d 3 --warmup 0")
        .attempts(3)
        .check(Check::Is(Count::Scheduled, 600))
        .answered(600)
        .check(Check::AtLeast(Count::Established, 40))
        // The first request of each connection of the ramp is not measured, but nginx records it.
        .check(Check::Recorded("HTTP/1.1 200 - ", 620))
}

fn http2() -> Vec<Load> {
    let trusting = "-4 --cacert {certificate}";
    let mut loads = Vec::new();
    // The first request of each connection is not measured, but nginx records it. nginx closes each
    // connection after a hundred requests.
    for path in ["small", "large"] {
        let line = format!("http://{{address}}/{path} --http2 -c 4 -P 10 -n 2000");
        loads.push(
            Load::new(format!("HTTP/2, {path}, closed loop"), line)
                .answered(2000)
                .check(Check::AtLeast(Count::ClosedByServer, 16))
                .check(Check::Recorded("HTTP/2.0 200 - ", 2004)),
        );
        let line = format!("{{tls}}/{path} --http2 {trusting} -c 4 -R 2k -n 1000");
        loads.push(
            Load::new(format!("HTTP/2 over TLS, {path}, open loop"), line)
                .answered(1000)
                .check(Check::Recorded("HTTP/2.0 200 TLSv1.3 ", 1004)),
        );
    }
    loads.extend([
        Load::new(
            "HTTP/2 over TLS, unavailable",
            format!("{{tls}}/busy --http2 {trusting} -c 2 -P 5 -n 100"),
        )
        .code(1)
        .answered(100)
        .check(Check::Recorded("HTTP/2.0 503 TLSv1.3 ", 102)),
        Load::new(
            "HTTP/1.1 over TLS",
            format!("{{old}}/small {trusting} -c 4 -n 400"),
        )
        .check(Check::Recorded("HTTP/1.1 200 TLSv1.3 ", 404)),
        // A server without HTTP/2 refuses it in the handshake.
        Load::new(
            "HTTP/2 is refused",
            format!("{{old}}/small --http2 {trusting} -c 1 -n 5"),
        )
        .code(1)
        .check(Check::Recorded("", 0)),
        Load::new("unknown certificate", "{tls}/small --http2 -4 -c 1 -n 5")
            .code(1)
            .check(Check::Says("invalid peer certificate"))
            .check(Check::Recorded("", 0)),
    ]);
    loads
}

/// Writes the files that nginx serves, and a configuration with these lines on top and in its
/// section `http`.
fn configure(folder: &Path, top: &str, http: &str) -> Result<()> {
    let pages = folder.join("www");
    fs::create_dir_all(&pages)?;
    fs::write(pages.join("small"), [b'0'; 5_000])?;
    fs::write(pages.join("large"), vec![0; 300_000])?;
    let folder = folder.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("{kind}_temp_path {folder}/tmp;\n"));
    let temporary = temporary.concat();
    fs::create_dir_all(format!("{folder}/tmp"))?;
    let text = format!(
        "daemon off;
         {top}
         pid {folder}/nginx.pid;
         error_log stderr;
         events {{ worker_connections 1024; }}
         http {{
             log_format short '$server_protocol $status $ssl_protocol $request_length';
             access_log {folder}/access.log short;
             {temporary}
             {http}
         }}\n"
    );
    fs::write(format!("{folder}/nginx.conf"), text)?;
    Ok(())
}

fn nginx(folder: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder);
    command.arg("-c").arg(folder.join("nginx.conf"));
    command.args(["-e", "stderr"]);
    command
}

fn start_nginx(folder: &Path, address: &str) -> Result<Site> {
    let mut site = start("nginx", folder, address, &mut nginx(folder))?;
    site.record = Some(folder.join("access.log"));
    Ok(site)
}

fn start_http1(folder: &Path) -> Result<Site> {
    let address = free_address()?;
    let socket = folder.join("nginx.sock").display().to_string();
    let pages = folder.join("www");
    let pages = pages.display();
    // Without a known length the body is sent in chunks.
    let http = format!(
        "keepalive_requests 100;
         server {{
             listen {address};
             listen unix:{socket};
             root {pages};
             location /chunked {{ alias {pages}/large; ssi on; ssi_types *; }}
             location /empty {{ return 204; }}
             location /busy {{ return 503; }}
         }}"
    );
    configure(folder, "master_process off;", &http)?;
    let mut site = start_nginx(folder, &address)?;
    site.words.push(("{socket}", socket));
    Ok(site)
}

fn start_reloaded(folder: &Path) -> Result<Site> {
    let address = free_address()?;
    let http = format!("server {{ listen {address}; location / {{ return 200 hello; }} }}");
    configure(folder, "worker_processes 1;", &http)?;
    let mut site = start_nginx(folder, &address)?;
    site.event = Some(|folder| {
        let mut reload = nginx(folder);
        reload.args(["-s", "reload"]);
        let output = reload.output()?;
        let message = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "nginx did not reload: {message}");
        Ok(())
    });
    Ok(site)
}

fn start_http2(folder: &Path) -> Result<Site> {
    let (clear, tls, old) = (free_address()?, free_address()?, free_address()?);
    let certificate = make_certificate(folder)?;
    let shown = folder.display();
    let http = format!(
        "keepalive_requests 100;
         ssl_protocols TLSv1.2 TLSv1.3;
         ssl_certificate {certificate};
         ssl_certificate_key {shown}/key.pem;
         server {{
             listen {clear} http2;
             listen {tls} ssl http2;
             listen {old} ssl;
             root {shown}/www;
             location /busy {{ return 503; }}
         }}"
    );
    configure(folder, "master_process off;", &http)?;
    let mut site = start_nginx(folder, &clear)?;
    // The certificate is for this name.
    let url = |address: &str| address.replace("127.0.0.1", "https://localhost");
    site.words.push(("{tls}", url(&tls)));
    site.words.push(("{old}", url(&old)));
    site.words.push(("{certificate}", certificate));
    Ok(site)
}

/// Makes a certificate of localhost, which signs itself, and returns its file.
fn make_certificate(folder: &Path) -> Result<String> {
    let certificate = folder.join("certificate.pem").display().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(folder.join("key.pem"));
    openssl.args(["-out", &certificate]);
    process::run(folder, Duration::from_secs(60), &[0], &mut openssl)?;
    Ok(certificate)
}
