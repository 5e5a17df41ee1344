"""The whole chain from gate to records against the script engine, in histories full of faults, by simulated clock.

The engine answers a word only if its audio arrived whole and in one piece, and is unkind in every way that it knows.
"""

import random
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edged.config.settings import DeepgramSettings, GateSettings
from edged.recognizer.perturbations import Perturbations
from edged.recognizer.quirks import Quirks
from edged.testkit.compose import compose, place, sentences
from edged.testkit.script import Script
from tests.quick import seeds
from tests.simulation import World

WORST_S = 0.08 + 0.05
"""The engine's jitter, and what the issue allows."""

FAULTS = ("reset", "close", "mute", "refuse", "block", "hole", "jam", "tear")
Fault = tuple[float, str, Any]
"""When, what, and how: a share of the recording, a verb, its argument."""

FAULT = st.tuples(
    st.floats(0, 1),
    st.one_of(
        st.tuples(st.just("reset"), st.none()),
        st.tuples(st.just("jam"), st.floats(0, 8)),
        st.tuples(st.just("close"), st.sampled_from([1000, 1006, 1011, 1012, 4400])),
        st.tuples(st.just("mute"), st.floats(0.5, 40)),
        st.tuples(st.just("refuse"), st.floats(0.5, 30)),
        st.tuples(st.just("block"), st.floats(0.5, 15)),
        st.tuples(st.just("hole"), st.floats(0.1, 3)),
        st.tuples(st.just("tear"), st.integers(1, 3)),
    ),
).map(lambda drawn: (drawn[0], *drawn[1]))

ODD = (Quirks(), Quirks(restated_words=3), Quirks(late_punctuation=True), Quirks(restart_times=True))
"""Servers that are exact to the word, each in its own way."""


@cache
def recording(seed: int) -> Script:
    """Four sentences; one seed of three speaks without a pause, one with long ones."""
    rng = random.Random(seed)
    pause_s = [(0.06, 0.2), (0.0, 0.05), (0.2, 0.5)][seed % 3]
    spoken = sentences(4, rng.randint(3, 12))
    return compose(spoken, silence_s=rng.choice([1.5, 4, 8]), seed=seed, pause_s=pause_s)


def history(seed: int, faults: list[Fault], *, perturbations: Perturbations | None = None, **world: Any) -> World:
    """A run with these faults. The account and the lane's deadline are checked at each step."""
    script = recording(seed)
    one = World(script, perturbations=perturbations or Perturbations.all(), seed=seed, **world)
    length_s = len(script.pcm) / 2 / script.rate
    for share, verb, how in sorted(faults, key=lambda fault: fault[0]):
        advance(one, share * length_s)
        cause(one, verb, how)
    advance(one, length_s + 0.1)
    one.finish()
    one.check_account()
    return one


def advance(one: World, until_s: float) -> None:
    """Let time pass, and look at each step."""
    while one.now < until_s - 1e-9:
        one.run(one.now + 0.05)
        account = one.lane.pending
        assert account.accepted_samples == account.waiting.total + sum(account.released_samples.values())
        if one.now >= max(one.blocked_until, one.jammed_until):
            deadline = one.lane.next_deadline(one.now)
            assert deadline is None or deadline > one.now, "a lane that is polled without end"


def cause(one: World, verb: str, how: Any) -> None:
    """Cause one fault at the server."""
    match verb:
        case "reset":
            one.reset()
        case "jam":
            one.jam(how)
        case "close":
            one.close(how)
        case "mute":
            one.mute_until = one.now + how
        case "refuse":
            one.refused_until = one.now + how
            one.reset()
        case "block":
            one.blocked_until = one.now + how
        case "hole":
            one.hole(how)
        case "tear":
            one.tear(how)


