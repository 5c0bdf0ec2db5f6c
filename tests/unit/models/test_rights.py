"""Statements about the use of a page are read by their drafts, and what one place forbids is forbidden."""

import pytest

from worker.models import Rights, signal_statements, strictest, usage_statements


@pytest.mark.parametrize(
    ("value", "stated"),
    [
        ("train-ai=n", {"train-ai": "n"}),
        ("  train-ai=y,\tsearch=n ", {"train-ai": "y", "search": "n"}),
        # the examples of draft-ietf-aipref-vocab, 6.5
        ('train-ai=y, train-ai, search=n, search="n"', {}),
        ("train-ai;allow=n, train-ai=y", {"train-ai": "y"}),
        ('train-ai;has;parameters="?"', {}),
        ("train-ai=no, search=Y", {}),
        ('a=(1 "x;y" :YQ==:);q, b=?1, c=-1.5, d=@17, e=%"%c3%a9", train-ai=n;x=1', {"train-ai": "n"}),
        # no Dictionary: what it forbids counts, what it allows does not
        ("Train-AI=N, Search=Y", {"train-ai": "n"}),
        ("train-ai=n,", {"train-ai": "n"}),
        ("train-ai=n search=y", {"train-ai": "n"}),
        ('train-ai="n', {}),
        ("", {}),
    ],
)
def test_content_usage_is_read_as_a_dictionary(value: str, stated: dict[str, str]) -> None:
    assert usage_statements(value) == stated


@pytest.mark.parametrize(
    ("value", "stated"),
    [
        ("search=yes, ai-train=no", {"search": "yes", "ai-train": "no"}),
        ("SEARCH = Yes,AI-Train=NO;use=Reference", {"search": "yes", "ai-train": "no", "use": "reference"}),
        ("ai-train=no, ai-train=yes", {"ai-train": "no"}),
        ("ai-train, =no, x=maybe, ai-input=no", {"ai-input": "no"}),
    ],
)
def test_content_signal_is_read_whatever_surrounds_it(value: str, stated: dict[str, str]) -> None:
    assert signal_statements(value) == stated


@pytest.mark.parametrize("value", ["a=(" + "1 " * 50_000, "a;" * 50_000, 'a="' + "\\\\" * 50_000, "a=n," * 50_000])
def test_a_hostile_value_states_little(value: str) -> None:
    assert len(strictest([usage_statements(value), signal_statements(value)])) <= 20


def test_the_names_of_signals_are_those_of_both_vocabularies() -> None:
    rights = Rights(
        robots=("noai", "none"),
        tdm_reservation="1",
        content_usage=("search=y", "train-ai=n"),
        content_signal=("ai-input=no", "ai-train=no", "use=immediate"),
    )

    assert rights.signals == ("noai", "none", "tdm-reservation", "ai-train", "ai-input", "use-immediate")
    refused = [rights.refused_by([name]) for name in ("train-ai", "AI-Train", "tdm", "noindex", "search", "nofollow")]
    assert refused == ["train-ai", "AI-Train", "tdm", "noindex", "", "nofollow"]
