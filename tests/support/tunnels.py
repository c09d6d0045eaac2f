"""A way to a server of this machine that can be cut, as an SSH tunnel is."""

import socket
import threading
from contextlib import suppress

HOST = "127.0.0.1"


class Tunnel:
    """Passes connections on to a port of this machine. `cut` ends all of them, and takes no more."""

    def __init__(self, to_port: int):
        self.to_port, self.ends = to_port, []
        self.listener = socket.create_server((HOST, 0))
        self.address = f"http://{HOST}:{self.listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Tunnel":
        return self

    def __exit__(self, *error) -> None:
        self.cut()

    def cut(self) -> None:
        for each in [self.listener, *self.ends]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.connections += 1
                far = socket.create_connection((HOST, self.to_port))
                self.ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