def in_holes(one: World) -> set[str]:
    """Words that the microphone did not hear whole: blocks of 100 ms that a hole touches are lost as a whole."""
    block = one.rate // 10
    lost = [(start - start % block, -(-end // block) * block) for start, end in one.holes]
    return {w.text for w in one.script.words if any(w.start < end and w.end > start for start, end in lost)}


def assert_every_word_once(one: World) -> None:
    """None lost but in holes, none doubled, each where it was said."""
    assert set(one.lost()) <= in_holes(one)
    assert one.doubled() == []
    assert one.worst_time_s() <= WORST_S
    assert one.lane.backlog == 0
    assert one.evicted == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_in_mid_word_loses_or_doubles_a_word(fault: str) -> None:
    """Each of them in the middle of one word of each sentence."""
    how = {"jam": 4.0, "close": 1011, "mute": 20.0, "refuse": 10.0, "block": 5.0, "hole": 0.3, "tear": 1}.get(fault)
    script = recording(1)
    middles = [(word.start + word.end) / len(script.pcm) for word in script.words[2::7]]
    one = history(1, [(share, fault, how) for share in middles])
    assert_every_word_once(one)


@pytest.mark.parametrize("seed", seeds(6))
def test_histories_of_many_faults_lose_and_double_no_word(seed: int) -> None:
    rng = random.Random(seed)
    hows = {"jam": 6.0, "close": 1012, "mute": 8.0, "refuse": 5.0, "block": 3.0, "hole": 0.5, "tear": 2}
    faults = [(rng.random(), verb, hows.get(verb)) for verb in rng.choices(FAULTS, k=4)]
    assert_every_word_once(history(seed, faults))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [6, 84, 118, 141, 147, 195][: len(seeds(6))])
def test_a_network_that_breaks_again_and_again_in_talk_without_a_pause_loses_no_word(seed: int) -> None:
    """Breaks 1 to 6 s apart. Going on from the end of a forced final, as it once did, lost a word of most of these."""
    rng = random.Random(seed)
    script = compose(sentences(8, 12), silence_s=0.3, seed=seed, pause_s=(0.0, 0.05))
    one = World(script, perturbations=Perturbations.all(), seed=seed)
    length_s = len(script.pcm) / 2 / script.rate
    at_s = 0.0
    while (at_s := at_s + rng.uniform(1, 6)) < length_s:
        advance(one, at_s)
        one.connect_at = min(one.connect_at, one.now + 1)
        one.reset()
    one.play_out()
    one.check_account()
    assert_every_word_once(one)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 11), st.lists(FAULT, max_size=5), st.sampled_from(ODD))
@example(0, [(0.875, "reset", None), (0.9375, "reset", None), (1.0, "reset", None)], Quirks())
@example(6, [(0.1875, "reset", None), (0.3125, "mute", 14.0)], Quirks())  # a draft cut where a word's end was a guess
def test_any_history_of_faults_loses_and_doubles_no_word(seed: int, faults: list[Fault], quirks: Quirks) -> None:
    assert_every_word_once(history(seed, faults, quirks=quirks))


@pytest.mark.parametrize("seed", seeds(6))
def test_a_final_that_can_not_be_read_loses_no_word(seed: int) -> None:
    """Others follow it in the same sentence, and would answer its audio without its words."""
    one = history(seed, [(share / 10, "tear", 1) for share in range(1, 10, 2)])
    assert one.torn < 5, "nothing was torn"
    assert_every_word_once(one)


@pytest.mark.slow
def test_without_faults_one_connection_carries_it_all() -> None:
    """The chain sends no more than speech, pre-roll, hangover and priming."""
    one = history(4, [], perturbations=Perturbations())
    assert_every_word_once(one)
    assert one.connections == 1
    assert one.errors == []
    sent_s = sum(length for _, length in one.sent) / one.rate
    assert sent_s < len(one.script.pcm) / 2 / one.rate


def test_a_loop_that_is_blocked_for_5_s_keeps_its_connection() -> None:
    one = history(1, [(0.3, "block", 5.0)], perturbations=Perturbations())
    assert_every_word_once(one)
    assert one.connections == 1


