"""Random traces of which it is known what was really called: each provider call is billed once, and nothing else is.

Truth comes first: a workflow makes calls, and of each call some emitters tell, nested or side by side, with or without
its id, some off by one, some without its usage. What settling makes of the spans is compared with the calls.
"""

from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from cost_exporter.domain.span import Call, EmitterRank, Link
from tests.domain.builders import call, key, link, settled

EMITTERS = [
    ("native", EmitterRank.NATIVE),
    ("genai", EmitterRank.GENAI),
    ("traceloop", EmitterRank.TRACELOOP),
    ("plain", EmitterRank.PLAIN),
]


@dataclass
class World:
    """What was called, and what is told of it."""

    random: Random
    spans: list[Call | Link] = field(default_factory=list[Call | Link])
    calls: list[list[str]] = field(default_factory=list[list[str]])
    """The names of the spans that tell of each call."""
    frames: list[str] = field(default_factory=list[str])
    """Spans of frameworks above calls that are told below."""
    now_ms: int = 0

    def add_span(self, **fields: object) -> str:
        name = f"{self.random.getrandbits(24):06x}{len(self.spans) % 100:02d}"
        self.spans.append(call(name, **fields))  # pyright: ignore[reportArgumentType]
        return name

    def below(self, parent: str) -> str:
        """A place some spans further down, which are no calls."""
        for _ in range(self.random.randint(0, 2)):
            name = f"l{len(self.spans)}"
            self.spans.append(link(name, parent=parent))
            parent = name
        return parent

    def usage(self) -> dict[str, int]:
        """Another one each time: equal usage is made on purpose only."""
        return {"input_tokens": 100 + 10 * len(self.spans), "output_tokens": 50}


def reported_call(world: World, parent: str) -> None:
    """One call, told by one to three emitters that know its usage."""
    usage, is_nested = world.usage(), world.random.random() < 0.5
    call_id = world.random.choice(["", f"response:{len(world.spans)}"])
    names: list[str] = []
    for depth, (scope, emitter_rank) in enumerate(world.random.sample(EMITTERS, world.random.randint(1, 3))):
        names.append(
            world.add_span(
                parent=parent,
                scope=scope,
                emitter_rank=emitter_rank,
                start_ms=world.now_ms + depth,
                end_ms=world.now_ms + 100 - depth,
                quantities=usage | {"output_tokens": 50 + world.random.randint(0, 1)},
                call_id=call_id if depth == 0 else world.random.choice(["", call_id]),
            )
        )
        parent = world.below(names[-1]) if is_nested else parent
    world.calls.append(names)


def retried_call(world: World, parent: str) -> None:
    """One span around the attempts, one an attempt; only the last one was answered."""
    usage, (outer, inner) = world.usage(), world.random.sample(EMITTERS, 2)
    cut_ms = world.now_ms + world.random.choice([10, 50, 95])
    times = {"start_ms": world.now_ms, "end_ms": world.now_ms + 100}
    around = world.add_span(parent=parent, scope=outer[0], emitter_rank=outer[1], quantities=usage, **times)
    attempt = {"parent": around, "scope": inner[0], "emitter_rank": inner[1]}
    refused = world.add_span(**attempt, **times | {"end_ms": cut_ms}, quantities={}, has_failed=True)
    world.calls.append([refused])
    world.calls.append([around, world.add_span(**attempt, **times | {"start_ms": cut_ms}, quantities=usage)])


def lost_call(world: World, parent: str) -> None:
    """One call, told by nested emitters of which one lost the usage, and perhaps the model."""
    usage, lost_at = world.usage(), world.random.randint(0, 1)
    names: list[str] = []
    for depth, (scope, emitter_rank) in enumerate(world.random.sample(EMITTERS, 2)):
        model = "" if depth == lost_at and world.random.random() < 0.5 else "gpt-4o-mini"
        quantities = {} if depth == lost_at else usage
        times = {"start_ms": world.now_ms + depth, "end_ms": world.now_ms + 100 - depth}
        names.append(
            world.add_span(
                parent=parent, scope=scope, emitter_rank=emitter_rank, model=model, quantities=quantities, **times
            )
        )
        parent = names[-1]
    world.calls.append(names)


def parallel_calls(world: World, parent: str) -> None:
    """Identical calls at one time, each told by one or two nested emitters without an id."""
    usage, emitters = world.usage(), world.random.sample(EMITTERS, world.random.randint(1, 2))
    for _ in range(world.random.randint(2, 4)):
        names, above = [], parent
        for scope, emitter_rank in emitters:
            times = {"start_ms": world.now_ms, "end_ms": world.now_ms + 100}
            names.append(
                world.add_span(parent=above, scope=scope, emitter_rank=emitter_rank, quantities=usage, **times)
            )
            above = names[-1]
        world.calls.append(names)


