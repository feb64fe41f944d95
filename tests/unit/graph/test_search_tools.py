"""Finding tools and capabilities by what they are for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import BadFilter
from clew.graph import Call, Context, Graph, TraceCalls, learn_into
from clew.graph.bm25 import Bm25, words
from clew.graph.search import ARMS, search
from clew.graph.search_index import MOST_REQUESTS, Request, SearchIndex
from clew.model.graph import Node, SearchResult


def tool(name: str) -> Node:
    return Node("tool", name)


def call(name: str, at: int, *, kind: str = "tool", parent: str | None = None) -> Call:
    return Call(call_id=f"{name}-{at}", parent_id=parent, kind=kind, name=name, start_ns=10 * at, end_ns=10 * at + 5)


def ran(graph: Graph, tools: str, *, inside: str = "", times: int = 1) -> None:
    """Let the graph learn runs of some tools, one after the other, inside of a capability if one is named."""
    for time in range(times):
        calls = [call(name, at, parent="root" if inside else None) for at, name in enumerate(tools.split(), start=1)]
        if inside:
            end = 10 * len(calls) + 20
            root = Call(call_id="root", kind="capability", name=inside, start_ns=0, end_ns=end)
            calls.insert(0, root)
        learn_into(graph, TraceCalls(trace_id=f"{tools}-{time}", calls=calls))


def names(result: SearchResult) -> list[str]:
    return [found.node.name for found in result.found]


# Words.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getHTTPReply_v2", ["get", "http", "reply", "gethttpreply", "v", "2", "v2"]),
        ("shop.CartService/AddItem", ["shop", "cart", "servic", "cartservic", "add", "item", "additem"]),
        ("Splitout splitOut", ["splitout", "split", "out", "splitout"]),
        ("cancelling cancelled cancels", ["cancel", "cancel", "cancel"]),
        ("booked booking book", ["book", "book", "book"]),
        ("预订航班", ["预订", "订航", "航班"]),
        ("STRASSE straße", ["strass", "strass"]),
        ("!?", []),
    ],
)
def test_a_name_is_split_where_people_would_split_it(text, expected):
    """Names of tools are written in humps, snakes and paths, and what is asked in none of them."""
    assert words(text) == expected


@given(st.text(max_size=300))
def test_any_text_has_words(text):
    """Names come from users and models."""
    assert all(word and word == word.casefold() for word in words(text))


def test_a_rare_word_says_more_than_a_common_one():
    """`get` is in every second name."""
    index = Bm25()
    for name in ("get user", "get order", "get price", "delete user"):
        index.add(name.split())

    scores = index.score(["delete", "get"])

    assert max(scores, key=scores.__getitem__) == 3


def test_a_word_that_no_text_holds_stands_for_those_that_begin_alike():
    """Who types 'reservat' or 'cancellation' wants something."""
    index = Bm25()
    for name in ("reservation list", "cancel order", "rest"):
        index.add(words(name))

    assert set(index.score(words("reservat"))) == {0}
    assert 0 < index.score(words("reservat"))[0] < index.score(words("reservation"))[0]
    assert set(index.score(words("cancelation"))) == {1}
    assert not index.score(words("reservoir"))


def test_of_very_many_texts_the_likeliest_are_kept():
    """A common word adds to what the rare ones found, so that a search is bounded."""
    index = Bm25(most_found=10)
    for at in range(500):
        index.add(["common", "rare"] if at == 123 else ["common", f"other{at}"])

    scores = index.score(["common", "rare"])

    assert len(scores) <= 10
    assert max(scores, key=scores.__getitem__) == 123


# Finders.


def test_words_that_say_nothing_find_nothing_while_others_are_there(shop):
    """'the', 'a' and 'please' are in every request, and in names they are chance."""
    assert "reserve a room" not in names(search(shop, "please get me a flight", arm="text"))
    assert set(names(search(shop, "a", arm="text"))) == {"reserve a room", "arrange a journey"}


@pytest.fixture
def shop() -> Graph:
    graph = Graph()
    ran(graph, "find_flight pay send_ticket", inside="arrange a journey", times=5)
    ran(graph, "find_hotel pay", inside="reserve a room", times=5)
    ran(graph, "translate", times=2)
    return graph


def test_a_name_is_found_by_its_words(shop):
    """And says which."""
    result = search(shop, "flights, please find them", arm="text")

    assert names(result)[0] == "find_flight"
    assert result.found[0].reasons[0].text == "its name and description hold flights, find"


def test_a_description_is_searched_like_the_name(shop):
    """What a tool is for is rarely in its name alone."""
    documents = {"translate": "say it in another language", tool("pay"): "settle the bill by credit card"}

    assert names(search(shop, "in which language", documents=documents))[0] == "translate"
    assert names(search(shop, "credit card bill", documents=documents))[0] == "pay"


@pytest.mark.parametrize("arm", ["contained", "hybrid"])
def test_a_capability_found_by_its_text_brings_its_tools(shop, arm):
    """None of the tools has a word of it."""
    result = search(shop, "my journey", arm=arm)

    assert {"find_flight", "pay", "send_ticket"} <= set(names(result))
    found = next(found for found in result.found if found.node == tool("send_ticket"))
    assert found.reasons[0].type == "contains"
    assert found.reasons[0].origin == Node("capability", "arrange a journey")
    assert (found.reasons[0].count, found.reasons[0].source) == (5, "observed")
    assert len(found.reasons[0].traces) == 3


def test_the_text_arm_knows_nothing_of_containment(shop):
    """It is what the others are held against."""
    assert names(search(shop, "my journey", arm="text")) == ["arrange a journey"]


def test_a_past_request_brings_what_it_used(shop):
    """People ask alike for what tools call otherwise."""
    requests = [
        Request("I want to visit my aunt in Rome", [tool("find_flight"), tool("pay")], "t1"),
        Request("how do you say aunt in Greek", [tool("translate")], "t2"),
    ]

    result = search(shop, "to visit Rome", requests=requests)

    assert set(names(result)[:2]) == {"find_flight", "pay"}
    assert result.found[0].reasons[0].traces == ("t1",)


def test_a_past_request_may_be_a_plain_pair(shop):
    """The trace is not always known."""
    assert names(search(shop, "see the Colosseum", requests=[("the Colosseum", [tool("pay")])]))[0] == "pay"


def test_what_a_request_used_and_the_graph_does_not_know_is_left_out(shop):
    """The trace may not have been learned yet."""
    result = search(shop, "see the Colosseum", requests=[Request("the Colosseum", [tool("new one")])])

    assert result.found == ()


def test_a_nearer_request_counts_for_more(shop):
    """Many that share one common word must not outvote the one that is the same."""
    requests = [Request(f"museum number {at}", [tool("translate")]) for at in range(20)]
    requests.append(Request("refund the museum visit", [tool("pay")]))

    assert names(search(shop, "refund my museum visit", requests=requests))[0] == "pay"


def test_what_ran_beside_a_found_tool_is_found_too(shop):
    """Once a hotel is searched it is paid for; no text says so."""
    result = search(shop, "hotel", arm="contained")

    assert names(result)[:2] == ["find_hotel", "pay"]
    assert "5 of 5 runs" in result.found[1].reasons[0].text


def test_neighbours_in_common_are_company(shop):
    """Adamic and Adar: both are called inside of the same capability."""
    result = search(shop, "find flight", arm="adamic")
    found = {found.node.name: found for found in result.found}

    assert "send_ticket" in found
    assert found["send_ticket"].reasons[0].type == "neighbours"


def test_what_was_just_called_tells_apart_what_reads_alike():
    """Two tools fit the words equally well; one of them usually comes next."""
    graph = Graph()
    ran(graph, "open_cart check_price", times=5)
    ran(graph, "open_tab check_prices", times=5)
    after_cart = Context(calls=[call("open_cart", 1)])
    after_tab = Context(calls=[call("open_tab", 1)])

    assert names(search(graph, "check price", context=after_cart))[0] == "check_price"
    assert names(search(graph, "check price", context=after_tab))[0] == "check_prices"
    reasons = search(graph, "check price", context=after_tab).found[0].reasons
    assert any(reason.type == "sequence" and reason.origin == tool("open_tab") for reason in reasons)


def test_the_running_capability_is_context_too():
    """What it usually calls is nearer."""
    graph = Graph()
    ran(graph, "check_price", inside="shop", times=5)
    ran(graph, "check_prices", inside="bank", times=5)
    running = Call(call_id="root", kind="capability", name="bank", start_ns=0)

    result = search(graph, "check price", context=Context(calls=[running], parent_id="root"))

    assert names(result)[0] == "check_prices"


def test_context_alone_finds_nothing(shop):
    """It is a search for words; what comes next is another question."""
    context = Context(calls=[call("find_flight", 1)])

    assert search(shop, "xylophone", context=context).found == ()


def test_capabilities_do_not_crowd_out_tools():
    """Where names of capabilities are whole requests there are thousands that fit a little."""
    graph = Graph()
    ran(graph, "settle_bill")
    ran(graph, "archive_old_bill_of_last_year")
    for at in range(50):
        ran(graph, "pay", inside=f"settle bill number {at}")

    kinds = [found.node.kind for found in search(graph, "settle the bill", k=4, arm="text").found]

    assert kinds.count("capability") == kinds.count("tool") == 2
    assert tool("pay") in [found.node for found in search(graph, "settle the bill", k=4).found]


# The index.


def test_an_index_follows_its_graph(shop):
    """It is kept beside a graph that goes on learning."""
    index = SearchIndex(shop)
    ran(shop, "water_plants")

    assert names(search(shop, "water the plants", index=index))[0] == "water_plants"


def test_an_index_can_be_kept_when_its_graph_is_read_anew(shop):
    """Ids mean nothing from one graph to another; names, descriptions and requests do."""
    index = SearchIndex(shop, documents={"pay": "settle"}, requests=[Request("aunt", [tool("pay")])])
    other = Graph()
    ran(other, "water_plants pay")

    assert names(search(other, "settle", index=index))[0] == "pay"
    assert names(search(other, "aunt", index=index))[0] == "pay"
    assert names(search(other, "flight", index=index)) == []


def test_a_description_may_come_before_its_node_and_change():
    """Who knows what a tool is for may know it before it was ever called."""
    graph = Graph()
    index = SearchIndex(graph)
    index.describe("tool:pay", "settle")
    ran(graph, "pay")
    assert names(search(graph, "settle", index=index)) == ["pay"]

    index.describe(tool("pay"), "transfer")

    assert names(search(graph, "transfer", index=index)) == ["pay"]
    assert names(search(graph, "settle", index=index)) == []


def test_a_trace_that_is_told_again_is_one_request(shop):
    """A trace grows: what is known of it last counts."""
    index = SearchIndex(shop)
    index.add_request("visit Rome", [tool("pay")], "t1")
    index.add_request("visit Rome", [tool("translate")], "t1")

    assert len(index.requests) == 1
    assert names(search(shop, "visit Rome", index=index))[0] == "translate"


def test_of_very_many_requests_the_newest_are_kept(monkeypatch, shop):
    """Memory is bounded, and so is what was forgotten."""
    monkeypatch.setattr("clew.graph.search_index.MOST_REQUESTS", 10)
    index = SearchIndex(shop)
    index.add_request("albatross", [tool("pay")], "oldest")
    for at in range(1_000):
        index.add_request("heron", [tool("pay")], f"t{at}")

    assert MOST_REQUESTS >= 10_000
    assert len(index.requests) == 10
    assert len(index.requests.index) <= 300
    assert not search(shop, "albatross", index=index).found
    assert names(search(shop, "heron", index=index))[0] == "pay"


def test_long_names_are_found_under_the_name_that_the_graph_keeps():
    """A name of 10 KB is cut by the graph, and requests bring the whole of it."""
    graph = Graph()
    long = "resize_" + "x" * 10_000
    ran(graph, long)
    index = SearchIndex(graph, requests=[Request("thumbnails", [tool(long)])], documents={tool(long): "shrink"})

    assert [found.node for found in search(graph, "thumbnails", index=index).found] == graph.nodes
    assert [found.node for found in search(graph, "shrink", index=index).found] == graph.nodes
    assert all(len(reason.text) < 500 for reason in search(graph, "resize", index=index).found[0].reasons)


# Vectors.


class Embedder:
    """Knows two things: travelling, and all else."""

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def __call__(self, texts):
        self.embedded += texts
        travel = ("journey", "flight", "voyage", "ticket")
        return [[float(any(word in text for word in travel)), 0.3] for text in texts]


def test_an_embedder_finds_what_no_word_tells(shop):
    """Voyage and flight share no word."""
    result = search(shop, "a voyage", dense=Embedder(), arm="text")

    assert {"find_flight", "send_ticket"} == set(names(result)[:2])
    assert "embedder" in result.found[0].reasons[0].text


def test_each_text_is_embedded_once(shop):
    """An embedder is the slowest thing in a search."""
    embedder, index = Embedder(), SearchIndex(shop)
    search(shop, "a voyage", dense=embedder, index=index)
    first = list(embedder.embedded)
    search(shop, "a voyage", dense=embedder, index=index)

    assert embedder.embedded[len(first) :] == ["a voyage"]


def test_one_search_embeds_a_bounded_number_of_texts():
    """No search waits until ten thousand names have gone through a model."""
    graph = Graph()
    for at in range(300):
        graph.node(tool(f"name{at}"))
    embedder, index = Embedder(), SearchIndex(graph)

    for _ in range(2):
        search(graph, "voyage", dense=embedder, index=index)

    assert 2 <= len(embedder.embedded) <= 2 * 65


def test_past_requests_are_compared_by_meaning_too(shop):
    """The same wish in other words."""
    requests = [Request("a journey by sea", [tool("pay")]), Request("boil an egg", [tool("translate")])]

    result = search(shop, "voyage", requests=requests, dense=Embedder(), arm="contained")

    assert names(result).index("pay") < names(result).index("translate")


# Answers and refusals.


@pytest.mark.parametrize("arm", ARMS)
def test_an_empty_graph_answers_with_nothing(arm):
    """A new project is no error."""
    result = search(Graph(), "anything", arm=arm, version=3)

    assert (result.arm, result.arm_version, result.found) == (arm, 3, ())


@pytest.mark.parametrize("arm", ARMS)
def test_answers_are_the_same_each_time_and_best_first(shop, arm):
    """Ties are settled by the graph, not by chance."""
    one, two = (search(shop, "find pay journey", arm=arm, k=10) for _ in range(2))

    assert one == two
    scores = [found.score for found in one.found]
    assert scores == sorted(scores, reverse=True)
    assert all(found.reasons for found in one.found)


def test_weights_are_the_arms_own_unless_given(shop):
    """So that they can be tuned, stored and rolled back."""
    assert names(search(shop, "journey", weights={"contained": 0.0, "together": 0.0}))[0] == "arrange a journey"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"text": " ?! "}, "text"),
        ({"text": "pay", "arm": "best"}, "arm"),
        ({"text": "pay", "k": 0}, "k"),
        ({"text": "pay", "weights": {"texts": 1.0}}, "weights"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(shop, asked, field):
    """And nothing is guessed."""
    with pytest.raises(BadFilter) as caught:
        search(shop, **asked)

    assert caught.value.field == field


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=30), max_size=8))
def test_no_text_and_no_names_make_a_search_fail(text, tools):
    """Both are hostile."""
    graph = Graph()
    for name in tools:
        graph.node(tool(name))
    if words(text):
        assert len(search(graph, text, k=3).found) <= 3
    else:
        with pytest.raises(BadFilter):
            search(graph, text)
