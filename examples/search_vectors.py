"""Two vector stores: Pinecone bills read units and states them, Qdrant bills the cluster and not the query.

    opentelemetry-instrument python examples/search_vectors.py

Nothing of callfare.
"""

import os

from pinecone import Pinecone
from qdrant_client import QdrantClient

QUESTION = [0.1, 0.2]


def main() -> None:
    with Pinecone(api_key=os.environ["PINECONE_API_KEY"]).Index(host=os.environ["PINECONE_HOST"]) as index:
        print(len(index.query(vector=QUESTION, top_k=5).matches))
    client = QdrantClient(url=os.environ["QDRANT_URL"], check_compatibility=False)
    print(len(client.query_points("orders", query=QUESTION, limit=5).points))
    client.close()


if __name__ == "__main__":
    main()
