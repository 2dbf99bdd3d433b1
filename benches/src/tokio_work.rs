//! The service of `server-demo work` over tokio's `TcpStream`: a request of a fixed size asks for
//! CPU time, and comes back after the server has spent it. `loadgen/docs/work.md` describes the
//! bytes.

use std::io;
use std::time::Duration;

use server_demo::spend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of a request and of its answer: the default of `server-demo work` and of `loadgen --work`.
const REQUEST_BYTES: usize = 64;

/// Serves one connection until the peer closes it.
pub(crate) async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; REQUEST_BYTES];
    loop {
        match stream.read_exact(&mut request).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let [a, b, c, d, ..] = request;
        spend(Duration::from_micros(
            u32::from_le_bytes([a, b, c, d]).into(),
        ));
        stream.write_all(&request).await?;
    }
}
