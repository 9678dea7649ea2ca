// Any Node.js application that asks a model through Vercel's AI SDK, and nothing of callfare. See docs/how-to/nodejs.md.

import { openai } from "@ai-sdk/openai";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { generateText } from "ai";

const telemetry = new NodeSDK(); // reads OTEL_*
telemetry.start();

const answer = await generateText({
  model: openai.chat("gpt-4o-mini"),
  prompt: "Where is my order?",
  experimental_telemetry: { isEnabled: true },
});
console.log(answer.text);

await telemetry.shutdown(); // sends what is still waiting
