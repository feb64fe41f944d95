"""
Clew beside its peers, in one run: `python -m bench`, or `make bench`.

`sdk` is what tracing costs the caller; `ingest` how fast spans become durable and queryable;
`query` how fast they are found again; `crash` what a killed server loses. README.md says how
each is measured and why so. Nothing here is imported by Clew.
"""
