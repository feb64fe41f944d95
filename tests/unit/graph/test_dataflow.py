"""Which output values turn up in later arguments, and which only seem to."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.graph import dataflow
from clew.graph.dataflow import MOST_PENDING, Exchange, flows
from clew.graph.values import KNOWN_CHARS, MOST_CHARS, MOST_DEPTH, MOST_VALUES, leaves, worth


def took(name, at, inputs=None, outputs=None, *, parent=None, lasted=1, end=True):
    return Exchange(name, parent, name.partition("#")[0], at, at + lasted if end else None, inputs, outputs)


def flow(*exchanges):
    return {each.call_id: found for each, found in zip(exchanges, flows(exchanges), strict=True)}


def provided(value, argument=None):
    """Whether a value of one call's output is seen in the next one's argument."""
    found = flow(took("give", 0, None, {"it": value}), took("take", 5, {"it": value if argument is None else argument}))
    assert found["take"].provider_ids in ((), ("give",))
    return bool(found["take"].provider_ids)


class TestWorth:
    @pytest.mark.parametrize(
        "value",
        [
            "ABC123",
            "mia_li_3668",
            "Berlin",
            "  padded  ",
            "2024-05-15",
            "https://example.org/a",
            4_812,
            -70_000,
            12_345.0,
            52.52001,
            "52.52001",
            1 << 70,
            "x" * 5_000,
        ],
    )
    def test_ids_names_dates_addresses_and_large_numbers_are_worth_matching(self, value):
        """Finding one of these again says something."""
        assert worth(value) is not None
        assert provided(value)

    @pytest.mark.parametrize(
        "value",
        [
            True,
            False,
            None,
            "true",
            "True",
            "null",
            "",
            "   ",
            "1",
            "en",
            "ok",
            "USD",
            "None",
            "success",
            "pending",
            0,
            1,
            -3,
            999,
            0.25,
            19.99,
            "42",
            "999.0",
            2_024,
            "2024",
            float("nan"),
            float("inf"),
            [],
            {},
        ],
    )
    def test_flags_counts_codes_states_and_years_are_not(self, value):
        """They turn up everywhere; every edge from them would be false."""
        assert worth(value) is None
        assert not provided(value)

    def test_a_number_matches_the_same_number_as_text(self):
        """Models write numbers as text and back."""
        assert provided(48_120, "48120")
        assert provided("48120", 48_120)
        assert provided(48_120.0, 48_120)

    def test_texts_are_compared_whole_and_trimmed_and_as_they_are_written(self):
        """Ids differ by one letter, and by its case."""
        assert provided("  ABC123 ", "ABC123")
        assert not provided("ABC123", "ABC124")
        assert not provided("ABC123", "abc123")


class TestInside:
    def test_a_long_value_is_found_inside_a_longer_argument(self):
        """An SQL text, a message, a prompt with a document in it."""
        assert provided("mia_li_3668", "cancel the flight of mia_li_3668, please")
        assert provided("Reset the router, then wait.", "Context:\nReset the router, then wait.\n\nAnswer in German.")

    def test_a_short_value_is_not(self):
        """Any sentence holds 'port' and 'Paris'."""
        assert not provided("Paris", "a hotel in Paris, two nights")

    def test_a_value_is_found_only_between_other_than_word_characters(self):
        """An id that is the beginning of another is another."""
        assert not provided("order_1234", "see order_12345")
        assert not provided("order_1234", "see my_order_1234")
        assert provided("order_1234", "see (order_1234)")

    def test_the_longest_of_several_that_begin_alike_is_meant(self):
        """Or an address would be taken for the site that it is on."""
        found = flow(
            took("sites", 0, None, {"site": "https://example.org"}),
            took("pages", 2, None, {"page": "https://example.org/help"}),
            took("fetch", 5, {"text": "read https://example.org/help now"}),
        )
        assert found["fetch"].provider_ids == ("pages",)

    def test_a_very_long_value_is_known_by_its_beginning(self):
        """A document of megabytes is found in a prompt without comparing megabytes."""
        document = "All about routers. " * 1_000
        assert provided(document, "Answer from this: " + document)
        assert not provided(document, "Answer from this: " + document[: KNOWN_CHARS - 1] + "!")


class TestWho:
    def test_only_a_call_that_had_ended_provides(self):
        """What still ran had not given anything yet."""
        slow = took("slow", 0, None, {"id": "ABC123"}, lasted=10)
        assert flow(slow, took("take", 5, {"id": "ABC123"}))["take"].provider_ids == ()
        assert flow(slow, took("take", 10, {"id": "ABC123"}))["take"].provider_ids == ("slow",)

    def test_a_call_that_never_ended_provides_nothing(self):
        """It runs still."""
        running = took("runs", 0, None, {"id": "ABC123"}, end=False)
        assert flow(running, took("take", 5, {"id": "ABC123"}))["take"].provider_ids == ()

    def test_the_most_recent_call_that_gave_a_value_counts(self):
        """It is what the caller had just seen."""
        found = flow(
            took("old", 0, None, {"id": "ABC123"}),
            took("new", 2, None, {"key": "ABC123"}),
            took("take", 5, {"id": "ABC123"}),
        )
        assert found["take"].provider_ids == ("new",)
        assert found["take"].consumed == ("new.key",)

    def test_a_call_that_repeats_its_argument_is_not_its_source(self):
        """Most tools repeat what they were asked for."""
        found = flow(
            took("user", 0, None, {"reservations": ["ABC123"]}),
            took("details", 2, {"reservation": "ABC123"}, {"reservation": "ABC123", "flight": "HAT042"}),
            took("cancel", 5, {"reservation": "ABC123"}),
            took("status", 8, {"flight": "HAT042"}),
        )
        assert found["cancel"].provider_ids == ("user",)
        assert found["status"].provider_ids == ("details",)

    def test_what_a_call_repeats_is_not_pending_either(self):
        """It gave nothing that was not there."""
        found = flow(
            took("user", 0, None, {"reservations": ["ABC123"]}),
            took("details", 2, {"reservation": "ABC123"}, {"reservation": "ABC123", "flight": "HAT042"}),
            took("end", 5),
        )
        assert found["end"].pending == ("details.flight",)

    def test_a_call_that_found_the_value_in_its_prompt_is_not_its_source(self):
        """A model that writes a tool's arguments copies them from what it read."""
        found = flow(
            took("find", 0, None, {"reservation": "ABC123"}),
            took("llm", 2, {"messages": ["found ABC123 for you"]}, {"tool_calls": [{"arguments": {"id": "ABC123"}}]}),
            took("cancel", 5, {"id": "ABC123"}),
        )
        assert found["cancel"].provider_ids == ("find",)

    def test_what_a_model_made_up_itself_is_its_own(self):
        """A rewritten query feeds retrieval."""
        found = flow(
            took("rewrite", 0, {"question": "it broke"}, "router firmware failure after update"),
            took("search", 2, {"query": "router firmware failure after update"}),
        )
        assert found["search"].provider_ids == ("rewrite",)
        assert found["search"].consumed == ("rewrite",)

    @pytest.mark.parametrize("question", [{"user": "mia_li_3668"}, "I am mia_li_3668, cancel it", ["mia_li_3668"]])
    def test_what_the_user_said_is_not_provided_by_a_tool_that_says_it_too(self, question):
        """It was there before any tool ran: the edge would say that the tool is needed."""
        found = flow(
            took("ask", 0, question, lasted=100),
            took("find", 1, None, {"user": "mia_li_3668", "id": "ABC123"}, parent="ask"),
            took("cancel", 5, {"user": "mia_li_3668", "id": "ABC123"}, parent="ask"),
        )
        assert found["cancel"].consumed == ("find.id",)

    def test_what_the_user_said_reaches_down_through_capabilities(self):
        """The question stands at the root, the tools some levels below."""
        found = flow(
            took("ask", 0, "for mia_li_3668", lasted=100),
            took("agent", 1, None, lasted=90, parent="ask"),
            took("find", 2, None, {"user": "mia_li_3668"}, parent="agent"),
            took("cancel", 5, {"user": "mia_li_3668"}, parent="agent"),
        )
        assert found["cancel"].provider_ids == ()

    def test_what_was_said_to_a_capability_counts_though_it_began_with_its_first_tool(self):
        """Clocks are coarse: both begin in one millisecond."""
        found = flow(
            took("other", 0, None, {"user": "mia_li_3668"}),
            took("find", 5, {"user": "mia_li_3668"}, parent="agent"),
            took("agent", 5, "for mia_li_3668, please", lasted=90),
        )
        assert found["find"].provider_ids == ()
        assert found["agent"].provider_ids == ("other",)

    def test_an_argument_that_no_output_had_given_before_came_from_outside(self):
        """In a flat trace nobody says what the user asked, but the first arguments show it."""
        found = flow(
            took("find", 0, {"user": "mia_li_3668"}, {"id": "ABC123"}),
            took("audit", 2, {"id": "ABC123"}, {"owner": "mia_li_3668"}),
            took("mail", 5, {"to": "mia_li_3668"}),
        )
        assert found["mail"].provider_ids == ()

    def test_what_a_capability_passes_down_it_was_given_itself(self):
        """The edge leads to the capability; inside of it the value is its own input."""
        found = flow(
            took("find", 0, None, {"id": "ABC123"}),
            took("cancelling", 5, {"id": "ABC123"}, lasted=50),
            took("cancel", 10, {"reservation": "ABC123"}, parent="cancelling"),
        )
        assert found["cancelling"].provider_ids == ("find",)
        assert found["cancel"].provider_ids == ()

    def test_what_a_capability_returns_it_provides_rather_than_the_tool_inside(self):
        """Its sibling takes from it; the tool is how it got there."""
        found = flow(
            took("finding", 0, None, {"id": "ABC123"}, lasted=10),
            took("search", 1, None, {"hit": "ABC123"}, parent="finding"),
            took("cancel", 20, {"id": "ABC123"}),
        )
        assert found["cancel"].provider_ids == ("finding",)

    def test_a_ring_of_parents_is_no_endless_way_up(self):
        """Only a broken client says so."""
        found = flow(took("a", 0, None, {"id": "ABC123"}, parent="b"), took("b", 5, {"id": "ABC123"}, parent="b"))
        assert found["b"].provider_ids in ((), ("a",))

    def test_the_order_in_which_calls_are_given_does_not_matter(self):
        """Spans come as they like."""
        calls = [
            took("user", 0, None, {"reservations": ["ABC123"]}),
            took("details", 2, {"reservation": "ABC123"}, {"flight": "HAT042"}),
            took("status", 5, {"flight": "HAT042"}),
        ]
        assert flow(*reversed(calls)) == flow(*calls)


