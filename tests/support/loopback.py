"""Runs a module, each of whose sockets listens on this machine alone: `python loopback.py MODULE`.

LocalStack listens on every address, whatever it is told.
"""

import runpy
import socket
import sys

bind = socket.socket.bind


def bind_here(self, address):
    if self.family == socket.AF_INET:
        address = ("127.0.0.1", address[1])
    elif self.family == socket.AF_INET6:
        address = ("::1", *address[1:])
    return bind(self, address)


socket.socket.bind = bind_here
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
