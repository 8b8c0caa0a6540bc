//! Socket Mode: the WebSocket that an app-level token opens (page "Using Socket Mode").

use std::sync::Arc;

use axum::extract::ws::{Message as Frame, WebSocket};
use serde_json::json;
use tokio::sync::mpsc;

use super::delivery;
use super::shared::Shared;
use super::state::{APP, Socket, Wire};

/// Page "Using Socket Mode": so many connections may be open at once.
const MOST: usize = 10;

/// Serves one connection until either side leaves.
pub(super) async fn run(mut socket: WebSocket, shared: Arc<Shared>) {
    // full: never; a test sends a handful.
    let (out, mut lines) = mpsc::unbounded_channel();
    let id = shared.change(|state| {
        let count = state.sockets.len() + 1;
        let info = json!({
            "host": "applink-fake", "started": "2026-01-01 00:00:00.000", "build_number": 1,
            "approximate_connection_time": 18_060,
        });
        let hello = if count > MOST {
            json!({"type": "disconnect", "reason": "too_many_websockets", "debug_info": info})
        } else {
            json!({"type": "hello", "num_connections": count, "debug_info": info, "connection_info": {"app_id": APP}})
        };
        let id = state.next();
        let _ = out.send(Wire::Text(hello.to_string()));
        state.sockets.push(Socket { id, out, leaving: count > MOST });
        id
    });
    delivery::flush(&shared);
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(Wire::Text(text)) => {
                    if socket.send(Frame::Text(text.into())).await.is_err() {
                        break;
                    }
                }
                Some(Wire::Cut) | None => break,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Frame::Text(text))) => shared.change(|state| delivery::acknowledge(state, text.as_str())),
                Some(Ok(Frame::Binary(_))) => shared.change(|state| state.reject("socket: a binary frame")),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
            },
        }
    }
    shared.change(|state| state.sockets.retain(|socket| socket.id != id));
}
