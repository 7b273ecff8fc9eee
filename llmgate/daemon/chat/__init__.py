"""The chat: turns of users with models, and the conversations in which they are kept.

``chat.py`` holds it together. A turn (``turn.py``) is run by the conductor (``conduct.py``), which has the gateway
serve it like anybody's request; its followers (``following.py``) tell it to sockets (``socket.py``) and streams.
"""
