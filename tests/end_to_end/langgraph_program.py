"""A LangGraph agent on the real packages, run in an environment of its own by test_langgraph.py.

    python langgraph_program.py FAKE_API_URL OTLP_HTTP_URL

No span is around the graph. OpenInference makes its spans without making them current, so that each of Traceloop's
spans of the OpenAI SDK is the root of a trace.
"""

import sys
from operator import add
from typing import Annotated, Any, TypedDict

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


class State(TypedDict):
    """What goes through the graph."""

    answers: Annotated[list[Any], add]


def main(api_url: str, otlp_url: str) -> None:
    """Ask once, then three times at once, then once by a stream."""
    provider = TracerProvider(resource=Resource({"service.name": "graph"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp_url}/v1/traces")))
    LangChainInstrumentor().instrument(tracer_provider=provider)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    model = ChatOpenAI(model="gpt-4o-mini", base_url=f"{api_url}/v1", api_key="none", stream_usage=True, max_retries=0)

    def ask(_: State) -> dict[str, Any]:
        return {"answers": [model.invoke([HumanMessage("How are you?")])]}

    def stream(_: State) -> dict[str, Any]:
        return {"answers": [list(model.stream([HumanMessage("And now?")]))]}

    graph = StateGraph(State)
    graph.add_node("first", ask)
    graph.add_node("last", stream)
    graph.add_edge(START, "first")
    for name in ("one", "two", "three"):
        graph.add_node(name, ask)
        graph.add_edge("first", name)
        graph.add_edge(name, "last")
    graph.add_edge("last", END)
    graph.compile().invoke({"answers": []})
    provider.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
