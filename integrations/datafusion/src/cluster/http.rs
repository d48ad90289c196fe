//! Requests to the HTTP interface of a scheduler.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Maximum time of a request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of bytes of a response.
const MOST_BYTES: u64 = 64 << 20;

/// Returns the JSON document at a path, or `None` if there is none.
pub async fn get(host: &str, port: u16, path: &str) -> Option<Value> {
    tokio::time::timeout(PATIENCE, fetch(host, port, path)).await.ok()?.ok().flatten()
}

async fn fetch(host: &str, port: u16, path: &str) -> std::io::Result<Option<Value>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    // With version 1.0, the body ends with the connection.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut response).await?;
    Ok(parse(&response))
}

/// Returns the document of a successful response.
fn parse(response: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(response).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let is_success = head.split(' ').nth(1) == Some("200");
    is_success.then(|| serde_json::from_str(body).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_successful_responses_are_parsed() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n[1, 2]"), Some(serde_json::json!([1, 2])));
        assert_eq!(parse(b"HTTP/1.0 404 Not Found\r\n\r\n[1]"), None);
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\n\r\n<html>"), None);
        assert_eq!(parse(b""), None);
    }
}
