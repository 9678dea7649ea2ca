"""Pinecone's and Qdrant's data planes as far as the clients use them: they count requests and vectors."""

from aiohttp import web

from tests.instrumentation.fakes.server import FakeServer


class FakePinecone(FakeServer):
    """States read units, as the service does."""

    def __init__(self) -> None:
        super().__init__()
        self.read_units = 0
        self.vectors = 0
        self.states_usage = True

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/query", self.query),
            web.get("/vectors/fetch", self.fetch),
            web.post("/vectors/upsert", self.upsert),
            web.post("/vectors/update", self.update),
            web.post("/records/namespaces/{namespace}/upsert", self.upsert_records),
            web.post("/namespaces/{namespace}/documents/search", self.search_documents),
            web.post("/namespaces/{namespace}/documents/upsert", self.upsert_documents),
            web.post("/records/namespaces/{namespace}/search", self.search),
        ]

    def _usage(self, units: int) -> dict[str, object]:
        self.read_units += units
        return {"usage": {"readUnits": units}} if self.states_usage else {}

    async def query(self, request: web.Request) -> web.Response:
        top_k = (await request.json())["topK"]
        matches = [{"id": "canary", "score": 0.5, "values": []}]
        return web.json_response({"namespace": "n", "matches": matches, **self._usage(top_k)})

    async def fetch(self, request: web.Request) -> web.Response:
        return web.json_response({"namespace": "n", "vectors": {}, **self._usage(1)})

    async def search(self, request: web.Request) -> web.Response:
        self.read_units += 6
        usage = {"read_units": 6, "embed_total_tokens": 4}
        if (await request.json()).get("rerank"):
            usage["rerank_units"] = 1
        return web.json_response({"result": {"hits": []}, "usage": usage})

    async def upsert(self, request: web.Request) -> web.Response:
        count = len((await request.json())["vectors"])
        self.vectors += count
        return web.json_response({"upsertedCount": count})

    async def update(self, request: web.Request) -> web.Response:
        return web.json_response({})

    async def upsert_records(self, request: web.Request) -> web.Response:
        self.vectors += len((await request.text()).strip().split("\n"))
        return web.Response(status=201)

    async def search_documents(self, request: web.Request) -> web.Response:
        self.read_units += 3
        matches = [{"_id": "canary", "_score": 0.5}]
        return web.json_response({"matches": matches, "namespace": "n", "usage": {"read_units": 3}})

    async def upsert_documents(self, request: web.Request) -> web.Response:
        count = len((await request.json())["documents"])
        self.vectors += count
        return web.json_response({"upserted_count": count, "usage": {"embed_total_tokens": 11}})


class FakeQdrant(FakeServer):
    """Answers every collection request."""

    def __init__(self) -> None:
        super().__init__()
        self.data_requests = 0
        self.vectors = 0

    def routes(self) -> list[web.RouteDef]:
        base = "/collections/{name}/points"
        return [
            web.get("/", self.version),
            web.post(f"{base}/query", self.query),
            web.post(f"{base}/scroll", self.scroll),
            web.post(f"{base}/count", self.count),
            web.put(base, self.upsert),
        ]

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"title": "qdrant", "version": "1.16.0"})

    def _answer(self, result: object) -> web.Response:
        self.data_requests += 1
        return web.json_response({"result": result, "status": "ok", "time": 0.001})

    async def query(self, request: web.Request) -> web.Response:
        return self._answer({"points": [{"id": 1, "version": 1, "score": 0.5, "payload": {"text": "canary"}}]})

    async def scroll(self, request: web.Request) -> web.Response:
        return self._answer({"points": [], "next_page_offset": None})

    async def count(self, request: web.Request) -> web.Response:
        return self._answer({"count": 3})

    async def upsert(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.vectors += len(body["points"] if "points" in body else body["batch"]["ids"])
        return self._answer({"operation_id": 1, "status": "completed"})
