"""Base of every instrumentor: what is wrapped, for which versions, and taken off again exactly.

How to write one (README for authors)
-------------------------------------
A vendor is a folder `callfare/instrumentation/<vendor>/`:

    package.py     `_instruments = ("acme-sdk >= 2, < 4",)`   the tested versions, nothing else
    _usage.py      PURE: request and answer -> `CallRequest`, quantities; no OpenTelemetry, easy to test
    _wrap.py       the wrappers, nearly always made by `callfare.calls.wrapping`
    _sockets.py    where it has sockets: `around_socket` and `around_async_socket` of `callfare.calls.websocket`
    __init__.py    docstring = manual; the class below

    class AcmeInstrumentor(CallfareInstrumentor):
        \"\"\"Records characters of Acme's text to speech.\"\"\"
        name = "acme"                       # provider, also the end of the scope `callfare.instrumentation.acme`
        instruments = _instruments
        wraps = (
            Wrap("acme.speech", "Speech.create", _wrap.create),            # a `MakeWrapper`: tracer -> wrapper
            Wrap("acme.speech", "Speech.create_v2", _wrap.create, since="3"),  # absent before 3: no warning
        )

and an entry point `callfare_acme = "callfare.instrumentation.acme:AcmeInstrumentor"` in pyproject.toml, in the
group `opentelemetry_instrumentor`. No other distribution may use the name: never `openai`.

Choose the wrapper by the *shape* of the vendor's method (`callfare.calls.wrapping`), and hand it two pure functions.
Below, `names` is `callfare.attributes`, `CallRequest` is of `callfare.calls.span` and `SyncStream` of
`callfare.calls.stream`:

    create = around_call(read_request, read_answer)           def f(...) -> answer
    create = around_async_call(...)                           async def f(...) -> answer
    create = around_generator(read_request, read_chunk)       lazy generator: sent at the first next()
    create = around_async_generator(...)
    create = around_context(read_request, read_answer)        with f(...) as answer:     sent on entry
    create = around_async_context(...)

    def read_request(instance, args, kwargs) -> CallRequest | None:       None = nothing paid here
        return CallRequest(operation="text_to_speech", provider="acme", model=kwargs.get("model", ""),
                           quantities={names.INPUT_CHARACTERS: len(kwargs["text"])},
                           attributes={names.SPEECH_VOICE: kwargs["voice"], names.REQUEST_STREAM: False})
    def read_answer(call, answer):                                    vendor's own figures win
        call.replace(names.BILLED_QUANTITY, Decimal(answer.headers["x-credits"]), source="vendor_header")
        call.set(names.BILLED_UNIT, "credit")
        return None                    # or `SyncStream(answer, call, read_chunk)`: finished when that ends
    def read_chunk(call, chunk): ...   # cheap; per chunk

`CallRequest.quantities` and `call.add/replace` take attribute names from `callfare.attributes` and int, Decimal or
float amounts. Count text with `len()` (code points), audio with `callfare.audio`. Never put text, audio or a
telephone number on a span: `call.content(name, text)` does it where the operator allowed it.
Long sockets (streaming STT) use `callfare.calls.session.Session`: see its docstring. A socket that synthesises speech
opens one `CallSpan` per utterance with `open_call(tracer, request, context=captured)`.
A wrapper that needs more is an ordinary wrapt wrapper `(wrapped, instance, args, kwargs)` from `make(tracer)`;
keep our own code in functions marked `@quietly` and let the vendor's call and its exceptions pass untouched.

Vendors are never imported by us: `Wrap` waits until the application imports the module (and applies at once if
it already did), so an installed but unused SDK costs nothing and an absent one nothing at all.

The rules that must never break: `instrument()` raises nothing; a version outside `instruments` is left alone
with one warning; a method that a tested version should have but has not is one warning, the rest is wrapped;
`uninstrument()` puts the very objects back that were there.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

import wrapt
from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from callfare import environment
from callfare.calls.wrapping import MakeWrapper
from callfare.guard import note_internal_error
from callfare.provider import hook

if TYPE_CHECKING:

    class BaseInstrumentor:
        """The interface of the untyped base class."""

        @property
        def is_instrumented_by_opentelemetry(self) -> bool: ...
        def instrument(self, **kwargs: Any) -> Any: ...
        def uninstrument(self, **kwargs: Any) -> Any: ...

else:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

__all__ = ["CallfareInstrumentor", "Wrap", "installed_version"]

_log = logging.getLogger("callfare")


@dataclass(frozen=True, slots=True)
class Wrap:
    """One method to wrap, and how."""

    module: str
    method: str
    """`Class.method` or a function's name."""
    make: MakeWrapper
    since: str = ""
    """First version that has it: below, its absence is normal. "" means: every supported version."""
    before: str = ""
    """First version that no longer has it."""


@dataclass(slots=True)
class _Applied:
    """One wrapper in place, and what was there before."""

    owner: Any
    name: str
    wrapper: Any
    original: Any
    was_own: bool
    """Whether `owner` itself had the attribute, rather than inheriting it."""