class TestPaths:
    def test_paths_say_where_a_value_stands_and_not_which_it_is(self):
        """Lists and mappings by id become one path; so the next user's payment has the same."""
        user = {
            "name": {"first_name": "Mia"},
            "address": {"address1": "975 Sunset Drive", "address2": "Suite 217"},
            "payment_methods": {
                "credit_card_4421486": {"id": "credit_card_4421486"},
                "gift_card_7839402": {"id": "gift_card_7839402"},
            },
            "reservations": ["NO6JO3", "AIXC49"],
            "flights": [{"flight_number": "HAT170", "price": 1_500}],
        }
        assert {path for path, _ in leaves("get_user", user)} == {
            "get_user.address.address1",
            "get_user.address.address2",
            "get_user.payment_methods.{key}",
            "get_user.payment_methods.*.id",
            "get_user.reservations[]",
            "get_user.flights[].flight_number",
            "get_user.flights[].price",
        }

    def test_the_keys_of_a_mapping_by_id_are_values(self):
        """The id is often nowhere else."""
        found = flow(
            took("user", 0, None, {"methods": {"card_4421486": {"brand": "visa"}, "gift_7839402": {"amount": 20}}}),
            took("pay", 5, {"method": "card_4421486"}),
        )
        assert found["pay"].consumed == ("user.methods.{key}",)

    def test_a_list_or_a_text_alone_is_a_path_too(self):
        """Tools return lists of hits, and single ids."""
        assert leaves("search", [{"flight": "HAT170"}]) == [("search[].flight", "HAT170")]
        assert leaves("new_id", "ABC123") == [("new_id", "ABC123")]

    def test_text_that_is_json_is_read_as_json_also_inside(self):
        """MCP and function calls wrap their results in text."""
        wrapped = {"content": [{"kind": "text", "text": json.dumps({"id": "ABC123"})}]}
        assert leaves("tool", wrapped) == [("tool.content[].text.id", "ABC123")]
        assert leaves("tool", '{"id": "ABC123"}') == [("tool.id", "ABC123")]
        assert leaves("tool", "{not json}") == [("tool", "{not json}")]