def test_a_loop_that_is_blocked_for_15_s_loses_no_word() -> None:
    """The connection is gone, and is not waited for."""
    one = history(1, [(0.3, "block", 15.0)])
    assert_every_word_once(one)
    assert one.connections >= 2


def test_keep_alives_are_never_more_than_5_s_apart_in_silence() -> None:
    script = place([("ah", 2.0, 2.4), ("oh", 62.0, 62.4)], 65.0)
    one = World(script)
    one.play_out()
    assert one.lost() == []
    left = sorted([at for at, _ in one.texts] + [at for at, _ in one.sent])
    assert max(after - before for before, after in pairwise(left)) <= 5.0
    assert one.connections == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(finalize_close_code=4400),
        Quirks(metadata_on_open=True),
        Quirks(no_empty_interims=True, confidence=0.0),
        Quirks(windows_from_words=True),
        Quirks(windows_from_words=True, no_empty_interims=True, finalize_close_code=4400),
        Quirks(restated_words=3),
        Quirks(late_punctuation=True),
        Quirks(restart_times=True),
    ],
    ids=[
        *("finalize closes", "metadata on open", "no empty interims", "windows from words", "all"),
        *("restates words", "late punctuation", "times start again"),
    ],
)
def test_compatible_servers_get_every_word(quirks: Quirks) -> None:
    """However they differ from Deepgram."""
    for seed in (1, 2, 3):
        one = history(seed, [(0.4, "reset", None)], perturbations=Perturbations(), quirks=quirks)
        assert_every_word_once(one)
        assert "" not in [word.word for word in one.words]


@pytest.mark.slow
@pytest.mark.parametrize("quirks", [Quirks(text_at_close=True), Quirks(text_at_close=True, finalize_close_code=4400)])
def test_text_that_a_server_keeps_until_the_end_is_got_once(quirks: Quirks) -> None:
    """The text has no times: its words are somewhere in the voiced audio that was still pending."""
    for seed in (1, 2, 3):
        one = history(seed, [(0.4, "reset", None)], perturbations=Perturbations(), quirks=quirks)
        assert one.lost() == []
        assert one.doubled() == []
        assert one.lane.backlog == 0
        assert one.worst_time_s() < 1.0


@pytest.mark.parametrize("finalize", ["message", "off"])
def test_with_and_without_finalize_no_word_is_lost(finalize: Any) -> None:
    assert_every_word_once(history(2, [(0.5, "reset", None)], settings=DeepgramSettings(finalize=finalize)))


def test_without_interims_no_word_is_lost() -> None:
    one = history(2, [(0.5, "reset", None)], settings=DeepgramSettings(interim_results=False, utterance_end_ms=False))
    assert_every_word_once(one)


def test_without_a_gate_no_word_is_lost() -> None:
    one = history(2, [(0.5, "reset", None)], gate=GateSettings(enabled=False))
    assert_every_word_once(one)


def test_connecting_at_speech_loses_no_word() -> None:
    """`prime_s = 0`, and the connection closed between sentences: pre-roll and replay cover the handshake."""
    one = history(4, [(0.6, "reset", None)], settings=DeepgramSettings(prime_s=0, idle_close_s=1))
    assert_every_word_once(one)
    assert one.connections > 2


@pytest.mark.slow
def test_records_are_no_longer_than_they_may_be() -> None:
    """Talk without any pause is parted, and loses no word by it."""
    script = compose(sentences(1, 60), pause_s=(0.0, 0.05), seed=5)
    one = World(
        script, perturbations=Perturbations.all(), seed=5, utterance_max_s=6, gate=GateSettings(max_segment_s=10)
    )
    one.play_out()
    assert_every_word_once(one)
    lengths = [(u.words[-1].end - u.words[0].start) / one.rate for u in one.utterances]
    assert max(lengths) <= 6 + 9 + 1
    assert len(one.utterances) > 2
