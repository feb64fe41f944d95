"""A URL is shown without what opens the door."""

import pytest

from clew.store.url import shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///clew.db", "sqlite:///clew.db"),
        ("sqlite:////var/lib/clew.db", "sqlite:////var/lib/clew.db"),
        ("memory:", "memory:"),
        ("postgresql://ana:s%40same@db:5432/clew", "postgresql://ana@db:5432/clew"),
        ("postgresql://ana@db/clew?sslmode=require", "postgresql://ana@db/clew?sslmode=require"),
        ("postgresql:///clew?user=ana&password=sesame", "postgresql:///clew?user=ana"),
        ("postgresql://a:b:c@d@db/x", "postgresql://a@db/x"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_url_is_shown_without_its_password(url, expected):
    """It lands in terminals, logs and answers."""
    assert shown(url).replace(":///", ":/") == expected.replace(":///", ":/")
    assert "sesame" not in shown(url)
