"""Closing a port without failing anybody who has begun to connect.

Whoever is in the listen queue when its socket is closed is reset, although as far as they know they are connected and
may have sent a request: nobody can tell them that it is safe to send it again. So first the kernel is told to drop
what opens new connections (a SYN, which is sent again after a second) and to finish those that are being opened.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import sys
from contextlib import suppress

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# A classic BPF program (linux/filter.h); the packet begins with its TCP header (RFC 9293, 3.1).
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # of these SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep
)


def let_nobody_in(port: int) -> None:
    """Drop what opens new connections to this port of this process. Elsewhere than on Linux it does nothing."""
    if not sys.platform.startswith("linux"):
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in _DROP_SYN))
    filter_ = struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(program))
    for listener in _listeners(port):
        with listener, suppress(OSError):  # a kernel without filters: as it was before there were any
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)


def is_listening(port: int) -> bool:
    """Whether this process listens on this port; elsewhere than on Linux it is taken for granted."""
    if not sys.platform.startswith("linux"):
        return True
    found = _listeners(port)
    for listener in found:
        listener.close()
    return bool(found)


def _listeners(port: int) -> list[socket.socket]:
    """Handles of the sockets with which this process listens on a port: Granian keeps its own to itself."""
    found: list[socket.socket] = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):  # closed since, or no such socket
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            handle = socket.socket(fileno=os.dup(int(name)))
            if handle.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and handle.getsockname()[1:2] == (port,):
                found.append(handle)
            else:
                handle.close()
    return found
