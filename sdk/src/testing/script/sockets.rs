//! WebSockets of a script: opened, fed and closed by the test.

use super::{Open, Script};
use crate::connector::{
    Command, Connector, Event, Keepalive, Segments, Socket, SocketClosed, SocketOpened, Token, WsConnect,
};

impl<C: Connector> Script<C> {
    /// The WebSockets asked for and not yet opened, in the order given.
    pub fn connects(&self) -> &[WsConnect] {
        &self.open.connects
    }

    /// The WebSockets that are open.
    pub fn sockets(&self) -> Vec<Socket> {
        self.open.sockets.iter().map(|(socket, _)| *socket).collect()
    }

    /// Opens the WebSocket asked for under this token.
    pub fn open_socket(&mut self, token: Token, socket: Socket) {
        self.open.take_connect(token);
        self.open.sockets.push((socket, token));
        self.feed(Event::WsOpen(SocketOpened { socket, token }));
    }

    /// The WebSocket asked for under this token can't be opened.
    pub fn fail_socket(&mut self, token: Token, reason: &str) {
        self.open.take_connect(token);
        let reason = reason.to_owned();
        self.feed(Event::WsClosed(SocketClosed { socket: 0, token, code: None, reason, silent: false }));
    }

    /// The other side sends a text frame.
    pub fn receive(&mut self, socket: Socket, text: impl Into<String>) {
        self.open.check_open(socket);
        self.feed(Event::WsText((socket, text.into())));
    }

    /// The other side closes this socket.
    pub fn close_socket(&mut self, socket: Socket, code: Option<u16>, reason: &str) {
        let (token, reason) = (self.open.close(socket), reason.to_owned());
        self.feed(Event::WsClosed(SocketClosed { socket, token, code, reason, silent: false }));
    }

    /// The kernel closes this socket, for its keepalive was not acknowledged.
    pub fn silence_socket(&mut self, socket: Socket) {
        let (token, reason) = (self.open.close(socket), "silent".to_owned());
        self.feed(Event::WsClosed(SocketClosed { socket, token, code: None, reason, silent: true }));
    }

    /// How the kernel keeps this socket alive.
    pub fn keepalive(&self, socket: Socket) -> Option<&Keepalive> {
        self.open.keepalives.iter().find(|(kept, _)| *kept == socket).map(|(_, keepalive)| keepalive)
    }

    /// Takes the frames sent to this socket and not yet taken, secrets as `{secret:KEY}`; other commands stay.
    pub fn sent(&mut self, socket: Socket) -> Vec<String> {
        let is_frame = |command: &mut Command| matches!(command, Command::WsSend((to, _)) if *to == socket);
        let taken = self.commands.extract_if(.., is_frame);
        taken
            .filter_map(|command| if let Command::WsSend((_, frame)) = command { Some(frame) } else { None })
            .map(|frame| Segments(frame).to_string())
            .collect()
    }

    /// The codes with which the connector closed sockets, of the commands not yet taken.
    pub fn closed(&self) -> Vec<(Socket, u16)> {
        let closed = self.commands.iter();
        closed
            .filter_map(|command| if let Command::WsClose(closed) = command { Some(*closed) } else { None })
            .collect()
    }
}

impl Open {
    pub(super) fn forget_socket(&mut self, socket: Socket) {
        self.sockets.retain(|open| open.0 != socket);
        self.keepalives.retain(|kept| kept.0 != socket);
    }

    fn take_connect(&mut self, token: Token) {
        let place = self.connects.iter().position(|connect| connect.token == token);
        self.connects.remove(place.unwrap_or_else(|| panic!("no socket asked for under token {token}")));
    }

    fn check_open(&self, socket: Socket) {
        assert!(self.sockets.iter().any(|open| open.0 == socket), "socket {socket} is not open");
    }

    fn close(&mut self, socket: Socket) -> Token {
        let found = self.sockets.iter().find(|open| open.0 == socket);
        let (_, token) = *found.unwrap_or_else(|| panic!("socket {socket} is not open"));
        self.forget_socket(socket);
        token
    }
}
