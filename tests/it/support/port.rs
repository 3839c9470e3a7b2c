//! A port that was listened on, and shall be again.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpSocket;

/// Holds the port of a listener that was just closed, without listening: connections are refused.
pub async fn held(addr: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    let bound = async {
        // A program that is just being started by another test has the listener until its exec.
        while socket.bind(addr).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), bound).await;
    in_time.expect("the port is free");
    socket
}
