"""A LangGraph agent of two steps, whose calls are one workflow with a cost.

    opentelemetry-instrument python examples/graph_langgraph.py

Environment variables say where it sends its spans: see docs/how-to/langgraph.md.
"""

from typing import TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

import callfare


class State(TypedDict):
    question: str
    notes: str
    answer: str


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini")
    graph = StateGraph(State)
    graph.add_node("look", lambda state: {"notes": model.invoke(state["question"]).content})
    graph.add_node("reply", lambda state: {"answer": model.invoke(state["notes"]).content})
    graph.add_edge(START, "look")
    graph.add_edge("look", "reply")
    graph.add_edge("reply", END)
    agent = graph.compile()
    with callfare.workflow("order-graph", tenant="acme", category="bot"):
        print(agent.invoke({"question": "Where is my order?"})["answer"])


if __name__ == "__main__":
    main()