BEDROCK_NAMES = [
    "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "claude-sonnet-4-5-20250929-v1:0",
    "claude-sonnet-4-5-20250929",
]


def bedrock_calls(world: World, parent: str) -> None:
    """Calls at one time that differ by what was cached, or only by their output, told whole and without the cache."""
    input_tokens, cached = world.usage()["input_tokens"], world.random.sample(range(1, 3000), 3)
    is_nested, emitters = world.random.random() < 0.5, world.random.sample(EMITTERS, 3)
    leaves_cache_out = world.random.sample([False, False, True], 3)
    for number in range(world.random.randint(1, 3)):
        rest = {"input_tokens": input_tokens, "output_tokens": 50 + 10 * number}
        whole = rest | {"input_tokens": input_tokens + cached[number] + 3, "cache_read_tokens": cached[number]}
        whole |= {"cache_write_tokens": 3}
        if is_nested and world.random.random() < 0.5:
            rest["output_tokens"] = whole["output_tokens"] = 50  # then only lineage tells whose rest is whose
        names, above = [], parent
        for position in range(world.random.randint(1, 3)):
            scope, emitter_rank = emitters[position]
            quantities = rest if leaves_cache_out[position] else whole
            fields = {"provider": "aws", "model": world.random.choice(BEDROCK_NAMES), "quantities": quantities}
            times = {"start_ms": world.now_ms, "end_ms": world.now_ms + 100}
            names.append(world.add_span(parent=above, scope=scope, emitter_rank=emitter_rank, **fields, **times))
            above = names[-1] if is_nested else above
        world.calls.append(names)


def hedged_call(world: World, parent: str) -> None:
    """One prompt sent to Bedrock and to the model's vendor at once, with the same answer: two calls."""
    usage, (one, other) = world.usage(), world.random.sample(EMITTERS, 2)
    times = {"start_ms": world.now_ms, "end_ms": world.now_ms + 100, "quantities": usage}
    at_bedrock = {"provider": "aws", "model": BEDROCK_NAMES[1], "scope": one[0], "emitter_rank": one[1]}
    at_vendor = {"provider": "anthropic", "model": BEDROCK_NAMES[3], "scope": other[0], "emitter_rank": other[1]}
    for fields in (at_bedrock, at_vendor):
        world.calls.append([world.add_span(parent=parent, **fields, **times)])


def framed_calls(world: World, parent: str) -> None:
    """A framework's span with other figures, or none, above calls one after the other, some of which lost theirs."""
    framework = {
        "scope": "framework",
        "emitter_rank": EmitterRank.FRAMEWORK,
        "start_ms": world.now_ms,
        "end_ms": world.now_ms + 900,
    }
    world.frames.append(world.add_span(parent=parent, quantities=world.random.choice([{}, world.usage()]), **framework))
    frame = world.frames[-1]
    reported_call(world, frame)
    for _ in range(world.random.randint(0, 2)):
        world.now_ms += 200
        if world.random.random() < 0.5:
            reported_call(world, frame)
        else:
            scope, emitter_rank = world.random.choice(EMITTERS)
            times = {"start_ms": world.now_ms, "end_ms": world.now_ms + 100}
            world.calls.append(
                [world.add_span(parent=frame, scope=scope, emitter_rank=emitter_rank, quantities={}, **times)]
            )


ACTS = [reported_call, retried_call, lost_call, parallel_calls, bedrock_calls, hedged_call, framed_calls]


def knowledge(call: Call) -> tuple[bool, bool, int]:
    """What the billed span of a call is the best in: any usage, the cached tokens, how good its emitter is."""
    return bool(call.usage.quantities), "cache_read_tokens" in call.usage.quantities, call.emitter_rank


@settings(max_examples=200)
@given(st.lists(st.sampled_from(ACTS), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_each_provider_call_is_billed_once_and_nothing_else_is(acts, random: Random) -> None:
    """Every call has one span that is billed or unknown, the richest of its own; the others name that one."""
    world = World(random)
    for act in acts:
        world.now_ms += 5000
        act(world, world.below("root"))
    random.shuffle(world.spans)
    records = settled(*world.spans, link("root", parent=None))
    for names in world.calls:
        of_call = [records[key(name)] for name in names]
        (billed,) = [record for record in of_call if record.status != "duplicate"]
        assert knowledge(billed.call) == max(knowledge(record.call) for record in of_call)
        assert {record.duplicate_of for record in of_call} <= {None, billed.call.span_id}
    assert {records[key(name)].status for name in world.frames} <= {"duplicate"}
