"""The end of listening.

A connection is there for its client as soon as the kernel has it in its queue. When a socket is closed with such a
connection in the queue, it is reset; and a proxy that has sent a request over it may not send that request to another
daemon, because it cannot know that nobody has read it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress
from typing import Final

_SO_ATTACH_FILTER: Final = 26  # of Linux, as the program below, for the kernel's packet filter (socket(7))
_DROP_SYN: Final = (
    (0x30, 0, 0, 13),  # the flags of the TCP segment
    (0x54, 0, 0, 0x12),  # of which SYN and ACK matter
    (0x15, 0, 1, 0x02),  # SYN alone begins a connection:
    (0x06, 0, 0, 0),  # drop it,
    (0x06, 0, 0, 0xFFFFFFFF),  # and let pass everything else
)


def hear_no_more(listener: socket.socket) -> None:
    """Let the kernel begin no new connection, though the socket still listens.

    What was begun before can be accepted, and nothing comes between the last of it and the closing. Who tries in this
    moment tries again by itself, a second later, and is refused then. Elsewhere than on Linux nothing is done.
    """
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN)
    buffer = ctypes.create_string_buffer(program)
    with suppress(OSError):
        option = struct.pack("HL", len(_DROP_SYN), ctypes.addressof(buffer))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)


def close_for_good(listener: socket.socket) -> None:
    """In a process that does not accept itself: nobody will accept any more. What connects from now on is refused
    instead of left waiting, as soon as those that share the listener have closed it too."""
    hear_no_more(listener)
    listener.close()