class TestPending:
    def test_what_nothing_has_used_yet_is_pending_the_most_recent_last(self):
        """What helps most to say what comes next is what waits to be used."""
        found = flow(
            took("find", 0, None, {"id": "ABC123", "owner": "mia_li_3668"}),
            took("look", 5, {"id": "ABC123"}, {"price": 7_250}),
            took("end", 9),
        )
        assert found["find"].pending == ()
        assert found["look"].pending == ("find.id", "find.owner")
        assert found["end"].pending == ("find.owner", "look.price")

    def test_a_path_is_pending_while_any_of_its_values_is_unused(self):
        """Three reservations, one looked at: two to go."""
        found = flow(
            took("user", 0, None, {"reservations": ["AAAA11", "BBBB22"]}),
            took("look#1", 5, {"id": "AAAA11"}),
            took("look#2", 8, {"id": "BBBB22"}),
            took("end", 9),
        )
        assert found["look#2"].pending == ("user.reservations[]",)
        assert found["end"].pending == ()

    def test_a_path_that_is_given_again_is_the_most_recent(self):
        """The second search is what the caller looks at now."""
        found = flow(
            took("search#1", 0, None, {"hit": "AAAA11"}),
            took("find", 2, None, {"id": "BBBB22"}),
            took("search#2", 4, None, {"hit": "CCCC33"}),
            took("end", 9),
        )
        assert found["end"].pending == ("find.id", "search.hit")

    def test_no_more_is_said_than_a_few_paths(self):
        """An answer with a thousand fields is no more pending than its last."""
        found = flow(took("give", 0, None, {f"field_{at}": f"value-{at:04d}" for at in range(90)}), took("end", 5))
        assert len(found["end"].pending) == MOST_PENDING
        assert found["end"].pending[-1] == "give.field_89"


