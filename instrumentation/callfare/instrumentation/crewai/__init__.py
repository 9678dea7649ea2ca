"""CrewAI: what a task's agents call is attributed to that task, so that budgets can limit it by name.

    CrewAIInstrumentor().instrument()          # or `opentelemetry-instrument`, entry point `callfare_crewai`

    with callfare.budget("1.50", {"analysis": "0.75"}):
        crew.kickoff()                         # Task(name="analysis", ...)

A task without a name is attributed to no task of ours: its description may hold anything. The calls themselves are
recorded, and refused, by the instrumentation and the guard of the SDK that CrewAI calls the model with.
"""

from typing import ClassVar

from callfare.instrumentation.crewai._wrap import in_task, in_task_async
from callfare.instrumentation.crewai.package import (
    _instruments,  # pyright: ignore[reportPrivateUsage] - OpenTelemetry's name for it
)
from callfare.instrumentor import CallfareInstrumentor, Wrap

__all__ = ["CrewAIInstrumentor"]


class CrewAIInstrumentor(CallfareInstrumentor):
    """Puts the name of each task into the context in which it is worked on."""

    name: ClassVar[str] = "crewai"
    instruments: ClassVar[tuple[str, ...]] = _instruments
    wraps: ClassVar[tuple[Wrap, ...]] = (
        Wrap("crewai.task", "Task._execute_core", in_task),
        Wrap("crewai.task", "Task._aexecute_core", in_task_async),
    )