class CallfareInstrumentor(BaseInstrumentor):
    """Base class: give it `name`, `instruments` and `wraps`."""

    name: ClassVar[str] = ""
    instruments: ClassVar[tuple[str, ...]] = ()
    wraps: ClassVar[tuple[Wrap, ...]] = ()

    _instance: ClassVar[Any] = None
    _applied: list[_Applied]
    _generation: int = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._instance = None  # one instrumentor a class: a subclass must not be handed its parent's

    def instrumentation_dependencies(self) -> Collection[str]:
        """The tested versions of the vendor's library."""
        return self.instruments

    def instrument(self, **kwargs: Any) -> Any:
        """Wrap the vendor's methods. Raises nothing; does nothing where the library is absent or untested."""
        if environment.is_disabled():
            return None
        # The loader checks our whole distribution, which requires no vendor at all, and then asks us to skip the
        # check: so we check ourselves.
        kwargs.pop("skip_dep_check", None)
        kwargs.pop("raise_exception_on_conflict", None)
        if not self._is_supported():
            return None
        try:
            return super().instrument(skip_dep_check=True, **kwargs)
        except Exception as error:  # noqa: BLE001 - the application starts regardless
            note_internal_error(f"instrumenting {self.name}", error)
            return None

    def _is_supported(self) -> bool:
        for requirement in map(Requirement, self.instruments):
            found = installed_version(requirement.name)
            if found is None:
                _log.debug("%s is not installed, nothing to instrument", requirement.name)
                return False
            if not requirement.specifier.contains(found, prereleases=True):
                _log.warning(
                    "%s %s is not instrumented: callfare supports %s; its usage will not be recorded",
                    requirement.name, found, requirement.specifier,
                )  # fmt: skip
                return False
        return True

    def _instrument(self, **kwargs: Any) -> None:
        provider: TracerProvider | None = kwargs.get("tracer_provider")
        hook.install(provider)
        tracer = trace.get_tracer(f"callfare.instrumentation.{self.name}", _own_version(), provider)
        self._applied = []
        self._generation += 1
        for module in dict.fromkeys(wrap.module for wrap in self.wraps):
            wrapt.register_post_import_hook(self._on_import(module, tracer, self._generation), module)
        self.started(tracer)

    def _on_import(self, name: str, tracer: Tracer, generation: int) -> Callable[[Any], None]:
        def apply(module: Any) -> None:
            # An import hook cannot be taken back: one from before `uninstrument()` does nothing.
            if generation != self._generation:
                return
            for wrap in self.wraps:
                if wrap.module == name and self._is_expected(wrap):
                    self._apply(module, wrap, tracer)

        return apply

    def _apply(self, module: Any, wrap: Wrap, tracer: Tracer) -> None:
        generation = self._generation
        try:
            owner, attribute, original = wrapt.resolve_path(module, wrap.method)
            was_own = attribute in vars(owner)
            # `enabled` also silences a wrapper that somebody wrapped again, which we cannot take off.
            wrapper = wrapt.FunctionWrapper(original, wrap.make(tracer), enabled=lambda: generation == self._generation)
            setattr(owner, attribute, wrapper)
            self._applied.append(_Applied(owner, attribute, wrapper, original, was_own))
        except AttributeError:
            self._missing(wrap)
        except Exception as error:  # noqa: BLE001 - one method less; raising would break the vendor's import
            note_internal_error(f"wrapping {wrap.module}.{wrap.method}", error)

    def wrap_late(self, kind: type, wrap: Wrap, tracer: Tracer) -> None:
        """Wrap a method also where a subclass met at run time has its own, as plugins do; once a class."""
        method = wrap.method.rpartition(".")[2]
        owner = next((each for each in kind.__mro__ if method in vars(each)), None)
        if owner is not None and not any(done.owner is owner and done.name == method for done in self._applied):
            self._apply(owner, replace(wrap, method=method), tracer)

    def _missing(self, wrap: Wrap) -> None:
        _log.warning(
            "%s.%s is not there in this version of %s: its usage will not be recorded",
            wrap.module, wrap.method, self.name,
        )  # fmt: skip

    def _is_expected(self, wrap: Wrap) -> bool:
        """Whether the installed version is one that has the method, and under which it is the one to wrap."""
        found = installed_version(Requirement(self.instruments[0]).name) if self.instruments else None
        if found is None:
            return True
        try:
            version = Version(found)
            return (not wrap.since or version >= Version(wrap.since)) and (
                not wrap.before or version < Version(wrap.before)
            )
        except InvalidVersion:
            return True

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the base class's signature
        self._generation += 1
        for applied in reversed(self._applied):
            _take_off(applied)
        self._applied = []
        self.stopped()

    def started(self, tracer: Tracer) -> None:
        """For what is not a wrapped method: called after the wraps were registered."""

    def stopped(self) -> None:
        """Undo `started`."""


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _take_off(applied: _Applied) -> None:
    if vars(applied.owner).get(applied.name) is not applied.wrapper:
        # Somebody wrapped ours: taking it off would take theirs off as well.
        _log.debug("%s.%s was wrapped again by others, left in place", applied.owner, applied.name)
        return
    if applied.was_own:
        setattr(applied.owner, applied.name, applied.original)
    else:
        delattr(applied.owner, applied.name)


def _own_version() -> str:
    return installed_version("callfare") or ""
