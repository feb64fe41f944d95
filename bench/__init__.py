"""
Clew beside its peers, in one run: `python -m bench`, or `make bench`.

`sdk` is what tracing costs the caller; `trouble` what becomes of spans when their server is away or
slow; `ingest` how fast spans become durable and queryable; `query` how fast they are found again;
`crash` what a killed server loses; `graph` how fast traces are learned and asked. README.md says how
each is measured and why so. Nothing here is imported by Clew.
"""
