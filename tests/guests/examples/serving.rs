//! A route that answers well or badly, by the path of the request.

use std::io::{Read, Write};
use std::time::Duration;

use prx_sdk::route::{Fault, Request, Response, Route};
use serde_json::json;

struct Serving;

impl Route for Serving {
    fn handle(mut request: Request) -> Result<Response, Fault> {
        let path = request.path.clone();
        match path.trim_start_matches("/v9") {
            "/who" => Ok(who(&request)),
            "/echo" => Ok(Response::stream("text/plain", move |out| {
                let mut piece = [0; 1024];
                loop {
                    match request.body.read(&mut piece) {
                        Ok(0) => return Ok(()),
                        Ok(read) => say(out, &piece[..read])?,
                        Err(error) => return Err(Fault::unavailable(error.to_string())),
                    }
                }
            })),
            "/length" => Ok(Response::text(request.body.whole()?.len().to_string())),
            "/greedy" => Ok(Response::json(&json!({"server": true}))
                .with("set-cookie", "a=b")
                .with("access-control-allow-origin", "*")
                .with("service-worker-allowed", "/")
                .with("x-accel-redirect", "/secret")
                .with("cache-control", "max-age=60")),
            "/events" => Ok(Response::stream("text/event-stream", |out| {
                say(out, b"data: {}\n\n")?;
                forever()
            })),
            "/late" => Ok(Response::stream("text/plain", |out| {
                say(out, b"one")?;
                forever()
            })),
            "/broken" => Ok(Response::stream("text/plain", |out| {
                say(out, b"one")?;
                trap()
            })),
            "/given-up" => Ok(Response::stream("text/plain", |out| {
                say(out, b"one")?;
                Err(Fault::unavailable("the other side is down"))
            })),
            "/flood" => Ok(Response::stream("text/plain", |out| {
                loop {
                    say(out, &[b'x'; 64 << 10])?;
                }
            })),
            "/fault" => Err(Fault::new(prx_sdk::route::FaultCode::Quota, "no more of that")),
            "/hang" => forever(),
            "/spin" => loop {
                std::hint::spin_loop();
            },
            "/trap" => trap(),
            _ => Ok(Response::status(404)),
        }
    }
}

fn who(request: &Request) -> Response {
    Response::json(&json!({
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "parameter": request.parameter("q"),
        "caller": request.caller(),
        "may_read_sessions": request.may("sessions:read"),
        "prefix": request.prefix(),
        "headers": request.headers,
        "generation": "generation 1",
    }))
}

fn say(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Fault> {
    out.write_all(bytes).map_err(|error| Fault::unavailable(error.to_string()))
}

fn forever<T>() -> Result<T, Fault> {
    std::thread::sleep(Duration::from_secs(86_400));
    Err(Fault::unavailable("it is late"))
}

#[expect(clippy::panic, reason = "this is what it is for")]
fn trap() -> ! {
    panic!("broken on purpose")
}

prx_sdk::plugin! { route: Serving, manifest: "serving.toml" }