payloads = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just('{"id": "ABC123"}'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.tuples(payloads, payloads, st.integers(0, 9), st.sampled_from([None, "0", "1", "2"])), max_size=6))
def test_any_payload_is_read_without_an_error(some):
    """What a trace contains is hostile."""
    exchanges = [took(str(at), start, *both, parent=parent) for at, (*both, start, parent) in enumerate(some)]
    for found in flows(exchanges):
        assert set(found.provider_ids) <= {each.call_id for each in exchanges}


def test_an_int_that_python_will_not_print_is_left_out():
    """It refuses more than 4,300 digits."""
    assert leaves("a", 10**5_000) == []


def _timed(*exchanges):
    began = time.perf_counter()
    found = flow(*exchanges)
    return found, time.perf_counter() - began


def test_of_a_payload_of_64_megabytes_only_so_much_is_looked_at():
    """The body limit of the server is the only other bound."""
    huge = ["x" * 1_000 + str(at) for at in range(64_000)]
    found, took_s = _timed(took("give", 0, None, huge), took("take", 5, {"text": " ".join(huge)}))
    assert found["take"].pending == ("give[]",)
    # Some milliseconds when nothing else runs.
    assert took_s < 1
    assert len(leaves("a", huge)) <= MOST_VALUES
    assert sum(len(text) for _, text in leaves("a", huge)) <= MOST_CHARS


def test_depth_is_bounded():
    """Two million brackets would exhaust the stack."""
    deep = "ABC123"
    for _ in range(MOST_DEPTH):
        deep = [deep]
    assert len(leaves("a", deep)) == 1
    assert leaves("a", [deep]) == []
    for _ in range(50_000):
        deep = [deep]
    assert leaves("a", deep) == []
    assert len(leaves("a", "[" * 60_000 + "]" * 60_000)) <= 1


def test_a_trace_of_many_large_calls_takes_bounded_time():
    """The work of a trace is limited as that of a call is; what comes later has no dataflow."""
    given = {f"field_{at}": f"https://example.org/{at}" for at in range(400)}
    text = " ".join(given.values())
    exchanges = [
        took(str(at), at * 10, {"text": f"{text} {at}"}, {**given, "own": f"value-{at}"}) for at in range(2_000)
    ]
    _, took_s = _timed(*exchanges)
    # Two seconds or so when nothing else runs; unlimited it would be minutes.
    assert took_s < 30


pieces = st.lists(
    st.sampled_from(["abcdefgh", "abcdefghi", "bcdefghij", " ", "_", ".", "é", "\u3000", "x-", "\x1c"]), max_size=12
)


@given(st.lists(pieces.map("".join), min_size=1, max_size=5), pieces.map("".join))
def test_looking_for_values_finds_what_looking_at_each_word_finds(values, text):
    """Of few values each is looked for, of many each word is looked at: which is quicker must not matter."""
    exchanges = [took(f"give{at}", at, None, {"id": value}) for at, value in enumerate(values)]
    exchanges.append(took("take", 50, {"text": text, "again": text * 3}))
    found = []
    for worth_a_search in (0, 1 << 40):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dataflow, "_WORTH_A_SEARCH", worth_a_search)
            found.append(flow(*exchanges))
    assert found[0] == found[1]
