"""
The HTTP server: bodies in, answers out, and who may ask for what.

`app.py` has every route on one screen. `run.py` starts it all; nothing else here listens.
"""
