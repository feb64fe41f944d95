"""
A real RAG service, traced: FastAPI, three stores, dense and keyword search, a model that streams.

Read `service.py` first: it has the routes and the two lines that bring Clew in. A question then
runs through `rag.py`, top to bottom:

    rag.py ─▶ classify.py                    what is asked, in which language: which strategy?
           ─▶ embed.py                       multilingual-e5-small, in this process
           ─▶ retrieve.py ─▶ knowledge.py    three retrievers side by side, each keyword + dense
           ─▶ generate.py                    SmolLM2 behind the OpenAI protocol, or any other model

`python -m examples.hybrid_rag` (`make demo`) starts it beside a Clew server and asks it questions;
that is `demo/`, which no service needs.
"""
