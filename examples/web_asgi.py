"""An ASGI application: each request calls a model once, attributed to the API key of the request.

    opentelemetry-instrument uvicorn --app-dir examples --workers 2 web_asgi:app

CallfareMiddleware is added to the application, not wrapped around it: so it runs inside the server's span, after the
caller's trace context has been read. Here a proxy has verified the key, and says which it was in two headers.
"""

import os

import openai
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from callfare.asgi import CallfareMiddleware

app = FastAPI()
app.add_middleware(CallfareMiddleware, api_key_header="x-unkey-key-id", tenant_header="x-tenant")


@app.get("/ask")
async def ask() -> PlainTextResponse:
    async with openai.AsyncOpenAI() as client:
        answer = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Where is my order?"}]
        )
    return PlainTextResponse(answer.choices[0].message.content, headers={"X-Worker": str(os.getpid())})
