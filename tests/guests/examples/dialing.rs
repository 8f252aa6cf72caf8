//! A component that reaches out by sockets of its own.

use std::fmt::Debug;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use prx_sdk::tool::{CallContext, Fault, Tool, ToolInfo, ToolOutput};
use serde_json::{Value, json};

struct Dialing;

impl Tool for Dialing {
    fn tools() -> Vec<ToolInfo> {
        vec![ToolInfo {
            name: "dial".into(),
            description: "Tries every way to the address `to` on this machine".into(),
            parameters: r#"{"type":"object"}"#.into(),
            read_only: false,
        }]
    }

    /// Tells what came of each.
    fn call(_: &str, arguments: &str, _: CallContext) -> Result<ToolOutput, Fault> {
        let arguments: Value =
            serde_json::from_str(arguments).map_err(|error| Fault::bad_input(error.to_string()))?;
        let to = arguments["to"].as_str().unwrap_or_default();
        let told = json!({
            "connect": told(TcpStream::connect(to)),
            "listen": told(TcpListener::bind("127.0.0.1:0")),
            "send": told(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"hi", to))),
            "look up": told(("localhost", 80).to_socket_addrs()),
        });
        Ok(told.to_string().into())
    }
}

fn told<T: Debug>(outcome: io::Result<T>) -> String {
    match outcome {
        Ok(there) => format!("{there:?}"),
        Err(error) => error.to_string(),
    }
}

prx_sdk::plugin! { tool: Dialing, manifest: "dialing.toml" }
