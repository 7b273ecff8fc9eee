"""`make cluster-demo`: three daemons with one waiting line behind nginx, under a small load, to watch and to break.

Everything is private: RabbitMQ, PostgreSQL, the demo model, the daemons and nginx run on free loopback ports, and
keep what they write in one temporary directory. At the end nothing of it is left.
"""
